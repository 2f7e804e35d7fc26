"""Joint training: one GAN for all classes, without inner steps."""

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms import base
from tf_metagan.core import tree
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import Vars


class Joint(base.Algorithm):
    """The outer gradient is the game's own gradient at the meta-weights.

    With players that see the task, as those of --game=exemplar, this trains a
    GAN whose meta-weights already draw an unseen class; with players that do
    not, it is the ordinary GAN of all training classes, a baseline. Adaptation
    works as for every other rule. The loss is taken on the query images of one
    inner step, and the players take the turns of one: with
    --update_order=sequential G learns from a D that has already learned.

    Source: ours; the limit of FOMAML for an inner rate of zero.
    """

    defaults: ClassVar[Mapping[str, object]] = MappingProxyType(
        {"inner_steps": 1, "adapt_steps": 0}
    )

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop, used by adaptation only.
          inner_steps: 1: there is nothing that more steps would be for.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: several inner steps, or learned step sizes.
        """
        if inner_steps != 1:
            raise ValueError(
                f"--algo=joint takes no inner steps in training, got "
                f"--inner_steps={inner_steps}. Leave it out; --adapt_steps "
                "says how many to take afterwards."
            )
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        for rule in rollout.rules.values():
            if rule.learned_rates != "none" or rule.statistics == "learned":
                raise ValueError(
                    "joint cannot learn rates or statistics of steps that it "
                    f"does not take, got learned_rates={rule.learned_rates!r},"
                    f" inner_statistics={rule.statistics!r}. Use --algo=fomaml "
                    "or maml for these."
                )

        self._turn = 0

    def outer_turns(self) -> tuple["Joint", ...]:
        """Return this rule once for every turn of an inner step."""
        turns = [
            turn for turn in self.rollout.turns for _ in range(turn.repeats)
        ]
        return tuple(
            self._only(turn.players, number)
            for number, turn in enumerate(turns)
        )

    def _only(self, players, number: int) -> "Joint":
        """Return this rule for some players, with latents of its own."""
        rule = copy.copy(self)
        rule._turn = number
        rule._learns = lambda p, leaf: p in players and self._learns(p, leaf)
        return rule

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        names = (*base.validation_names(self.game), *self.game.metrics)
        return {name: [] for name in names}

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the game's gradients at the meta-weights."""
        del meta_step
        learned = self.learned(vars.params)
        wrt = {p: tuple(leaves) for p, leaves in learned.items() if leaves}
        grads, outcome = self.game.gradients(
            vars, *self.rollout.validation(self._turn, task), wrt
        )
        grads = {p: grads.get(p, {}) for p in learned}
        return base.Result(
            grads=Vars(grads, {}, tree.zeros_like(vars.inner)),
            state=tree.merge(vars.state, outcome.state),
            metrics=_metrics(outcome),
        )

    def _adaptation_metrics(self, vars: Vars, task: Task) -> dict:
        return _metrics(
            self.game.losses(vars, *self.rollout.validation(0, task))
        )


def _metrics(outcome) -> dict:
    losses = {f"{p.upper()}_val": x for p, x in outcome.loss.items()}
    return {**outcome.metrics, **losses}
