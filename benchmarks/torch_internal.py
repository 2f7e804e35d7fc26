"""Internal learning's meta-step in eager PyTorch; see `internal_step`.

Photographs are [n, 3, h, w]. The weights of a scale are those of n models:
[(kernel [n, f, c, 3, 3], bias [n, f])] of five convolutions.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import internal_step as facts

_GROUPS = 8
_BLOCKS = ((16, 1), (32, 2), (64, 2), (128, 2))


class Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
            nn.GroupNorm(_GROUPS, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.GroupNorm(_GROUPS, width),
        )
        self.short = (
            nn.Identity()
            if stride == 1 and inputs == width
            else nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False),
                nn.GroupNorm(_GROUPS, width),
            )
        )

    def forward(self, x):
        return F.relu(self.short(x) + self.body(x))


def embedding(features: int) -> nn.Module:
    """Return the small embedding: [n, 3, E, E] -> [n, features]."""
    blocks, inputs = [], _BLOCKS[0][0]
    for width, stride in _BLOCKS:
        blocks.append(Block(inputs, width, stride))
        inputs = width
    return nn.Sequential(
        nn.Conv2d(facts.CHANNELS, _BLOCKS[0][0], 3, 2, 1, bias=False),
        nn.GroupNorm(_GROUPS, _BLOCKS[0][0]),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, features),
    )


class Heads(nn.Module):
    """Heads of low rank for the ten tensors of a scale."""

    def __init__(self, sizes, last: int):
        super().__init__()
        w = sizes.width
        channels = [facts.CHANNELS, *[w] * (facts.DEPTH - 1), last]
        gain = math.sqrt(2.0 / (1.0 + facts.SLOPE**2))
        gains = [gain] * (facts.DEPTH - 1)
        gains.append(5.0 / 3.0 if last > 1 else 1.0)
        self.layers = []
        self.heads = nn.ModuleList()
        for i, gain in enumerate(gains):
            c, f = channels[i : i + 2]
            self.layers.append((c, f, gain))
            for size in (9 * c * f, f):
                self.heads += [
                    nn.Linear(sizes.features, sizes.rank, bias=False),
                    nn.Linear(sizes.rank, size),
                ]

    def forward(self, e):
        found = []
        for i, (c, f, gain) in enumerate(self.layers):
            down, up, bias_down, bias_up = self.heads[4 * i : 4 * i + 4]
            kernel = up(down(e)).view(-1, f, c, 3, 3)
            kernel = kernel * (gain / math.sqrt(9 * c))
            found.append((kernel, bias_up(bias_down(e)) / math.sqrt(c)))
        return found


class Player(nn.Module):
    """An embedding and heads of one or several scales."""

    def __init__(self, sizes, *, last: int, scales: int):
        super().__init__()
        self.embed = embedding(sizes.features)
        self.scales = nn.ModuleList(Heads(sizes, last) for _ in range(scales))

    def forward(self, images):
        e = self.embed(images)
        return [heads(e) for heads in self.scales]


def _stack(weights, x, grouped: bool):
    """Apply a scale's weights of n models to [n, m, c, h, w]."""
    n, m = x.shape[:2]
    if n > 1 and not grouped:
        alone = (
            _stack([(k[i : i + 1], b[i : i + 1]) for k, b in weights], y, False)
            for i, y in enumerate(x.split(1))
        )
        return torch.cat(list(alone))
    x = x.transpose(0, 1).flatten(1, 2)  # [m, n c, h, w]
    for i, (kernel, bias) in enumerate(weights):
        x = F.conv2d(x, kernel.flatten(0, 1), bias.flatten(), groups=n)
        if i < facts.DEPTH - 1:
            x = F.leaky_relu(x, facts.SLOPE)
    return x.view(m, n, -1, *x.shape[2:]).transpose(0, 1)


def _draw(models, sizes, noises, grouped: bool):
    """Return [n, m, 3, h, w] of the last scale."""
    pad = [facts.BORDER] * 4
    x = torch.tanh(_stack(models[0], F.pad(noises[0], pad), grouped))
    for weights, size, noise in zip(
        models[1:], sizes[1:], noises[1:], strict=True
    ):
        n, m = x.shape[:2]
        u = F.interpolate(
            x.flatten(0, 1), size, mode="bilinear", align_corners=True
        ).view(n, m, -1, *size)
        x = u + torch.tanh(_stack(weights, F.pad(u, pad) + noise, grouped))
    return x


def make_step(images, sizes, scales, *, grouped: bool) -> Callable[[], None]:
    """Return a function that does one meta-step of D and then of G.

    Args:
      images: [n, 3, h, w].
      sizes: `internal_step.Sizes`.
      scales: (height, width) of each.
      grouped: see `internal_step.torch_step`.
    """
    n = len(images)
    g = Player(sizes, last=facts.CHANNELS, scales=len(scales))
    d = Player(sizes, last=1, scales=1)
    g.scales[:-1].requires_grad_(False)  # heads of older scales are frozen
    optimizers = {}
    for name, player in (("d", d), ("g", g)):
        learned = [x for x in player.parameters() if x.requires_grad]
        optimizers[name] = torch.optim.Adam(learned, facts.RATE), learned
    small = F.interpolate(
        images, (sizes.embedded, sizes.embedded), mode="bilinear"
    )
    star = torch.randn(1, 1, facts.CHANNELS, *scales[0])

    def noises(*, rebuild: bool):
        found = []
        for i, (h, w) in enumerate(scales):
            border = 2 * facts.BORDER * (i > 0)
            shape = (n, 1, facts.CHANNELS, h + border, w + border)
            drawn = torch.randn(shape) * (0.1 if i else 1.0)
            rest = torch.zeros(shape) if i else star.expand(shape)
            found.append(torch.cat([drawn, rest], 1) if rebuild else drawn)
        return found

    def learn(name, value):
        optimizer, learned = optimizers[name]
        grads = torch.autograd.grad(value, learned)
        for x, grad in zip(learned, grads, strict=True):
            x.grad = grad
        nn.utils.clip_grad_norm_(learned, facts.CLIP)
        optimizer.step()

    def move_d():
        with torch.no_grad():
            fake = _draw(g(small), scales, noises(rebuild=False), grouped)
        (judge,) = d(small)
        scores = _stack(judge, torch.stack([images, fake[:, 0]], 1), grouped)
        e = torch.rand(n, 1, 1, 1)
        between = torch.lerp(fake[:, 0], images, e).requires_grad_()
        total = _stack(judge, between[:, None], grouped).sum()
        (slope,) = torch.autograd.grad(total, between, create_graph=True)
        norm = torch.sqrt(slope.square().sum(1) + 1e-12)
        learn(
            "d",
            (scores[:, 1] - scores[:, 0]).mean()
            + facts.PENALTY * (norm - 1.0).square().mean(),
        )

    def move_g():
        drawn = _draw(g(small), scales, noises(rebuild=True), grouped)
        with torch.no_grad():
            (judge,) = d(small)
        scores = _stack(judge, drawn[:, :1], grouped)
        error = (drawn[:, 1] - images).square().mean()
        learn("g", facts.REBUILD * error - scores.mean())

    def step() -> None:
        move_d()
        move_g()

    return step
