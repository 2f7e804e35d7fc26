"""Time an exported model beside the library and beside eager PyTorch.

    python -m benchmarks.serving_latency --quick
    python -m benchmarks.serving_latency --run=pretrained:mnist

One request: adapt to 16 images in 10 steps and draw 64 samples. Contestants
live in fresh processes and take turns, one request each; ratios are medians
over rounds of two times from the same round. This process imports neither
TensorFlow nor PyTorch.
"""

import argparse
import functools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import facts, processes

FORMAT = 1
RESULTS = pathlib.Path(__file__).parent / "results" / "serving_latency.json"
WEIGHTS = ("float32", "float16", "bfloat16")
TASKS = 4  # of the larger batch
# The fastest of `meta_step.TORCH` on two threads and on one; what most people
# write comes first.
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

# A fresh process times itself, from its first line on.
_COLD = """
import time
start = time.perf_counter()
import json, sys
import numpy as np
from tf_metagan import serve
imported = time.perf_counter()
model = serve.load(sys.argv[1])
loaded = time.perf_counter()
request = np.load(sys.argv[2])
answer = model.adapt_and_sample(
    request["images"], num_samples=int(sys.argv[3]), steps=int(sys.argv[4])
)
answer.samples.numpy()
answered = time.perf_counter()
print(json.dumps({
    "import_s": imported - start,
    "load_s": loaded - imported,
    "answer_s": answered - loaded,
    "total_s": answered - start,
}))
"""


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


# ------------------------------------------------------------ inside a worker


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
    from tf_metagan import assembly, export, serve
    from tf_metagan.exporting import write

    assembly.set_graph_options()
    run = assembly.load_run(run_name)
    models = {}
    for weights in WEIGHTS:
        terms = export.terms_of(export.ExportConfig(weights=weights), run)
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
    from tf_metagan.gan import game

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
        latent.append(rng.normal(rng.fold(seed, game._LATENT), size))
        size = [request.images, 1, 1, 1]
        mix.append(rng.uniform(rng.fold(seed, game._PENALTY), size))
    last = rng.fold(rng.fold(root, 1, 0), game._LATENT)
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

    from tf_metagan import assembly
    from tf_metagan.core import rng

    assembly.set_graph_options()
    run = assembly.load_run(run_name)
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
      options: fields of `torch_meta_step.Variant`.
      fresh: draw anew for each call; else what the export draws for seed 1.
    """
    import torch

    from benchmarks import torch_meta_step as eager

    variant = eager.Variant(**options)
    steps = len(arrays["latent"])
    size = arrays["images"].shape[1]
    d, g = (
        eager.to_torch(_leaves(arrays, player), variant, side=size // 8)
        for player in "dg"
    )
    image = torch.from_numpy(arrays["images"]).movedim(-1, -3)
    draws = eager.Draws(
        support=image.expand(1, steps, *image.shape),
        query=image,
        # One task; index 0 of the third axis belongs to the inner step.
        latent=torch.from_numpy(arrays["latent"])[None, :, None],
        mix=torch.from_numpy(arrays["mix"])[None, :, None],
    )
    z, rate = torch.from_numpy(arrays["z"]), float(arrays["rate"])

    def answer():
        if fresh:
            draws.latent.normal_()
            draws.mix.uniform_()
            z.normal_()
        _, adapted = eager.adapt(d, g, draws, variant=variant, rate=rate)
        with torch.no_grad():
            return eager.generator(adapted, z, variant).numpy()

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


# ------------------------------------------------------------- the race


class Row(NamedTuple):
    """What was measured of one contestant.

    Attributes:
      side: of the case.
      label: of the case.
      threads: of the case.
      turns: requests timed, without the first.
      p50_ms: median latency.
      p99_ms: 99th percentile; the slowest where there are fewer than 100.
      first_s: of the first request, tracing included.
      ratio: median over the rounds of its latency over that of the export, as
        it is advised to run (float32, one thread per operation).
      others: median share of the cores that other processes took meanwhile.
    """

    side: str
    label: str
    threads: str
    turns: int
    p50_ms: float
    p99_ms: float
    first_s: float
    ratio: float
    others: float


def summary(
    raced: Sequence[Case], walls: Sequence[list[float]], others: Sequence[float]
) -> list[Row]:
    """Sum up a race.

    Args:
      raced: contestants, the export as it is advised to run first.
      walls: of each, seconds of every request, the first included.
      others: of each, share of the cores that other processes took.
    """
    rows = []
    for case, (first, *timed), busy in zip(raced, walls, others, strict=True):
        rows.append(
            Row(
                side=case.side,
                label=case.label,
                threads=case.threads,
                turns=len(timed),
                p50_ms=1e3 * statistics.median(timed),
                p99_ms=1e3 * float(np.percentile(timed, 99, method="higher")),
                first_s=first,
                ratio=paired(timed, walls[0][1:]),
                others=busy,
            )
        )
    return rows


def paired(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the median of a / b over the rounds that both took part in.

    >>> paired([2.0, 30.0, 3.0], [1.0, 10.0, 2.0])
    2.0
    """
    return statistics.median(x / y for x, y in zip(a, b, strict=False))


