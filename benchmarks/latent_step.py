"""Time the latent family's meta-step beside the same step in eager PyTorch.

    python -m benchmarks.latent_step --rounds=10

One task of --algo=latent, BCE on both heads, two MLPs, batch norm: k inner
steps of D and then of both MLPs by an Adam that begins anew, one gradient of G
beside the adapted others, meta minus adapted weights of the others. Without the
outer optimisers. Each side lives in a process of its own; they take turns.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import one_thread

LATENT_SIZE = 100
RATE, BETA1, BETA2, EPSILON = 2e-4, 0.5, 0.999, 1e-8


class Sizes(NamedTuple):
    """Of one meta-step; images are 32x32x1."""

    width: int = 16
    steps: int = 5
    batch: int = 32


def images(sizes: Sizes, *, seed: int) -> np.ndarray:
    """Return float32 [steps, batch, 32, 32, 1] in [-1, 1]."""
    draw = np.random.default_rng(seed)
    shape = [sizes.steps, sizes.batch, 32, 32, 1]
    return draw.uniform(-1.0, 1.0, shape).astype(np.float32)


def tensorflow_step(sizes: Sizes) -> Callable[[], None]:
    """Return a meta-step as users run it, the logged losses included."""
    import tensorflow as tf

    from tf_metagan import assembly, settings
    from tf_metagan.config import Config
    from tf_metagan.types import TaskBatch

    given = {
        "algo": "latent",
        "width": sizes.width,
        "inner_steps": sizes.steps,
        "inner_batch_size": sizes.batch,
        "latent_size": LATENT_SIZE,
        "kept_images": 0,
    }
    chosen = settings.Settings(Config, [(given, True)])
    rule = assembly.make_algorithm(assembly.with_algorithm_defaults(chosen))
    vars = rule.init(0)
    support, query, others = (
        tf.constant(images(sizes, seed=seed)[np.newaxis]) for seed in range(3)
    )
    gradients = tf.function(rule.meta_gradients, autograph=False)
    numbers = iter(range(sys.maxsize))

    def step() -> None:
        number = tf.constant(next(numbers), tf.int64)
        tasks = TaskBatch(
            support,
            query,
            others,
            tf.zeros([1], tf.int64),
            tf.stack([number, number])[tf.newaxis],
        )
        found = gradients(vars, tasks, number)
        tf.nest.map_structure(lambda x: x.numpy(), found.grads.params)

    return step


def torch_step(sizes: Sizes) -> Callable[[], None]:
    """Return the same meta-step as it is written in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_flush_denormal(True)  # TensorFlow always does
    w = sizes.width

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(
                nn.Conv2d(1, w, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2),
                nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False),
                nn.BatchNorm2d(2 * w, track_running_stats=False),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False),
                nn.BatchNorm2d(4 * w, track_running_stats=False),
                nn.LeakyReLU(0.2),
            )
            self.heads = nn.Linear(64 * w, 2, bias=False)

        def forward(self, x):
            x = self.trunk(x)
            return self.heads(x.flatten(1)), x.mean((2, 3))

    def block(i, o, kernel, stride, padding):
        return (
            nn.ConvTranspose2d(i, o, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(o, track_running_stats=False),
            nn.ReLU(),
        )

    def mlp(size):
        return nn.Sequential(
            nn.Linear(size, LATENT_SIZE),
            nn.ReLU(),
            nn.Linear(LATENT_SIZE, LATENT_SIZE),
        )

    meta = nn.ModuleDict(
        {"d": Critic(), "mlp": mlp(LATENT_SIZE), "mlp_cls": mlp(4 * w)}
    )
    g = nn.Sequential(
        *block(2 * LATENT_SIZE, 4 * w, 4, 1, 0),
        *block(4 * w, 2 * w, 4, 2, 1),
        *block(2 * w, w, 4, 2, 1),
        nn.ConvTranspose2d(w, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    support, _, others = (
        torch.from_numpy(images(sizes, seed=seed)).permute(0, 1, 4, 2, 3)
        for seed in range(3)
    )
    start = {k: x.clone() for k, x in meta.state_dict().items()}

    def adam(*parts):
        weights = [x for part in parts for x in meta[part].parameters()]
        betas = (BETA1, BETA2)
        return torch.optim.Adam(weights, RATE, betas, EPSILON)

    def fake(features):
        z = meta["mlp"](torch.randn(sizes.batch, LATENT_SIZE))
        c = meta["mlp_cls"](features.detach().mean(0, keepdim=True))
        z = torch.cat([z, c.expand(sizes.batch, -1)], 1)
        return g(z[:, :, None, None])

    def fooled(y):
        return F.softplus(-meta["d"](y)[0]).mean(0).sum()

    def step() -> None:
        meta.load_state_dict(start)
        d_adam, mlp_adam = adam("d"), adam("mlp", "mlp_cls")
        for x, o in zip(support, others, strict=True):
            meta["d"].requires_grad_(True)
            scores, features = meta["d"](x)
            with torch.no_grad():
                y = fake(features)
            loss = F.softplus(-scores).mean(0).sum()
            loss = loss + F.softplus(meta["d"](y)[0][:, 0]).mean()
            loss = loss + F.softplus(meta["d"](o)[0][:, 1]).mean()
            d_adam.zero_grad()
            loss.backward()
            d_adam.step()
            # Neither D's nor G's gradient is computed for this move.
            meta["d"].requires_grad_(False)
            g.requires_grad_(False)
            with torch.no_grad():
                _, features = meta["d"](x)
            mlp_adam.zero_grad()
            fooled(fake(features)).backward()
            mlp_adam.step()
        g.requires_grad_(True)
        g.zero_grad()
        with torch.no_grad():
            _, features = meta["d"](support[-1])
        fooled(fake(features)).backward()
        for k, x in meta.state_dict().items():
            start[k] - x

    return step


SIDES = {"library": tensorflow_step, "torch": torch_step}


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    one_thread.command(__spec__.name, Sizes(), SIDES, argv)


if __name__ == "__main__":
    main()
