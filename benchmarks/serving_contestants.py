"""Who answers requests in `serving_latency`, and how."""

import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks import processes

WEIGHTS = ("float32", "float16", "bfloat16")
TASKS = 4  # of the larger batch
# The fastest of `meta_step_contestants.TORCH` on two threads and on one; what
# most people write comes first.
TORCH = {
    "plain": {"shared": False},
    "adjoint, malloc": {"conv": "adjoint", "leaky": "function", "malloc": True},
    "adjoint, malloc, joined, channels_last": {
        "conv": "adjoint",
        "leaky": "function",
        "malloc": True,
        "joined": True,
        "layout": "channels_last",
    },
}


class Request(NamedTuple):
    """What is asked for.

    Attributes:
      images: support images, at most the inner batch of the run.
      steps: of adaptation.
      samples: to be drawn.
    """

    images: int = 16
    steps: int = 10
    samples: int = 64


class Case(NamedTuple):
    """One contestant.

    Attributes:
      side: "export", "batch", "library" or "torch".
      label: type of weights, number of tasks, or a key of TORCH.
      inter: TF_NUM_INTEROP_THREADS; None is TensorFlow's own choice.
      intra: TF_NUM_INTRAOP_THREADS or OMP_NUM_THREADS; None as above.
    """

    side: str
    label: str = ""
    inter: int | None = None
    intra: int | None = None

    @property
    def name(self) -> str:
        """Side and label."""
        return f"{self.side}: {self.label}" if self.label else self.side

    @property
    def threads(self) -> str:
        """Operations at a time / threads of one operation."""
        return f"{self.inter}/{self.intra}" if self.inter else "default"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its process."""
        given = {"TF_CPP_MIN_LOG_LEVEL": "3"}
        if self.side == "torch":
            given["OMP_NUM_THREADS"] = str(self.intra)
            kept = TORCH[self.label].get("malloc")
            return given | (processes.MALLOC if kept else {})
        if self.inter:
            given["TF_NUM_INTEROP_THREADS"] = str(self.inter)
            given["TF_NUM_INTRAOP_THREADS"] = str(self.intra)
        return given


def cases(*, cores: int, torch: bool) -> list[Case]:
    """List the contestants of the race."""
    best = (cores, 1)
    found = [
        Case("export", "float32", *best),
        Case("library", "", *best),
        Case("export", "float32"),
        Case("library"),
        *(Case("export", weights, *best) for weights in WEIGHTS[1:]),
        *(Case("batch", f"{tasks} tasks", *best) for tasks in (1, TASKS)),
    ]
    if torch:
        threads = sorted({cores, 1}, reverse=True)
        found += [Case("torch", x, 1, n) for x in TORCH for n in threads]
    return found


def prepare(run_name: str, folder: pathlib.Path, request: Request) -> dict:
    """Write exports, and images and weights for all contestants.

    Args:
      run_name: folder of a run, or pretrained:NAME.
      folder: where `WEIGHTS` and request.npz are written.
      request: sizes.

    Returns:
      {"torch": whether PyTorch can play this run, "half": [{"weights",
      "graph_bytes", "weight_bytes", "mean_difference", "max_difference"}]}.
    """
    from tf_metagan import assembly, export, serve, trained_runs
    from tf_metagan.exporting import forms, write

    assembly.set_graph_options()
    run = trained_runs.load_run(run_name)
    models = {}
    for weights in WEIGHTS:
        config = export.ExportConfig(weights=weights)
        terms = forms.of(run).terms(config, run)
        path = write.export(run, folder / weights, terms, examples=[])
        models[weights] = serve.load(str(path))
    exact = models["float32"]
    images = exact.sample_prior(num_samples=request.images, seed=1)
    images = np.clip(images.numpy(), -1.0, 1.0)
    playable = _is_playable(run.settings.config, request)
    arrays = _draws(run, request) if playable else {}
    np.savez(folder / "request.npz", images=images, **arrays)
    half = []
    expected = None
    for weights, model in models.items():
        found = model.adapt_and_sample(
            images, num_samples=request.samples, steps=request.steps, seed=1
        ).samples.numpy()
        expected = found if expected is None else expected
        gap = np.abs(found - expected)
        graph = pathlib.Path(model.folder, "saved_model.pb").stat().st_size
        stored = sum(
            path.stat().st_size
            for path in pathlib.Path(model.folder, "variables").iterdir()
        )
        half.append(
            {
                "weights": weights,
                "graph_bytes": graph,
                "weight_bytes": stored,
                "mean_difference": float(gap.mean()),
                "max_difference": float(gap.max()),
            }
        )
    return {"torch": playable, "half": half}


def _is_playable(config, request: Request) -> bool:
    """Tell whether `torch_meta_step` plays the game of a run."""
    wanted = {
        "architecture": "dcgan",
        "channels": 1,
        "game": "two_player",
        "loss": "wasserstein",
        "penalty": "gradient",
        "penalty_norm": "sample",
        "penalty_weight": 10.0,
        "inner_optimizer": "rmsprop",
        "inner_rho": 0.9,
        "inner_epsilon": 1e-7,
        "epsilon_placement": "inside",
        "learned_rates": "none",
        "update_order": "simultaneous",
        "n_critic": 1,
        "adapt": ("*",),
    }
    return request.images <= config.adaptation_batch and all(
        getattr(config, name) == value for name, value in wanted.items()
    )


def _draws(run, request: Request) -> dict[str, np.ndarray]:
    """Return weights and random draws of the request with the seed (0, 1)."""
    import tensorflow as tf

    from tf_metagan.core import rng, rollout
    from tf_metagan.gan import duel

    config = run.settings.config
    found = {
        f"{player}/{leaf}": value.numpy()
        for player, leaves in run.vars.params.items()
        for leaf, value in leaves.items()
    }
    root = tf.constant([0, 1], tf.int64)
    latent, mix = [], []
    for step in range(request.steps):
        adapt = rng.fold(rng.fold(root, 0), rollout._ADAPT, step)
        seed = rng.fold(adapt, 0, 0)
        size = [request.images, config.latent_size]
        latent.append(rng.normal(rng.fold(seed, duel._LATENT), size))
        size = [request.images, 1, 1, 1]
        mix.append(rng.uniform(rng.fold(seed, duel._PENALTY), size))
    last = rng.fold(rng.fold(root, 1, 0), duel._LATENT)
    found["latent"], found["mix"] = np.stack(latent), np.stack(mix)
    found["z"] = rng.normal(last, [request.samples, config.latent_size]).numpy()
    found["rate"] = np.float64(config.inner_rate)
    return found


def step_of(
    case: Case, folder: pathlib.Path, run_name: str, request: Request
) -> Callable[[], None]:
    """Return a function that answers one request, each with fresh draws."""
    with np.load(folder / "request.npz") as stored:
        arrays = dict(stored)
    if case.side == "torch":
        return _torch_step(case, arrays)
    if case.side == "library":
        return _library_step(run_name, arrays["images"], request)
    return _export_step(case, folder, arrays["images"], request)


def _export_step(case, folder, images, request):
    from tf_metagan import serve

    weights = case.label if case.side == "export" else "float32"
    model = serve.load(str(folder / weights))
    counter = iter(range(sys.maxsize))

    def one():
        model.adapt_and_sample(
            images,
            num_samples=request.samples,
            steps=request.steps,
            seed=next(counter),
        ).samples.numpy()

    if case.side == "export":
        return one
    tasks = int(case.label.split()[0])
    batch = np.repeat(images[np.newaxis], tasks, 0)

    def several():
        model.adapt_and_sample_batch(
            batch,
            num_samples=request.samples,
            steps=request.steps,
            seed=next(counter),
        ).samples.numpy()

    return several


def _library_step(run_name, images, request):
    import tensorflow as tf

    from tf_metagan import assembly, trained_runs
    from tf_metagan.core import rng

    assembly.set_graph_options()
    run = trained_runs.load_run(run_name)
    support = tf.constant(images)[tf.newaxis]
    steps = tf.constant(request.steps)

    @tf.function(autograph=False)
    def answer(seed):
        adapted, _ = run.algorithm.adapt(
            run.vars, support, None, rng.fold(seed, 0), steps
        )
        return run.algorithm.game.sample(
            adapted, rng.fold(seed, 1, 0), request.samples
        )

    counter = iter(range(sys.maxsize))

    def step():
        answer(tf.constant([0, next(counter)], tf.int64)).numpy()

    return step


def torch_answer(
    arrays: dict[str, np.ndarray], options: dict, *, fresh: bool = True
):
    """Return a function () -> samples [n, 1, H, W] in PyTorch.

    Args:
      arrays: of request.npz.
      options: fields of `torch_operations.Variant`.
      fresh: draw anew for each call; else what the export draws for seed 1.
    """
    import torch

    from benchmarks import torch_arrays, torch_meta_step, torch_networks
    from benchmarks.torch_operations import Variant

    variant = Variant(**options)
    steps = len(arrays["latent"])
    size = arrays["images"].shape[1]
    d, g = (
        torch_arrays.to_torch(_leaves(arrays, player), variant, side=size // 8)
        for player in "dg"
    )
    image = torch.from_numpy(arrays["images"]).movedim(-1, -3)
    draws = torch_arrays.Draws(
        support=image.expand(steps, *image.shape),
        query=image.expand(steps, *image.shape),  # of which nothing is made
        # Index 0 of the second axis belongs to the inner step.
        latent=torch.from_numpy(arrays["latent"])[:, None],
        mix=torch.from_numpy(arrays["mix"])[:, None],
    )
    z, rate = torch.from_numpy(arrays["z"]), float(arrays["rate"])

    def answer():
        if fresh:
            draws.latent.normal_()
            draws.mix.uniform_()
            z.normal_()
        _, adapted = torch_meta_step.adapt(
            d, g, draws, variant=variant, rate=rate
        )
        with torch.no_grad():
            return torch_networks.generator(adapted, z, variant).numpy()

    return answer


def _leaves(arrays, player):
    """Return the weights of a player in the order of its layers."""
    layers = {
        "d": ("down1", "down2", "down3", "head"),
        "g": ("stem", "up1", "up2", "up3"),
    }[player]
    return {
        f"{'project' if layer == 'stem' else layer}/{part}": arrays[
            f"{player}/{layer}/{part}"
        ]
        for layer in layers
        for part in ("kernel", "bias")
    }


def _torch_step(case, arrays):
    import torch

    torch.set_num_threads(case.intra)
    torch.set_flush_denormal(True)  # TensorFlow always does
    answer = torch_answer(arrays, TORCH[case.label])

    def step():
        answer()

    return step
