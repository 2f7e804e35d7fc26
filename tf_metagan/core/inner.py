"""The inner rule of one player: optimiser, step sizes, initial statistics."""

from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core.optim import InnerOptimizer, Slots
from tf_metagan.types import Params

LEARNED_RATES = ("none", "layer_step", "weight")
STATISTICS = ("reset", "carried", "learned")

_LOG_SQUARE = -14.0  # learned squares start at exp(-14), a root of 1e-3


class InnerRule(NamedTuple):
    """How one player's weights move: w = w - rate * direction.

    Attributes:
      optimizer: turns gradients into directions.
      rate: step size, > 0; where rates are learned, their initial value.
      learned_rates: "none"; "layer_step", one number per leaf and inner step
        (MAML++, section 4); "weight", one number per weight, shared by all
        steps (Meta-SGD, equation 5).
      statistics: what the optimiser starts a task with: "reset", zero;
        "carried", the mean over tasks of the last meta-step's final ones, held
        constant; "learned" by the outer loop.
      steps: how many inner steps have a learned rate of their own; later steps
        use the last one.
    """

    optimizer: InnerOptimizer
    rate: float
    learned_rates: str = "none"
    statistics: str = "reset"
    steps: int = 1

    def init(self, params: Params) -> tuple[Params, Params]:
        """Return (learned quantities, carried state) of a new run.

        Args:
          params: the leaves this rule moves.
        """
        inner, state = {}, {}
        for leaf, weight in params.items():
            if self.learned_rates == "layer_step":
                inner[f"rate/{leaf}"] = tf.fill(
                    [self.steps], tf.constant(self.rate, weight.dtype)
                )
            elif self.learned_rates == "weight":
                inner[f"rate/{leaf}"] = self.rate * tf.ones_like(weight)
        for slot, leaves in self.optimizer.init(params).items():
            for leaf, zero in leaves.items():
                if self.statistics == "carried":
                    state[f"slots/{slot}/{leaf}"] = zero
                elif self._is_learned(slot):
                    start = _LOG_SQUARE * self._is_square(slot)
                    inner[f"slots/{slot}/{leaf}"] = zero + start
        return inner, state

    def slots(self, params: Params, inner: Params, state: Params) -> Slots:
        """Return the statistics a task begins with."""
        slots = self.optimizer.init(params)
        for slot, leaves in slots.items():
            for leaf in leaves:
                name = f"slots/{slot}/{leaf}"
                if self.statistics == "carried":
                    leaves[leaf] = tf.stop_gradient(state[name])
                elif self._is_learned(slot):
                    value = inner[name]
                    square = self._is_square(slot)
                    leaves[leaf] = tf.exp(value) if square else value
        return slots

    def carried(self, slots: Slots) -> Params:
        """Return what `slots` leave behind for later tasks."""
        if self.statistics != "carried":
            return {}
        return {
            f"slots/{slot}/{leaf}": value
            for slot, leaves in slots.items()
            for leaf, value in leaves.items()
        }

    def move(
        self, params: Params, directions: Params, inner: Params, step
    ) -> Params:
        """Return w - rate * direction for every leaf.

        Args:
          params: {leaf: w}.
          directions: {leaf: direction}.
          inner: learned quantities of the player.
          step: int32 scalar, inner step from 0.
        """
        return {
            leaf: w - self._rate(inner, leaf, step) * directions[leaf]
            for leaf, w in params.items()
        }

    def _rate(self, inner: Params, leaf: str, step):
        if self.learned_rates == "none":
            return self.rate
        rate = inner[f"rate/{leaf}"]
        if self.learned_rates == "weight":
            return rate
        return tf.gather(rate, tf.minimum(step, self.steps - 1))

    def _is_learned(self, slot: str) -> bool:
        known = self.optimizer.squares + self.optimizer.moments
        return self.statistics == "learned" and slot in known

    def _is_square(self, slot: str) -> bool:
        return slot in self.optimizer.squares
