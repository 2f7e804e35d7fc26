"""The meta-step with the inner loop of the package `higher`.

Its step(loss) differentiates a loss for the weights of one module, and sets
them at once. Two players still move together: both losses are computed before
the first step, and a step makes new weights instead of changing the old ones,
which the second loss was computed with.

Its RMSprop adds epsilon to the root and replaces some gradients; that of the
workload is registered by `higher.register_optim`, as optimisers of one's own.
"""

from collections.abc import Iterator

import higher
import torch

from benchmarks import torch_networks as networks
from benchmarks import torch_operations as ops
from benchmarks.torch_arrays import Draws
from benchmarks.torch_networks import Weights
from benchmarks.torch_operations import Variant


class _Player(torch.nn.Module):
    """Weights of one player, for `higher` to replace."""

    def __init__(self, weights):
        super().__init__()
        for number, weight in enumerate(weights):
            self.register_parameter(f"w{number}", torch.nn.Parameter(weight))


class _Rmsprop(torch.optim.Optimizer):
    """Tells `higher` which weights to move, and by `_DifferentiableRmsprop`."""

    def __init__(self, weights):
        super().__init__(weights, {})


class _DifferentiableRmsprop(higher.optim.DifferentiableOptimizer):
    def _update(self, grouped_grads, **kwargs):
        for group, gradients, state in zip(
            self.param_groups, grouped_grads, self.state, strict=True
        ):
            weights = group["params"]
            squares = state.get("squares") or ops.zeros(weights)
            moved, state["squares"] = ops.rmsprop(weights, gradients, squares)
            group["params"] = list(moved)


higher.register_optim(_Rmsprop, _DifferentiableRmsprop)


def _adapted(
    player_d, player_g, draws, variant, *, exact
) -> Iterator[tuple[Weights, Weights]]:
    """Yield the weights of both players after each inner step.

    Args:
      player_d: the critic.
      player_g: the generator.
      draws: of one task.
      variant: how.
      exact: keep the graph of the steps.
    """
    how = {"copy_initial_weights": not exact, "track_higher_grads": exact}
    with (
        higher.innerloop_ctx(
            player_d, _Rmsprop(player_d.parameters()), **how
        ) as (
            fast_d,
            move_d,
        ),
        higher.innerloop_ctx(
            player_g, _Rmsprop(player_g.parameters()), **how
        ) as (
            fast_g,
            move_g,
        ),
    ):
        for real, z, mix in zip(
            draws.support, draws.latent, draws.mix, strict=True
        ):
            d, g = tuple(fast_d.parameters()), tuple(fast_g.parameters())
            fake = networks.generator(g, z[0], variant)
            if exact:
                loss_d, loss_g = networks.losses(
                    d, fake, fake, real, mix[0], variant
                )
            else:  # step() frees the graph, so that none can be shared
                seen = fake.detach()
                loss_d, _ = networks.losses(
                    d, seen, seen, real, mix[0], variant
                )
                loss_g = -networks.critic(
                    d, fake, variant, constant=True
                ).mean()
            move_d.step(loss_d)
            move_g.step(loss_g)
            yield tuple(fast_d.parameters()), tuple(fast_g.parameters())


def fomaml_task(d, g, draws: Draws, variant: Variant):
    """Return the outer gradients of one task, at the adapted weights."""
    total_d, total_g = ops.zeros(d), ops.zeros(g)
    steps = _adapted(_Player(d), _Player(g), draws, variant, exact=False)
    for (d, g), query, z, mix in zip(steps, *draws[1:], strict=True):
        grad_d, grad_g = networks.gradients(
            d, g, query, z[1], mix[1], variant, graph=False
        )
        torch._foreach_add_(total_d, grad_d)
        torch._foreach_add_(total_g, grad_g)
    count = len(draws.support)
    return tuple(tuple(w / count for w in x) for x in (total_d, total_g))


def maml_task(d, g, draws: Draws, variant: Variant):
    """Return the exact outer gradients of one task."""
    player_d, player_g = _Player(d), _Player(g)
    total_d = total_g = 0.0
    steps = _adapted(player_d, player_g, draws, variant, exact=True)
    for (d, g), query, z, mix in zip(steps, *draws[1:], strict=True):
        fake = networks.generator(g, z[1], variant)
        loss_d, loss_g = networks.losses(d, fake, fake, query, mix[1], variant)
        total_d = total_d + loss_d / len(draws.support)
        total_g = total_g + loss_g / len(draws.support)
    first_d, first_g = (tuple(x.parameters()) for x in (player_d, player_g))
    meta_d = torch.autograd.grad(total_d, first_d, retain_graph=True)
    return meta_d, torch.autograd.grad(total_g, first_g)


TASKS = {"fomaml": fomaml_task, "maml": maml_task}
