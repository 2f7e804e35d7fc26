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
from benchmarks import torch_networks as networks
from benchmarks.torch_arrays import Draws, to_draws, to_torch
from benchmarks.torch_networks import Weights
from benchmarks.torch_operations import Variant


def _rmsprop(weights, gradients, squares, rate=None):
    """v' = rho v + (1 - rho) g^2; w' = w - rate g / sqrt(v' + epsilon)."""
    rho = benchmarks.INNER_RHO
    squares = tuple(
        torch.addcmul(rho * v, g, g, value=1.0 - rho)
        for v, g in zip(squares, gradients, strict=True)
    )
    weights = tuple(
        torch.addcdiv(
            w,
            g,
            torch.sqrt(v + benchmarks.INNER_EPSILON),
            value=-(benchmarks.INNER_RATE if rate is None else rate),
        )
        for w, g, v in zip(weights, gradients, squares, strict=True)
    )
    return weights, squares


def _zeros(weights):
    return tuple(torch.zeros_like(w) for w in weights)


def _leaves(weights):
    return tuple(w.detach().requires_grad_() for w in weights)


def _first_order_task(d, g, draws, task, variant, *, outer, rate=None):
    """Adapt by first-order steps; add up the outer gradients if `outer`."""
    square_d, square_g = _zeros(d), _zeros(g)
    total_d, total_g = _zeros(d), _zeros(g)
    for step in range(draws.support.shape[1]):
        at = (task, step)
        d, g = _leaves(d), _leaves(g)
        z, mix = draws.latent[at], draws.mix[at]
        grad_d, grad_g = networks.gradients(
            d, g, draws.support[at], z[0], mix[0], variant, graph=False
        )
        with torch.no_grad():
            d, square_d = _rmsprop(d, grad_d, square_d, rate)
            g, square_g = _rmsprop(g, grad_g, square_g, rate)
        if not outer:
            continue
        d, g = _leaves(d), _leaves(g)
        grad_d, grad_g = networks.gradients(
            d, g, draws.query[at], z[1], mix[1], variant, graph=False
        )
        torch._foreach_add_(total_d, grad_d)
        torch._foreach_add_(total_g, grad_g)
    return (total_d, total_g) if outer else (d, g)


def adapt(
    d: Weights, g: Weights, draws: Draws, *, variant: Variant, rate: float
) -> tuple[Weights, Weights]:
    """Return the weights after the inner steps on the first task.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      draws: of which support, and of latent and mix index 0, are used.
      variant: how.
      rate: step size of the inner optimiser.
    """
    return _first_order_task(d, g, draws, 0, variant, outer=False, rate=rate)


def _fomaml_task(d, g, draws, task, variant):
    steps = draws.support.shape[1]
    total = _first_order_task(d, g, draws, task, variant, outer=True)
    return tuple(tuple(w / steps for w in part) for part in total)


def _reptile_task(d, g, draws, task, variant):
    last = _first_order_task(d, g, draws, task, variant, outer=False)
    return tuple(
        tuple((a - b).detach() for a, b in zip(meta, adapted, strict=True))
        for meta, adapted in zip((d, g), last, strict=True)
    )


def _maml_task(d, g, draws, task, variant):
    first_d, first_g = d, g = _leaves(d), _leaves(g)
    square_d, square_g = _zeros(d), _zeros(g)
    steps = draws.support.shape[1]
    total_d = total_g = 0.0
    for step in range(steps):
        at = (task, step)
        z, mix = draws.latent[at], draws.mix[at]
        grad_d, grad_g = networks.gradients(
            d, g, draws.support[at], z[0], mix[0], variant, graph=True
        )
        d, square_d = _rmsprop(d, grad_d, square_d)
        g, square_g = _rmsprop(g, grad_g, square_g)
        fake = networks.generator(g, z[1], variant)
        loss_d, loss_g = networks.losses(
            d, fake, fake, draws.query[at], mix[1], variant
        )
        total_d = total_d + loss_d / steps
        total_g = total_g + loss_g / steps
    meta_d = torch.autograd.grad(total_d, first_d, retain_graph=True)
    return meta_d, torch.autograd.grad(total_g, first_g)


_TASKS = {
    "fomaml": _fomaml_task,
    "maml": _maml_task,
    "reptile": _reptile_task,
}


def meta_gradients(
    d: Weights,
    g: Weights,
    draws: Draws,
    *,
    algo: str,
    variant: Variant,
    pool: futures.Executor | None = None,
) -> tuple[Weights, Weights]:
    """Return the meta-gradient of each player, sum over tasks.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      draws: data of the meta-step.
      algo: "fomaml", "maml" or "reptile".
      variant: how; `workers` and `malloc` are the caller's business.
      pool: where to run the tasks; None: here, one after the other.
    """
    task = functools.partial(_TASKS[algo], d, g, draws, variant=variant)
    tasks = range(draws.support.shape[0])
    found = list(map(task, tasks) if pool is None else pool.map(task, tasks))
    found_d, found_g = (
        tuple(sum(leaf) for leaf in zip(*part, strict=True))
        for part in zip(*found, strict=True)
    )
    return found_d, found_g


def make_step(
    workload: benchmarks.Workload, variant: Variant, *, seed: int
) -> Callable[[], None]:
    """Return a function that runs one meta-step with fresh random draws."""
    arrays = benchmarks.arrays(workload, seed=seed)
    d = to_torch(arrays.weights["d"], variant)
    g = to_torch(arrays.weights["g"], variant)
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
            d, g, fresh, algo=workload.algo, variant=variant, pool=pool
        )

    return step
