"""The meta-step in eager PyTorch: the bar that the library has to clear.

Written to be as fast as eager PyTorch goes on a CPU. Every trick is a field of
`Variant`, so that each can be timed on its own; the library is compared with
the fastest combination.

Images are [n, 1, 28, 28] here. The weights of a player are a tuple of tensors
in the order of `benchmarks.shapes`; `to_torch` and `to_keras` convert.
"""

import functools
import math
from collections.abc import Callable
from concurrent import futures
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

import benchmarks

Weights = tuple[torch.Tensor, ...]


class Variant(NamedTuple):
    """One way to write the step; the defaults are what most people write.

    Attributes:
      layout: "nchw" or "channels_last", the order of images in memory.
      conv: "native"; or "adjoint", the derivatives of a convolution written
        as convolutions, because PyTorch's own second derivative is slow.
      leaky: "native"; "mask", multiplication with a tensor of slopes; or
        "function", one kernel each way and no zeros sent back to the input.
      shared: one backward through D(fake) serves both players.
      joined: the critic sees fake and real images as one batch.
      workers: Python threads that the tasks are spread over.
      malloc: glibc keeps freed memory instead of returning it to the kernel.
    """

    layout: str = "nchw"
    conv: str = "native"
    leaky: str = "native"
    shared: bool = True
    joined: bool = False
    workers: int = 1
    malloc: bool = False


class Draws(NamedTuple):
    """Data of one meta-step as tensors; axes as in `benchmarks.Arrays`."""

    support: torch.Tensor
    query: torch.Tensor
    latent: torch.Tensor
    mix: torch.Tensor


# ---------------------------------------------------------------- operations
#
# <y, down(x, w)> = <up(y, w), x> = <kernel_gradient(x, y), w>: each of the
# three bilinear maps has the other two as its derivatives, to any order.


def _raw_down(x, w, b):
    return F.conv2d(x, w, b, stride=2, padding=1)


def _raw_up(y, w, b):
    if w.shape[1] > 1:
        return F.conv_transpose2d(y, w, b, stride=2, padding=1)
    channels, height, width = y.shape[1:]
    kernel = w.reshape(channels, 16)
    if y.is_contiguous():
        columns = kernel.t() @ y.flatten(2)
    else:
        columns = (y.permute(0, 2, 3, 1).flatten(1, 2) @ kernel).mT
    size = (2 * height, 2 * width)
    x = F.fold(columns, size, (4, 4), padding=1, stride=2)
    return x if b is None else x + b


def _raw_kernel_gradient(x, y):
    w = x.new_empty(()).expand(y.shape[1], x.shape[1], 4, 4)
    return torch.ops.aten.convolution_backward(
        y, x, w, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1,
        [False, True, False],
    )[1]  # fmt: skip


class _Down(torch.autograd.Function):
    """Convolution 4x4 stride 2: x [n, i, 2h, 2w], w [o, i, 4, 4]."""

    @staticmethod
    def forward(ctx, x, w, b, constant):
        ctx.save_for_backward(x, w)
        ctx.constant = constant
        return _raw_down(x, w, b)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        need_x, need_w, need_b, _ = ctx.needs_input_grad
        need_w = need_w and not ctx.constant
        need_b = need_b and not ctx.constant
        return (
            _Up.apply(g, w, None) if need_x else None,
            _KernelGradient.apply(x, g) if need_w else None,
            g.sum((0, 2, 3)) if need_b else None,
            None,
        )


class _Up(torch.autograd.Function):
    """Transposed convolution 4x4 stride 2: y [n, o, h, w], w [o, i, 4, 4]."""

    @staticmethod
    def forward(ctx, y, w, b):
        ctx.save_for_backward(y, w)
        return _raw_up(y, w, b)

    @staticmethod
    def backward(ctx, g):
        y, w = ctx.saved_tensors
        need_y, need_w, need_b = ctx.needs_input_grad
        return (
            _Down.apply(g, w, None, False) if need_y else None,
            _KernelGradient.apply(g, y) if need_w else None,
            g.sum((0, 2, 3)) if need_b else None,
        )


