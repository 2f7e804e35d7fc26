"""Reptile: towards the adapted weights."""

import tensorflow as tf

from tf_metagan.algorithms import base
from tf_metagan.core import rollout as rollouts
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import Vars


class Reptile(base.Algorithm):
    """The pseudo-gradient is meta-weight minus adapted weight.

    Fed to an outer optimiser it is FIGR's form. With --outer_optimizer=sgd it
    is the interpolation w <- w + eps (adapted - w), eps = --outer_rate; with
    --outer_schedule=linear, eps decays to zero. Query images serve the logged
    losses only.

    Source: Nichol and Schulman (2018), algorithm 1; Clouatre and Demers
      (2019), FIGR.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        inner_loop: str = "while",
        meta_learn=("*",),
        parallel_tasks: int = 1,
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop.
          inner_steps: k.
          inner_loop: "while" or "unrolled", a faster step for a slower start.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.

        Raises:
          ValueError: rates or statistics are to be learned; the difference of
            weights says nothing about them.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
        )
        for rule in rollout.rules.values():
            if rule.learned_rates != "none" or rule.statistics == "learned":
                raise ValueError(
                    f"reptile cannot learn rates or statistics, got "
                    f"learned_rates={rule.learned_rates!r}, "
                    f"inner_statistics={rule.statistics!r}. Use --algo=maml "
                    "or fomaml for these."
                )
        self._unrolled = inner_loop == "unrolled"

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        shapes = self._log_shapes(self.rollout.metric_names())
        for name in base.validation_names(self.game):
            shapes[name] = []
        return shapes

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return meta minus adapted weights of one task."""
        del meta_step
        k = self.inner_steps
        log = {
            name: tf.zeros([k], task.support.dtype)
            for name in self.rollout.metric_names()
        }

        def visit(index, _, moved, log):
            return rollouts.note(log, index, moved.metrics)

        carry, log = self.rollout.scan(
            vars, task, k, visit, log, unrolled=self._unrolled
        )
        adapted = self.rollout.assemble(vars, carry)
        outcome = self.rollout.validate(vars, carry, k - 1, task)
        for p, loss in outcome.loss.items():
            log[f"{p.upper()}_val"] = loss
        grads = {
            p: {leaf: w - adapted.params[p][leaf] for leaf, w in leaves.items()}
            for p, leaves in self.learned(vars.params).items()
        }
        return base.Result(
            grads=Vars(grads, {}, vars.inner),
            state=adapted.state,
            metrics=self._task_metrics(vars, adapted, log),
        )