def goals(
    raced: Sequence[Case], walls: Sequence[list[float]], cold: Sequence[dict]
) -> list[dict]:
    """Compare with what is expected on two idle cores.

    Returns:
      [{"what", "expected", "found", "met"}].
    """
    times = dict(zip(raced, (w[1:] for w in walls), strict=True))
    export, library = raced[:2]
    found = [
        (
            "p50 of a request, ms",
            "<= 200",
            1e3 * statistics.median(times[export]),
        ),
        (
            "export / library, equal threads",
            "<= 1.1",
            paired(times[export], times[library]),
        ),
    ]
    torch = [case for case in raced if case.side == "torch"]
    if torch:
        best = min(torch, key=lambda case: statistics.median(times[case]))
        found.append(
            (
                "fastest eager PyTorch / export",
                ">= 1.6",
                paired(times[best], times[export]),
            )
        )
    loading = statistics.median(x["load_s"] + x["answer_s"] for x in cold)
    found.append(("cold load to first answer, s", "<= 3", loading))
    rows = []
    for what, expected, value in found:
        sign, bound = expected.split()
        met = value <= float(bound) if sign == "<=" else value >= float(bound)
        rows.append(
            {"what": what, "expected": expected, "found": value, "met": met}
        )
    return rows


# ------------------------------------------------------------------ report

_COLUMNS = (
    ("contestant", lambda row: f"{row.side} {row.label}".strip()),
    ("threads", lambda row: row.threads),
    ("p50 ms", lambda row: facts.number(row.p50_ms) + facts.star(row.others)),
    ("p99 ms", lambda row: facts.number(row.p99_ms)),
    ("first s", lambda row: facts.number(row.first_s)),
    ("this / export", lambda row: facts.number(row.ratio)),
)
_GOALS = (
    ("goal", lambda row: row["what"]),
    ("expected", lambda row: row["expected"]),
    ("found", lambda row: facts.number(row["found"])),
    ("", lambda row: "met" if row["met"] else "not met"),
)
_COLD_COLUMNS = tuple(
    (head, lambda row, key=key: facts.number(row[key]))
    for head, key in (
        ("import TensorFlow s", "import_s"),
        ("load s", "load_s"),
        ("first answer s", "answer_s"),
        ("all s", "total_s"),
    )
)
_HALF = (
    ("weights", lambda row: row["weights"]),
    ("graph kB", lambda row: facts.number(row["graph_bytes"] / 1e3)),
    ("weights kB", lambda row: facts.number(row["weight_bytes"] / 1e3)),
    ("mean difference", lambda row: f"{row['mean_difference']:.1e}"),
    ("largest", lambda row: f"{row['max_difference']:.1e}"),
)


def markdown(report: dict) -> str:
    """Return the whole report as Markdown."""
    request = Request(**report["request"])
    rows = [Row(**row) for row in report["rows"]]
    out = [
        "# Latency of an exported model\n\n",
        f"`{report['command']}`\n\n",
        f"{report['run']}: {request.images} images, {request.steps} steps, "
        f"{request.samples} samples.\n\n",
        *facts.lines(report["machine"]),
        "\n",
        facts.table(_GOALS, report["goals"]),
        "\n## Requests\n\nContestants take turns of one request. Threads are "
        "operations at a time / threads of one operation; the ratio is to the "
        "first row, a median over rounds. A batch answers all its tasks in "
        "that time. A * marks rows during which other processes used more "
        f"than {100 * facts.BUSY:.0f} % of the cores.\n\n",
        facts.table(_COLUMNS, rows),
    ]
    if not any(row.side == "torch" for row in rows):
        out.append(
            "\nPyTorch was not installed, or the run is of a kind that "
            "benchmarks/torch_meta_step.py does not play.\n"
        )
    out += [
        "\n## Cold start\n\nFresh processes that time themselves, files in the "
        "page cache.\n\n",
        facts.table(_COLD_COLUMNS, report["cold"]),
        "\n## Weights of half the size\n\nDifferences of the samples of one "
        "request, whose range is 2. Quality: `python -m tf_metagan.evaluate "
        "--run=EXPORT` for each.\n\n",
        facts.table(_HALF, report["half"]),
    ]
    return "".join(out)