class _KernelGradient(torch.autograd.Function):
    """Derivative of <y, down(x, w)> with respect to w."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return _raw_kernel_gradient(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        need_x, need_y = ctx.needs_input_grad
        return (
            _Up.apply(y, g, None) if need_x else None,
            _Down.apply(x, g, None, False) if need_y else None,
        )


class _Leaky(torch.autograd.Function):
    """Leaky ReLU of which the second derivative is not even computed."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.leaky_relu(x, benchmarks.SLOPE)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return _LeakyGradient.apply(g, x.detach())


class _LeakyGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, x):
        ctx.save_for_backward(x)
        return torch.ops.aten.leaky_relu_backward(g, x, benchmarks.SLOPE, False)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return _LeakyGradient.apply(g, x.detach()), None


def _one_channel(x, variant):
    """View [n, 1, h, w] in the layout of the variant; strides leave it open."""
    if variant.layout == "nchw":
        return x
    return x.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def _leaky(x, variant):
    if variant.leaky == "function":
        return _Leaky.apply(x)
    if variant.leaky == "mask":
        positive = (x.detach() > 0).to(x.dtype)
        return x * (benchmarks.SLOPE + (1.0 - benchmarks.SLOPE) * positive)
    return F.leaky_relu(x, benchmarks.SLOPE)


def _down(x, w, b, variant, constant):
    if variant.conv == "adjoint":
        return _Down.apply(x, w, b, constant)
    return F.conv2d(x, w, b, stride=2, padding=1)


def _up(y, w, b, variant):
    if variant.conv == "adjoint":
        return _Up.apply(y, w, b)
    return F.conv_transpose2d(y, w, b, stride=2, padding=1)


# ------------------------------------------------------------------ networks


