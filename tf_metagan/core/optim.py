"""Inner optimisers: pure, differentiable to every order, finite at zero.

An optimiser turns gradients into directions; the inner rule multiplies them by
step sizes (`core/inner.py`), so that a step size may be one number, one number
per layer and step, or one per weight.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import numerics
from tf_metagan.types import Params

Slots = dict[str, Params]
"""Statistics of one player: {slot name: {leaf: tensor}}."""


class InnerOptimizer(NamedTuple):
    """A rule that turns gradients into descent directions.

    Attributes:
      init: (params) -> slots, all zero.
      update: (grads, slots) -> (directions, slots). The weights move by
        minus step size times direction.
      squares: names of the slots that hold means of squares (never negative).
      moments: names of the slots that hold means of gradients (any sign).
    """

    init: Callable[[Params], Slots]
    update: Callable[[Params, Slots], tuple[Params, Slots]]
    squares: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()


def sgd() -> InnerOptimizer:
    """Follow the gradient: direction = g."""
    return InnerOptimizer(
        lambda params: {}, lambda grads, slots: (grads, slots)
    )


def momentum(*, inner_momentum: float) -> InnerOptimizer:
    """Follow a decaying sum of gradients: m = mu m + g, direction = m.

    Args:
      inner_momentum: mu, 0 <= mu < 1.

    Source: Polyak (1964), in the form of PyTorch's SGD.
    Differs: Keras's SGD puts the step size inside the sum; equal while the
      step size is constant.
    """

    def update(grads, slots):
        m = {k: inner_momentum * slots["m"][k] + g for k, g in grads.items()}
        return m, {"m": m}

    return InnerOptimizer(_zeros("m"), update, moments=("m",))


def rmsprop(
    *,
    inner_rho: float,
    inner_epsilon: float,
    epsilon_placement: str,
    statistics_gradient: str,
) -> InnerOptimizer:
    """Divide by the root mean square of past gradients.

    v = rho v + (1 - rho) g^2
    direction = g / sqrt(v + eps)        epsilon_placement "inside"
    direction = g / (sqrt(v) + eps)      epsilon_placement "outside"

    Args:
      inner_rho: decay rho of the mean of squares.
      inner_epsilon: eps.
      epsilon_placement: "inside" (Keras) or "outside" (PyTorch). At g = 0 and
        v = 0 the derivative of the direction is 1 / sqrt(eps) or 1 / eps.
      statistics_gradient: "full" differentiates through v; "stop" holds it
        constant for the outer gradient.

    Source: Tieleman and Hinton (2012); the paper of MAML-GAN uses it inside
      and outside without giving rho, eps or its placement.
    Differs: Keras defaults are rho 0.9, eps 1e-7 inside; PyTorch's are rho
      0.99, eps 1e-8 outside.
    """
    root = _root(inner_epsilon, epsilon_placement)
    hold = _hold(statistics_gradient)

    def update(grads, slots):
        v = {
            k: inner_rho * slots["v"][k] + (1.0 - inner_rho) * tf.square(g)
            for k, g in grads.items()
        }
        return {k: g / root(hold(v[k])) for k, g in grads.items()}, {"v": v}

    return InnerOptimizer(_zeros("v"), update, squares=("v",))


def adam(
    *,
    inner_beta1: float,
    inner_beta2: float,
    inner_epsilon: float,
    epsilon_placement: str,
    statistics_gradient: str,
) -> InnerOptimizer:
    """Divide the mean gradient by the root mean square, both debiased.

    m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  t = t + 1
    m^ = m / (1 - b1^t),    v^ = v / (1 - b2^t)
    direction = m^ / (sqrt(v^) + eps)    epsilon_placement "outside"
    direction = m^ / sqrt(v^ + eps)      epsilon_placement "inside"

    Args:
      inner_beta1: b1.
      inner_beta2: b2.
      inner_epsilon: eps.
      epsilon_placement: "outside" is the paper's and PyTorch's.
      statistics_gradient: as in `rmsprop`, for v.

    Source: Kingma and Ba (2015), algorithm 1.
    Differs: Keras adds eps to the root before removing the bias.
    """
    root = _root(inner_epsilon, epsilon_placement)
    hold = _hold(statistics_gradient)

    def init(params):
        slots = _zeros("m", "v")(params)
        slots["t"] = {k: tf.zeros([], p.dtype) for k, p in params.items()}
        return slots

    def update(grads, slots):
        m, v, t = {}, {}, {}
        direction = {}
        for k, g in grads.items():
            m[k] = inner_beta1 * slots["m"][k] + (1.0 - inner_beta1) * g
            v[k] = inner_beta2 * slots["v"][k]
            v[k] += (1.0 - inner_beta2) * tf.square(g)
            t[k] = slots["t"][k] + 1.0
            mean = m[k] / (1.0 - inner_beta1 ** t[k])
            square = v[k] / (1.0 - inner_beta2 ** t[k])
            direction[k] = mean / root(hold(square))
        return direction, {"m": m, "v": v, "t": t}

    return InnerOptimizer(init, update, squares=("v",), moments=("m",))


def _zeros(*slots: str):
    def init(params):
        return {
            slot: {k: tf.zeros_like(p) for k, p in params.items()}
            for slot in slots
        }

    return init


def _root(epsilon: float, placement: str):
    if placement == "inside":
        return lambda v: tf.sqrt(v + epsilon)
    if placement == "outside":
        return lambda v: numerics.safe_sqrt(v) + epsilon
    raise ValueError(
        f"epsilon_placement={placement!r} is unknown. Use 'inside', "
        "sqrt(v + eps), or 'outside', sqrt(v) + eps."
    )


def _hold(statistics_gradient: str):
    if statistics_gradient == "full":
        return lambda v: v
    if statistics_gradient == "stop":
        return tf.stop_gradient
    raise ValueError(
        f"statistics_gradient={statistics_gradient!r} is unknown. Use 'full' "
        "to differentiate through the mean of squares or 'stop' not to."
    )
