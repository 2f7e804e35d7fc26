"""Meta-SGD: one inner step with a learned step size for every weight."""

import warnings
from types import MappingProxyType

from tf_metagan.algorithms import base, maml
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import Vars


class MetaSgd(base.Algorithm):
    """Learn the initial weights and the step sizes of a single inner step.

    p_1 = p - alpha_p o dL_p/dp, elementwise; the outer loop learns p and
    alpha_p from the loss of p_1 on fresh images.

    Source: Li et al. (2017); MAML-GAN, equation 5 (which omits the gradient
      sign). Differs: alpha starts at a constant, `inner_rate`, and may turn
      negative, as in the source.
    """

    defaults = MappingProxyType(
        {
            "inner_steps": 1,
            "inner_optimizer": "sgd",
            "inner_rate": 0.01,
            "learned_rates": "weight",
            "loss": "non_saturating",
            "penalty": "none",
        }
    )

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        loss: str,
        cross_player: str = "full",
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule; `Maml` has the arguments.

        Args:
          rollout: the inner loop, with rules that learn a rate per weight.
          inner_steps: 1 in the source; more share the learned rates.
          loss: name of the game's loss, to warn of one known to fail.
          cross_player: as in `Maml`.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: the rollout does not learn a rate for every weight.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        kinds = {rule.learned_rates for rule in rollout.rules.values()}
        if kinds != {"weight"}:
            raise ValueError(
                f"metasgd learns a step size for every weight, got "
                f"learned_rates={sorted(kinds)}. Use --learned_rates=weight, "
                "or --algo=maml for other learned rates."
            )
        if loss.startswith("wasserstein"):
            warnings.warn(
                "metasgd is reported not to train with the Wasserstein "
                "objective (MAML-GAN, section 5, failed combinations). "
                "--loss=non_saturating is the default.",
                stacklevel=2,
            )
        self._maml = maml.Maml(
            rollout,
            inner_steps=inner_steps,
            cross_player=cross_player,
            meta_learn=meta_learn,
        )

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        return self._maml.metric_shapes()

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the outer gradients of one task; see `base.Algorithm`."""
        return self._maml.task_gradients(vars, task, meta_step)
