"""The meta-step with torch.func: its grad and vjp.

Operations are PyTorch's own: those of `torch_operations` that are written as
autograd functions have no rules for these transformations.
"""

import torch

from benchmarks import torch_networks as networks
from benchmarks import torch_operations as ops
from benchmarks.torch_arrays import Draws
from benchmarks.torch_operations import Variant


def _slope(score, x):
    return torch.func.grad(score)(x)


def _gradients(d, g, real, z, mix, variant):
    """As `torch_networks.gradients`; whatever encloses it differentiates."""
    fake, pull = torch.func.vjp(
        lambda weights: networks.generator(weights, z, variant), g
    )

    def loss(weights, seen):
        return networks.losses(
            weights, seen, fake, real, mix, variant, slope=_slope
        )[0]

    grad_d, grad_fake = torch.func.grad(loss, argnums=(0, 1))(d, fake)
    return grad_d, pull(-grad_fake)[0]


def _adapted(d, g, draws, variant):
    """Yield (weights of the critic, of the generator) after each inner step."""
    square_d, square_g = ops.zeros(d), ops.zeros(g)
    for real, z, mix in zip(
        draws.support, draws.latent, draws.mix, strict=True
    ):
        grad_d, grad_g = _gradients(d, g, real, z[0], mix[0], variant)
        d, square_d = ops.rmsprop(d, grad_d, square_d)
        g, square_g = ops.rmsprop(g, grad_g, square_g)
        yield d, g


def _outer(draws):
    """Yield what the outer loss after each inner step is taken on."""
    for query, z, mix in zip(draws.query, draws.latent, draws.mix, strict=True):
        yield query, z[1], mix[1]


def _mean(parts):
    """Return the mean of (weights, weights) over steps."""
    return tuple(
        tuple(sum(leaf) / len(parts) for leaf in zip(*part, strict=True))
        for part in zip(*parts, strict=True)
    )


def fomaml_task(d, g, draws: Draws, variant: Variant):
    """Return the outer gradients of one task, at the adapted weights."""
    return _mean(
        [
            _gradients(*weights, *given, variant)
            for weights, given in zip(
                _adapted(d, g, draws, variant), _outer(draws), strict=True
            )
        ]
    )


def maml_task(d, g, draws: Draws, variant: Variant):
    """Return the exact outer gradients of one task."""

    def objectives(d, g):
        total_d = total_g = 0.0
        for weights, given in zip(
            _adapted(d, g, draws, variant), _outer(draws), strict=True
        ):
            query, z, mix = given
            fake = networks.generator(weights[1], z, variant)
            loss_d, loss_g = networks.losses(
                weights[0], fake, fake, query, mix, variant, slope=_slope
            )
            total_d = total_d + loss_d / len(draws.support)
            total_g = total_g + loss_g / len(draws.support)
        return total_d, total_g

    (total_d, _), pull = torch.func.vjp(objectives, d, g)
    one, zero = torch.ones_like(total_d), torch.zeros_like(total_d)
    return pull((one, zero))[0], pull((zero, one))[1]


TASKS = {"fomaml": fomaml_task, "maml": maml_task}
