"""Rules that train GANs of photographs, a phase for each scale."""

import abc
import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import tensorflow as tf

from tf_metagan.algorithms import base
from tf_metagan.core import rng, tree
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import TaskBatch, Vars

_MOVES = 2**41  # a place in the tree of seeds that is no slot's and no game's

ONE_PHOTOGRAPH: Mapping[str, object] = MappingProxyType(
    {
        "dataset": "photographs",
        "image_size": 250,
        "smallest_size": 34,
        "noise_amplitude": "at_start",
        "reconstruction_weight": 10.0,
        "inner_steps": 1,
        "inner_batch_size": 1,
        "adapt_steps": 0,
        "update_order": "sequential",
        "n_critic": 3,
        "n_generator": 3,
        "penalty_weight": 0.1,
        "penalty_norm": "pixel",
        "meta_batch": 1,
        "panel_tasks": 1,
        "outer_optimizer": "adam",
        "outer_rate": 5e-4,
        "outer_epsilon": 1e-8,
        "outer_schedule": "drop",
    }
)
"""Defaults of the rules that are trained on one photograph alone."""


class Photographs(base.Algorithm, abc.ABC):
    """The outer gradient is the game's own, on all photographs of a batch.

    A phase per scale of the pyramid, of equal length; what learns in it is the
    game's to say (`gan.game.Game.learned`), D before G. Adaptation is one call
    of `gan.game.Game.remember`. Where a player moves several times in a
    meta-step, each time has noise of its own.

    Attributes:
      name: of the rule, for errors.
      one_gradient: whether G goes several times by one gradient rather than
        taking another one for every move.
    """

    name: ClassVar[str]
    one_gradient: ClassVar[bool] = False

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        meta_steps: int,
        meta_learn=("*",),
    ):
        """Fix the rule.

        Args:
          rollout: says who moves when; takes no steps.
          inner_steps: 1: a photograph is embedded, not learned by steps.
          meta_steps: length of training, divided over the scales.
          meta_learn: patterns of the weights that the outer loop learns.

        Raises:
          ValueError: the game has no scales, or there are inner steps, or
            fewer meta-steps than scales.
        """
        super().__init__(
            rollout, inner_steps=inner_steps, meta_learn=meta_learn
        )
        if self.game.model is None:
            raise ValueError(
                f"--algo={self.name} needs players that model a photograph, "
                "got a game that remembers none. Use --architecture="
                f"{self.defaults['architecture']}."
            )
        if inner_steps != 1:
            raise ValueError(
                f"--algo={self.name} takes no inner steps, got "
                f"--inner_steps={inner_steps}. Leave it out."
            )
        if 0 < meta_steps < self.game.phases:
            raise ValueError(
                f"--meta_steps={meta_steps} is less than one for each of the "
                f"{self.game.phases} scales. Use --meta_steps="
                f"{self.game.phases} or more, or a greater --smallest_size."
            )
        self._meta_steps = meta_steps
        self._players = self.game.players
        self._move = 0

    def phases(self) -> tuple[int, ...]:
        """Return the first meta-step of every scale."""
        count = self.game.phases if self._meta_steps else 1
        return tuple(i * self._meta_steps // count for i in range(count))

    def outer_turns(self) -> tuple["Photographs", ...]:
        """Return this rule once for every turn of an inner step."""
        rules = []
        for turn in self.rollout.turns:
            at_once = self.one_gradient and "g" in turn.players
            strides = turn.repeats if at_once else 1
            for move in range(turn.repeats // strides):
                rule = copy.copy(self)
                rule._players, rule._move = turn.players, move
                rule.strides = strides
                rules.append(rule)
        return tuple(rules)

    def learned(self, params: dict) -> dict:
        """Return the leaves that the outer loop learns in this phase."""
        return {
            p: leaves if p in self._players else {}
            for p, leaves in super().learned(params).items()
        }

    def adapt(self, vars: Vars, support, others, seed, steps):
        """Remember the photograph [1, 1, H, W, C]; there are no steps."""
        del others, seed, steps
        return self.game.remember(vars, support), {}

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `meta_gradients`."""
        names = [f"{p.upper()}_loss" for p in self._players]
        return {name: [] for name in (*names, *self.game.metrics)}

    def meta_gradients(
        self, vars: Vars, tasks: TaskBatch, meta_step
    ) -> base.Result:
        """Return sums over the photographs of a batch, all of one size."""
        del meta_step
        learned = self.learned(vars.params)
        wrt = {p: tuple(leaves) for p, leaves in learned.items() if leaves}
        seed = tasks.seed
        if self._move:
            seed = tf.stack(
                [rng.fold(x, _MOVES, self._move) for x in tf.unstack(seed)]
            )
        grads, outcome = self.game.gradients(
            vars, tasks.support[:, 0, 0], None, seed, wrt
        )
        grads = {p: grads.get(p, {}) for p in learned}
        result = base.Result(
            grads=Vars(grads, {}, {}),
            state=_changes(vars.state, outcome.state),
            metrics=_metrics(outcome),
        )
        return tree.scale(result, tf.shape(tasks.label)[0])

    def metrics(self, vars: Vars, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Return the metrics of `meta_gradients` without the gradients."""
        outcome = self.game.losses(
            vars, tasks.support[:, 0, 0], None, tasks.seed
        )
        return tree.scale(_metrics(outcome), tf.shape(tasks.label)[0])

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the outer gradients of one photograph."""
        alone = TaskBatch(
            *(
                None if x is None else x[tf.newaxis]
                for x in (
                    task.support,
                    task.query,
                    task.others,
                    task.label,
                    task.seed,
                )
            )
        )
        return self.meta_gradients(vars, alone, meta_step)


def _changes(before: dict, after: dict) -> dict:
    """Return after - before; zero for what is no floating number."""
    return {
        p: {
            leaf: after[p][leaf] - x
            if x.dtype.is_floating
            else tf.zeros_like(x)
            for leaf, x in leaves.items()
        }
        for p, leaves in before.items()
    }


def _metrics(outcome) -> dict:
    losses = {f"{p.upper()}_loss": x for p, x in outcome.loss.items()}
    return {**outcome.metrics, **losses}