def generator(weights: Weights, z: torch.Tensor, variant: Variant):
    """Return images [n, 1, H, W] of latents [n, size].

    Args:
      weights: of a dense layer, then of transposed convolutions.
      z: latents.
      variant: how.
    """
    project, project_bias, *ups = weights
    side = math.isqrt(project.shape[1] // ups[0].shape[0])
    x = _leaky(torch.addmm(project_bias, z, project), variant)
    if variant.layout == "channels_last":
        x = x.view(z.shape[0], side, side, -1).permute(0, 3, 1, 2)
    else:
        x = x.view(z.shape[0], -1, side, side)
    *hidden, (last, last_bias) = _pairs(ups)
    for up, bias in hidden:
        x = _leaky(_up(x, up, bias, variant), variant)
    last = _one_channel(last, variant)
    return torch.tanh(_up(x, last, last_bias, variant))


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
    x, first = _one_channel(x, variant), _one_channel(first, variant)
    for down, bias in ((first, first_bias), *downs):
        x = _leaky(_down(x, down, bias, variant, constant), variant)
    if variant.layout == "channels_last":
        x = x.permute(0, 2, 3, 1)
    return torch.addmm(head_bias, x.flatten(1), head)


def _pairs(weights):
    """Group kernels with their biases."""
    return list(zip(weights[::2], weights[1::2], strict=True))


def _penalty(d, interpolate, variant):
    """(|dD/dx| - 1)^2, mean over samples; differentiable in d."""
    score = critic(d, interpolate, variant, constant=True).sum()
    (slope,) = torch.autograd.grad(score, interpolate, create_graph=True)
    square = slope.square().sum((1, 2, 3))
    norm = torch.sqrt(square + benchmarks.NORM_EPSILON)
    return benchmarks.PENALTY_WEIGHT * (norm - 1.0).square().mean()


def _losses(d, seen, fake, real, mix, variant):
    """Losses of both players; `seen` is the fake as the critic gets it."""
    interpolate = torch.lerp(fake, real, mix)
    if not interpolate.requires_grad:
        interpolate.requires_grad_()
    if variant.joined:
        both = critic(d, torch.cat([seen, real]), variant, constant=False)
        score, score_real = both.view(2, -1).mean(1)
    else:
        score = critic(d, seen, variant, constant=False).mean()
        score_real = critic(d, real, variant, constant=False).mean()
    penalty = _penalty(d, interpolate, variant)
    return score - score_real + penalty, -score


def _gradients(d, g, real, z, mix, variant, *, graph):
    """Gradient of each player's own loss, at the same weights and z.

    Args:
      d: weights of the critic.
      g: weights of the generator.
      real: [n, 1, 28, 28].
      z: [n, 64].
      mix: [n, 1, 1, 1].
      variant: how.
      graph: keep the graph, so that the result can be differentiated.
    """
    fake = generator(g, z, variant)
    if not variant.shared:
        source = fake if graph else fake.detach()
        loss_d, loss_g = _losses(d, fake, source, real, mix, variant)
        grad_d = torch.autograd.grad(
            loss_d, d, create_graph=graph, retain_graph=True
        )
        return grad_d, torch.autograd.grad(loss_g, g, create_graph=graph)
    if graph:
        seen, source = fake.view_as(fake), fake
    else:
        source = fake.detach()
        seen = fake.detach().requires_grad_()
    loss_d, _ = _losses(d, seen, source, real, mix, variant)
    *grad_d, grad_fake = torch.autograd.grad(
        loss_d, (*d, seen), create_graph=graph
    )
    grad_g = torch.autograd.grad(
        fake, g, grad_outputs=-grad_fake, create_graph=graph
    )
    return tuple(grad_d), grad_g


# ---------------------------------------------------------------- algorithms


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
        grad_d, grad_g = _gradients(
            d, g, draws.support[at], z[0], mix[0], variant, graph=False
        )
        with torch.no_grad():
            d, square_d = _rmsprop(d, grad_d, square_d, rate)
            g, square_g = _rmsprop(g, grad_g, square_g, rate)
        if not outer:
            continue
        d, g = _leaves(d), _leaves(g)
        grad_d, grad_g = _gradients(
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
        grad_d, grad_g = _gradients(
            d, g, draws.support[at], z[0], mix[0], variant, graph=True
        )
        d, square_d = _rmsprop(d, grad_d, square_d)
        g, square_g = _rmsprop(g, grad_g, square_g)
        fake = generator(g, z[1], variant)
        loss_d, loss_g = _losses(
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


# ---------------------------------------------------------------- conversion


def _grid(array, axis, side):
    """Split the flat axis of length side * side * channels, channels last."""
    shape = array.shape
    return array.reshape(*shape[:axis], side, side, -1, *shape[axis + 1 :])


def _flat_to_torch(array, axis, side):
    grid = np.moveaxis(_grid(array, axis, side), axis + 2, axis)
    return grid.reshape(array.shape)


def _flat_to_keras(array, axis):
    shape = array.shape
    grid = array.reshape(*shape[:axis], -1, 7, 7, *shape[axis + 1 :])
    return np.moveaxis(grid, axis, axis + 2).reshape(shape)


_FLAT_AXIS = {"head/kernel": 0, "project/kernel": 1, "project/bias": 0}


def to_torch(
    leaves: dict[str, np.ndarray], variant: Variant, *, side: int = 7
) -> Weights:
    """Convert the weights of one player from the layout of Keras.

    Args:
      leaves: {layer/kernel, layer/bias: array}, in order; the dense layer of
        the generator is called "project", that of the critic "head".
      variant: gives the layout.
      side: height and width of the smallest feature map.
    """
    last = variant.layout == "channels_last"
    weights = []
    for leaf, array in leaves.items():
        if leaf in _FLAT_AXIS and not last:
            array = _flat_to_torch(array, _FLAT_AXIS[leaf], side)
        if array.ndim == 4 and last:
            order = np.ascontiguousarray(array.transpose(3, 0, 1, 2))
            weight = torch.from_numpy(order).permute(0, 3, 1, 2)
        elif array.ndim == 4:
            order = np.ascontiguousarray(array.transpose(3, 2, 0, 1))
            weight = torch.from_numpy(order)
        else:
            weight = torch.from_numpy(np.ascontiguousarray(array))
        weights.append(weight)
    return tuple(weights)


def to_keras(
    weights: Weights, leaves: dict[str, np.ndarray], variant: Variant
) -> dict[str, np.ndarray]:
    """Convert back; `leaves` gives the names, in order."""
    found = {}
    for leaf, weight in zip(leaves, weights, strict=True):
        array = weight.numpy()
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if leaf in _FLAT_AXIS and variant.layout == "nchw":
            array = _flat_to_keras(array, _FLAT_AXIS[leaf])
        found[leaf] = array
    return found


def to_draws(arrays: benchmarks.Arrays) -> Draws:
    """Convert the data of one meta-step."""

    def images(array):
        return torch.from_numpy(array).movedim(-1, -3)

    return Draws(
        images(arrays.support),
        images(arrays.query),
        torch.from_numpy(arrays.latent),
        torch.from_numpy(arrays.mix),
    )


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
