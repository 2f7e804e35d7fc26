"""The control row of every table: no meta-learning at all."""

from tf_metagan.algorithms import base
from tf_metagan.core import tree
from tf_metagan.core.rollout import Task
from tf_metagan.types import Vars


class Scratch(base.Algorithm):
    """Adapt randomly initialised weights; the outer loop learns nothing.

    Its gradients are empty, so a run of it saves initial weights and ends.

    Source: the row "Not pre-trained" of MAML-GAN's table 1.
    """

    learns = False
    least_steps = 0

    def learned(self, params: dict) -> dict:
        """Return no leaf of any player."""
        return {player: {} for player in params}

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return no metrics."""
        return {}

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return empty gradients and the unchanged state."""
        del task, meta_step
        nothing = Vars(
            {p: {} for p in vars.params}, {}, tree.zeros_like(vars.inner)
        )
        return base.Result(nothing, vars.state, {})

    def _adaptation_metrics(self, vars: Vars, task: Task) -> dict:
        return {}
