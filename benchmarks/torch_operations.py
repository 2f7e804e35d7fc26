"""Operations of the meta-step in PyTorch, and the ways to write them.

<y, down(x, w)> = <up(y, w), x> = <kernel_gradient(x, y), w>: each of the three
bilinear maps has the other two as its derivatives, to any order.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

import benchmarks


class Variant(NamedTuple):
    """One way to write the step; the defaults are what most people write.

    Attributes:
      form: "autograd", `torch.autograd.grad` all the way; "func", torch.func's
        grad and vjp; "vmap", the same for all tasks at once; or "higher", the
        inner loop of that package.
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

    form: str = "autograd"
    layout: str = "nchw"
    conv: str = "native"
    leaky: str = "native"
    shared: bool = True
    joined: bool = False
    workers: int = 1
    malloc: bool = False


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


def one_channel(x, variant):
    """View [n, 1, h, w] in the layout of the variant; strides leave it open."""
    if variant.layout == "nchw":
        return x
    return x.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def leaky(x, variant):
    if variant.leaky == "function":
        return _Leaky.apply(x)
    if variant.leaky == "mask":
        positive = (x.detach() > 0).to(x.dtype)
        return x * (benchmarks.SLOPE + (1.0 - benchmarks.SLOPE) * positive)
    return F.leaky_relu(x, benchmarks.SLOPE)


def down(x, w, b, variant, constant):
    if variant.conv == "adjoint":
        return _Down.apply(x, w, b, constant)
    return F.conv2d(x, w, b, stride=2, padding=1)


def up(y, w, b, variant):
    if variant.conv == "adjoint":
        return _Up.apply(y, w, b)
    return F.conv_transpose2d(y, w, b, stride=2, padding=1)


def rmsprop(weights, gradients, squares, rate=None):
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


def descend(weights, gradients, rates):
    """w' = w - rates * g, elementwise; the rates stay as they are."""
    weights = tuple(
        torch.addcmul(w, r, g, value=-1.0)
        for w, g, r in zip(weights, gradients, rates, strict=True)
    )
    return weights, rates


def zeros(weights):
    """Return zeros like each weight."""
    return tuple(torch.zeros_like(w) for w in weights)


def leaves(weights):
    """Return the weights as constants that gradients are taken at."""
    return tuple(w.detach().requires_grad_() for w in weights)
