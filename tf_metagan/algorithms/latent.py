"""Reptile for the players that adapt, ordinary steps for those that do not."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import tensorflow as tf

from tf_metagan.algorithms import base, reptile
from tf_metagan.core import rng, tree
from tf_metagan.core.rollout import Rollout, Task, Turn
from tf_metagan.types import Vars

_FINAL = 2  # stream of the last step; the rollout has 0 and 1


class Latent(base.Algorithm):
    """Players that move in the inner loop learn by Reptile, others classically.

    After the inner loop a player that did not move, the generator of
    --game=latent, has the gradient of its own loss beside the adapted others,
    on the support images of the last step. It learns by an optimiser of its
    own, which meets every task, while those of the inner loop begin anew in
    each: so neither tasks nor evaluations see each other's statistics.

    Source: NicelyCla/GAN-and-Meta-Learning, where the inner optimisers are
      shared by all tasks and by evaluation.
    """

    defaults: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            "architecture": "latent_dcgan",
            "loss": "non_saturating",
            "penalty": "none",
            "inner_steps": 20,
            "inner_batch_size": 64,
            "inner_optimizer": "adam",
            "inner_rate": 2e-4,
            "inner_epsilon": 1e-8,
            "epsilon_placement": "outside",
            "update_order": "sequential",
            "meta_batch": 1,
            "outer_optimizer": "sgd",
            "outer_rate": 0.01,
            "outer_schedule": "linear",
            "meta_steps": 40000,
        }
    )

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        inner_loop: str = "while",
        final_step: bool = False,
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop.
          inner_steps: k.
          inner_loop: "while" or "unrolled", a faster step for a slower start.
          final_step: whether adaptation ends with a step of the players that
            the inner loop does not move, by the inner optimiser.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: rates or statistics are to be learned, or there is nobody
            to take the final step.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        reptile.check_rules(rollout, "latent")
        self._unrolled = inner_loop == "unrolled"
        self.classical = tuple(
            p for p in self.game.players if p not in rollout.rules
        )
        self._last = (
            _rollout_of(rollout, self.classical) if final_step else None
        )

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        return reptile.metric_shapes(self)

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the outer gradients of one task; see the class."""
        del meta_step
        adapted, log = self._adapted(vars, task, unrolled=self._unrolled)
        learned = self.learned(vars.params)
        grads = reptile.towards(learned, adapted)
        wrt = {p: tuple(learned[p]) for p in self.classical if learned[p]}
        if wrt:
            seen = task._replace(query=task.support)
            data = self.rollout.validation(self.inner_steps - 1, seen)
            grads |= self.game.gradients(adapted, *data, wrt)[0]
        return base.Result(
            grads=Vars(grads, {}, tree.zeros_like(vars.inner)),
            state=adapted.state,
            metrics=self._task_metrics(vars, adapted, log),
        )

    def adapt(
        self, vars: Vars, support, others, seed, steps
    ) -> tuple[Vars, dict[str, tf.Tensor]]:
        """Adapt to one task; see `core.rollout.Rollout.run`."""
        adapted, log = super().adapt(vars, support, others, seed, steps)
        if self._last is None:
            return adapted, log
        once = tf.minimum(tf.convert_to_tensor(steps, tf.int32), 1)
        seed = rng.fold(seed, _FINAL)
        adapted, _ = self._last.run(adapted, support, others, seed, once)
        return adapted, log


def _rollout_of(rollout: Rollout, players: tuple[str, ...]) -> Rollout:
    """Return the rollout in which only `players` move, together."""
    if not players:
        raise ValueError(
            "--final_step is one of the players that do not move in the inner "
            f"loop, and {', '.join(rollout.rules)} all do. Leave it out, or "
            "use --game=latent."
        )
    rule = next(iter(rollout.rules.values()))._replace(statistics="reset")
    return Rollout(rollout.game, dict.fromkeys(players, rule), (Turn(players),))
