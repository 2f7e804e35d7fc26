"""The two players and their losses in PyTorch.

Images are [n, 1, H, W] here. The weights of a player are a tuple of tensors in
the order of `benchmarks.shapes`.
"""

import math

import torch

import benchmarks
from benchmarks import torch_operations as operations
from benchmarks.torch_operations import Variant

Weights = tuple[torch.Tensor, ...]


def generator(weights: Weights, z: torch.Tensor, variant: Variant):
    """Return images [n, 1, H, W] of latents [n, size].

    Args:
      weights: of a dense layer, then of transposed convolutions.
      z: latents.
      variant: how.
    """
    project, project_bias, *ups = weights
    side = math.isqrt(project.shape[1] // ups[0].shape[0])
    x = operations.leaky(torch.addmm(project_bias, z, project), variant)
    if variant.layout == "channels_last":
        x = x.view(z.shape[0], side, side, -1).permute(0, 3, 1, 2)
    else:
        x = x.view(z.shape[0], -1, side, side)
    *hidden, (last, last_bias) = _pairs(ups)
    for up, bias in hidden:
        x = operations.leaky(operations.up(x, up, bias, variant), variant)
    last = operations.one_channel(last, variant)
    return torch.tanh(operations.up(x, last, last_bias, variant))


def critic(weights: Weights, x: torch.Tensor, variant: Variant, *, constant):
    """Return scores [n, 1] of images [n, 1, H, W].

    Args:
      weights: of convolutions, then of a dense layer.
      x: images.
      variant: how.
      constant: the first derivative is taken for x only.
    """
    (first, first_bias), *downs = _pairs(weights[:-2])
    head, head_bias = weights[-2:]
    x, first = (
        operations.one_channel(x, variant),
        operations.one_channel(first, variant),
    )
    for down, bias in ((first, first_bias), *downs):
        x = operations.leaky(
            operations.down(x, down, bias, variant, constant), variant
        )
    if variant.layout == "channels_last":
        x = x.permute(0, 2, 3, 1)
    return torch.addmm(head_bias, x.flatten(1), head)


def _pairs(weights):
    """Group kernels with their biases."""
    return list(zip(weights[::2], weights[1::2], strict=True))


def autograd_slope(score, x):
    """Return d score(x) / dx, which can be differentiated again."""
    if not x.requires_grad:
        x.requires_grad_()
    (slope,) = torch.autograd.grad(score(x), x, create_graph=True)
    return slope


def losses(d, seen, fake, real, mix, variant, *, slope=autograd_slope):
    """Return the losses of both players.

    Args:
      d: weights of the critic.
      seen: [n, 1, H, W], the fake as the critic gets it.
      fake: the same images, for the interpolate of the penalty.
      real: [n, 1, H, W].
      mix: [n, 1, 1, 1], weight of the real image in the interpolate.
      variant: how.
      slope: (images -> scalar, images) -> its derivative.
    """
    interpolate = torch.lerp(fake, real, mix)
    if variant.joined:
        both = critic(d, torch.cat([seen, real]), variant, constant=False)
        score, score_real = both.view(2, -1).mean(1)
    else:
        score = critic(d, seen, variant, constant=False).mean()
        score_real = critic(d, real, variant, constant=False).mean()

    def total(x):
        return critic(d, x, variant, constant=True).sum()

    square = slope(total, interpolate).square().sum((1, 2, 3))
    norm = torch.sqrt(square + benchmarks.NORM_EPSILON)
    penalty = benchmarks.PENALTY_WEIGHT * (norm - 1.0).square().mean()
    return score - score_real + penalty, -score


def gradients(d, g, real, z, mix, variant, *, graph):
    """Gradient of each player's own loss, at the same weights and z.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      real: [n, 1, H, W].
      z: [n, 64].
      mix: [n, 1, 1, 1].
      variant: how.
      graph: keep the graph, so that the result can be differentiated.
    """
    fake = generator(g, z, variant)
    if not variant.shared:
        source = fake if graph else fake.detach()
        loss_d, loss_g = losses(d, fake, source, real, mix, variant)
        grad_d = torch.autograd.grad(
            loss_d, d, create_graph=graph, retain_graph=True
        )
        return grad_d, torch.autograd.grad(loss_g, g, create_graph=graph)
    if graph:
        seen, source = fake.view_as(fake), fake
    else:
        source = fake.detach()
        seen = fake.detach().requires_grad_()
    loss_d, _ = losses(d, seen, source, real, mix, variant)
    *grad_d, grad_fake = torch.autograd.grad(
        loss_d, (*d, seen), create_graph=graph
    )
    grad_g = torch.autograd.grad(
        fake, g, grad_outputs=-grad_fake, create_graph=graph
    )
    return tuple(grad_d), grad_g
