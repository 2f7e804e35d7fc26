"""MAML: the exact outer gradient, through the inner optimiser."""

import tensorflow as tf

from tf_metagan.algorithms import base, fomaml
from tf_metagan.algorithms import step_weights as schedules
from tf_metagan.core import reverse
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import Vars

CROSS_PLAYER = ("full", "stop")


class Maml(base.Algorithm):
    """Second-order model-agnostic meta-learning of all players.

    grad_p = d/dp_0 sum_s w_s L_p(weights after step s), with L_p taken on
    fresh images and latents after every inner step.

    Source: MAML-GAN, algorithm 1 and equation 10; Finn et al. (2017).
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        step_weights: str = "uniform",
        annealing_steps: int | None = None,
        cross_player: str = "full",
        first_order_steps: int = 0,
        inner_loop: str = "while",
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop.
          inner_steps: k.
          step_weights: "uniform" (the paper's), "final" or "annealed".
          annealing_steps: meta-steps the annealing takes.
          cross_player: "full" differentiates the opponent's adapted weights
            too; "stop" takes them as constants. The paper writes one joint
            objective, which is "full".
          first_order_steps: meta-steps at the beginning that use FOMAML's
            gradient (MAML++, derivative-order annealing).
          inner_loop: "while" stores states and computes each step twice;
            "unrolled" stores everything.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: unknown cross_player, or annealing has no length.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        fomaml.check_annealing(step_weights, annealing_steps)
        if cross_player not in CROSS_PLAYER:
            raise ValueError(
                f"cross_player={cross_player!r} is unknown. Use 'full' for "
                "the whole derivative or 'stop' to hold the opponent constant."
            )
        self._step_weights = step_weights
        self._annealing_steps = annealing_steps or 1
        self._cross_player = cross_player
        self._unrolled = inner_loop == "unrolled"
        self._first_order_steps = first_order_steps
        self._first_order = None
        if first_order_steps:
            self._first_order = fomaml.Fomaml(
                rollout,
                inner_steps=inner_steps,
                step_weights=step_weights,
                annealing_steps=annealing_steps,
                inner_loop=inner_loop,
                meta_learn=meta_learn,
            )

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        return self._log_shapes(
            (
                *self.rollout.metric_names(),
                *base.validation_names(self.game),
            )
        )

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the outer gradients of one task; see `base.Algorithm`."""
        if self._first_order is None:
            return self._exact(vars, task, meta_step)
        return tf.cond(
            meta_step < self._first_order_steps,
            lambda: self._first_order.task_gradients(vars, task, meta_step),
            lambda: self._exact(vars, task, meta_step),
        )

    def _exact(self, vars: Vars, task: Task, meta_step) -> base.Result:
        weights = schedules.step_weights(
            meta_step,
            inner_steps=self.inner_steps,
            schedule=self._step_weights,
            annealing_steps=self._annealing_steps,
            dtype=task.support.dtype,
        )
        learned = self.learned(vars.params)
        grads, adapted, log = reverse.meta_gradient(
            self.rollout,
            vars,
            task,
            steps=self.inner_steps,
            step_weights=weights,
            learned=learned,
            cross_player=self._cross_player,
            unrolled=self._unrolled,
        )
        kept = {
            p: {leaf: grads.params[p][leaf] for leaf in leaves}
            for p, leaves in learned.items()
        }
        return base.Result(
            grads=grads._replace(params=kept),
            state=adapted.state,
            metrics=self._task_metrics(vars, adapted, log),
        )