# ----------------------------------------------------------------- command


def measure(
    run_name: str,
    request: Request,
    *,
    rounds: int,
    starts: int,
    cores: int,
    torch: bool,
    say: Callable[[str], None],
) -> dict:
    """Export, race, start cold.

    Args:
      run_name: folder of a run, or pretrained:NAME.
      request: sizes.
      rounds: requests of each contestant besides the first.
      starts: cold starts.
      cores: cores to use.
      torch: whether PyTorch is installed.
      say: called with what is about to happen.

    Returns:
      {"rows", "goals", "cold", "half"} of a report.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        words = [f"--run={run_name}", f"--folder={folder}", *_words(request)]
        say("exporting in " + ", ".join(WEIGHTS))
        ready = json.loads(
            _run("-m", __spec__.name, "--prepare", *words).splitlines()[-1]
        )
        say("requests")
        raced = cases(cores=cores, torch=torch and ready["torch"])
        workers = processes.take_turns(
            [
                functools.partial(
                    processes.Worker,
                    case.name,
                    __spec__.name,
                    [f"--worker={json.dumps(case)}", *words],
                    cores=cores,
                    environment=case.environment(),
                )
                for case in raced
            ],
            rounds=rounds,
            seconds=float("inf"),
        )
        walls = [[turn["wall"] for turn in w.turns] for w in workers]
        say("cold starts")
        cold = [
            json.loads(
                _run(
                    "-c",
                    _COLD,
                    str(folder / "float32"),
                    str(folder / "request.npz"),
                    str(request.samples),
                    str(request.steps),
                )
            )
            for _ in range(starts)
        ]
    rows = summary(raced, walls, [worker.others() for worker in workers])
    return {
        "goals": goals(raced, walls, cold),
        "rows": [row._asdict() for row in rows],
        "cold": cold,
        "half": ready["half"],
    }


def _words(request: Request) -> list[str]:
    return [f"--{name}={n}" for name, n in request._asdict().items()]


def _run(*words: str) -> str:
    """Run Python in a fresh process and return what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"a process ended with code {done.returncode}; its last words:\n"
            + "\n".join(done.stderr.splitlines()[-20:])
        )
    return done.stdout


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run; see the docstring of the module."""
    parser = _parser()
    args = parser.parse_args(argv)
    request = Request(args.images, args.steps, args.samples)
    cores = min(args.cores, processes.usable_cores())
    if args.prepare:
        print(json.dumps(prepare(args.run, args.folder, request)))
        return
    if args.worker:
        case = Case(*json.loads(args.worker))
        processes.answer_turns(
            functools.partial(step_of, case, args.folder, args.run, request),
            cores=cores,
        )
        return
    if min(*request, cores) < 1:
        parser.error(
            "--images, --steps, --samples and --cores count things; got "
            f"{request.images}, {request.steps}, {request.samples} and "
            f"{args.cores}, expected at least 1 of each."
        )
    known = facts.machine(cores)
    report = {
        "format": FORMAT,
        "command": " ".join(
            ["python -m benchmarks.serving_latency", *(argv or sys.argv[1:])]
        ),
        "run": args.run,
        "request": request._asdict(),
        "machine": known,
        **measure(
            args.run,
            request,
            rounds=20 if args.quick else 200,
            starts=2 if args.quick else 5,
            cores=cores,
            torch=bool(known["torch"]),
            say=lambda text: print(text, file=sys.stderr),
        ),
    }
    facts.save(report, markdown(report), args.output)
    print(markdown(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving_latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--run",
        default="pretrained:mnist",
        help="trained run, default %(default)s",
    )
    for name, value in Request()._asdict().items():
        add(f"--{name}", type=int, default=value, help="default %(default)s")
    add("--cores", type=int, default=2, help="to use at most, default 2")
    add("--quick", action="store_true", help="20 rounds, not 200")
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        metavar="FILE.json",
        help="a .md is written beside it; default: benchmarks/results/",
    )
    add("--prepare", action="store_true", help=argparse.SUPPRESS)
    add("--worker", help=argparse.SUPPRESS)
    add("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
