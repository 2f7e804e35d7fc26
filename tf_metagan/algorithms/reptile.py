"""Reptile: towards the adapted weights."""

from tf_metagan.algorithms import base
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
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop.
          inner_steps: k.
          inner_loop: "while" or "unrolled", a faster step for a slower start.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: rates or statistics are to be learned; the difference of
            weights says nothing about them.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        check_rules(rollout, "reptile")
        self._unrolled = inner_loop == "unrolled"

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        return metric_shapes(self)

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return meta minus adapted weights of one task."""
        del meta_step
        adapted, log = self._adapted(vars, task, unrolled=self._unrolled)
        grads = towards(self.learned(vars.params), adapted)
        return base.Result(
            grads=Vars(grads, {}, vars.inner),
            state=adapted.state,
            metrics=self._task_metrics(vars, adapted, log),
        )


def towards(learned: dict, adapted: Vars) -> dict:
    """Return {player: {leaf: meta-weight minus adapted weight}}."""
    return {
        p: {leaf: w - adapted.params[p][leaf] for leaf, w in leaves.items()}
        for p, leaves in learned.items()
    }


def metric_shapes(rule: base.Algorithm) -> dict[str, list[int]]:
    """Return the shapes of metrics of rules that validate at the end only."""
    shapes = rule._log_shapes(rule.rollout.metric_names())
    for name in base.validation_names(rule.game):
        shapes[name] = []
    return shapes


def check_rules(rollout: Rollout, name: str) -> None:
    """Refuse inner rules about which a difference of weights says nothing."""
    for rule in rollout.rules.values():
        if rule.learned_rates != "none" or rule.statistics == "learned":
            raise ValueError(
                f"{name} cannot learn rates or statistics, got "
                f"learned_rates={rule.learned_rates!r}, "
                f"inner_statistics={rule.statistics!r}. Use --algo=maml "
                "or fomaml for these."
            )
