"""The meta-step in eager PyTorch: the bar that the library has to clear.

Written to be as fast as eager PyTorch goes on a CPU. Every trick is a field of
`Variant`, so that each can be timed on its own; the library is compared with
the fastest combination.
"""

import functools
from collections.abc import Callable
from concurrent import futures

import torch

import benchmarks
from benchmarks import torch_functional
from benchmarks import torch_networks as networks
from benchmarks import torch_operations as ops
from benchmarks.torch_arrays import Draws, to_draws, to_torch
from benchmarks.torch_networks import Weights
from benchmarks.torch_operations import Variant


def _first_order(d, g, draws, variant, *, outer, rate=None):
    """Adapt by first-order steps; add up the outer gradients if `outer`."""
    square_d, square_g = ops.zeros(d), ops.zeros(g)
    total_d, total_g = ops.zeros(d), ops.zeros(g)
    for real, query, z, mix in zip(*draws, strict=True):
        d, g = ops.leaves(d), ops.leaves(g)
        grad_d, grad_g = networks.gradients(
            d, g, real, z[0], mix[0], variant, graph=False
        )
        with torch.no_grad():
            d, square_d = ops.rmsprop(d, grad_d, square_d, rate)
            g, square_g = ops.rmsprop(g, grad_g, square_g, rate)
        if not outer:
            continue
        d, g = ops.leaves(d), ops.leaves(g)
        grad_d, grad_g = networks.gradients(
            d, g, query, z[1], mix[1], variant, graph=False
        )
        torch._foreach_add_(total_d, grad_d)
        torch._foreach_add_(total_g, grad_g)
    return (total_d, total_g) if outer else (d, g)


def adapt(
    d: Weights, g: Weights, draws: Draws, *, variant: Variant, rate: float
) -> tuple[Weights, Weights]:
    """Return the weights after the inner steps on one task.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      draws: of one task; of which support, and of latent and mix index 0, are
        used.
      variant: how.
      rate: step size of the inner optimiser.
    """
    return _first_order(d, g, draws, variant, outer=False, rate=rate)


def _fomaml_task(d, g, draws, variant):
    steps = len(draws.support)
    total = _first_order(d, g, draws, variant, outer=True)
    return tuple(tuple(w / steps for w in part) for part in total)


def _reptile_task(d, g, draws, variant):
    last = _first_order(d, g, draws, variant, outer=False)
    return tuple(
        tuple((a - b).detach() for a, b in zip(meta, adapted, strict=True))
        for meta, adapted in zip((d, g), last, strict=True)
    )


def _outer_losses(d, g, draws, variant, move, state_d, state_g):
    """Return the mean outer loss of each player, with its whole graph.

    Args:
      d: weights of the critic, as leaves.
      g: weights of the generator, as leaves.
      draws: of one task.
      variant: how.
      move: (weights, gradients, state) -> (weights, state) of one player.
      state_d: what `move` begins with.
      state_g: what `move` begins with.
    """
    steps = len(draws.support)
    total_d = total_g = 0.0
    for real, query, z, mix in zip(*draws, strict=True):
        grad_d, grad_g = networks.gradients(
            d, g, real, z[0], mix[0], variant, graph=True
        )
        d, state_d = move(d, grad_d, state_d)
        g, state_g = move(g, grad_g, state_g)
        fake = networks.generator(g, z[1], variant)
        loss_d, loss_g = networks.losses(d, fake, fake, query, mix[1], variant)
        total_d = total_d + loss_d / steps
        total_g = total_g + loss_g / steps
    return total_d, total_g


def _maml_task(d, g, draws, variant):
    d, g = ops.leaves(d), ops.leaves(g)
    loss_d, loss_g = _outer_losses(
        d, g, draws, variant, ops.rmsprop, ops.zeros(d), ops.zeros(g)
    )
    meta_d = torch.autograd.grad(loss_d, d, retain_graph=True)
    return meta_d, torch.autograd.grad(loss_g, g)


def _metasgd_task(d, g, draws, variant, rates):
    d, g, rates_d, rates_g = map(ops.leaves, (d, g, *rates))
    loss_d, loss_g = _outer_losses(
        d, g, draws, variant, ops.descend, rates_d, rates_g
    )
    meta_d = torch.autograd.grad(loss_d, (*d, *rates_d), retain_graph=True)
    meta_g = torch.autograd.grad(loss_g, (*g, *rates_g))
    return (
        meta_d[: len(d)],
        meta_g[: len(g)],
        meta_d[len(d) :],
        meta_g[len(g) :],
    )


_TASKS = {
    "fomaml": _fomaml_task,
    "maml": _maml_task,
    "metasgd": _metasgd_task,
    "reptile": _reptile_task,
}


def _tasks_of(form: str) -> dict:
    """Return {algorithm: function of one task} of a form."""
    if form == "autograd":
        return _TASKS
    if form == "higher":  # a package that few have
        from benchmarks import torch_higher

        return torch_higher.TASKS
    return torch_functional.TASKS


def meta_gradients(
    d: Weights,
    g: Weights,
    draws: Draws,
    *,
    algo: str,
    variant: Variant,
    rates: tuple[Weights, Weights] | None = None,
    pool: futures.Executor | None = None,
) -> tuple[Weights, ...]:
    """Return the meta-gradients, sums over tasks.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      draws: data of the meta-step.
      algo: "fomaml" or "maml"; with the form "autograd" also "metasgd" or
        "reptile".
      variant: how; `workers` and `malloc` are the caller's business.
      rates: step sizes of the critic's and the generator's weights, for
        metasgd only.
      pool: where to run the tasks; None: here, one after the other.

    Returns:
      Those of the critic's weights, of the generator's, and with metasgd those
      of their step sizes.
    """
    given = {"rates": rates} if algo == "metasgd" else {}
    kinds = _tasks_of(variant.form)
    task = functools.partial(kinds[algo], d, g, variant=variant, **given)
    if variant.form == "vmap":
        found = torch.func.vmap(task)(draws)
        return tuple(tuple(w.sum(0) for w in part) for part in found)
    tasks = map(Draws._make, zip(*draws, strict=True))
    each = list(map(task, tasks) if pool is None else pool.map(task, tasks))
    return tuple(
        tuple(sum(leaf) for leaf in zip(*part, strict=True))
        for part in zip(*each, strict=True)
    )


def make_step(
    workload: benchmarks.Workload, variant: Variant, *, seed: int
) -> Callable[[], None]:
    """Return a function that runs one meta-step with fresh random draws."""
    arrays = benchmarks.arrays(workload, seed=seed)
    d, g = (to_torch(arrays.weights[p], variant) for p in "dg")
    rates_d, rates_g = (to_torch(arrays.rates[p], variant) for p in "dg")
    draws = to_draws(arrays)
    generator_ = torch.Generator().manual_seed(seed)
    pool = (
        futures.ThreadPoolExecutor(variant.workers)
        if variant.workers > 1
        else None
    )

    def step() -> None:
        fresh = draws._replace(
            latent=draws.latent.normal_(generator=generator_),
            mix=draws.mix.uniform_(generator=generator_),
        )
        meta_gradients(
            d,
            g,
            fresh,
            algo=workload.algo,
            variant=variant,
            rates=(rates_d, rates_g),
            pool=pool,
        )

    return step
