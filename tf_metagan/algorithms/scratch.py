"""The control row of every table: no meta-learning at all."""

from tf_metagan.algorithms import base
from tf_metagan.core.rollout import Task
from tf_metagan.types import Vars


class Scratch(base.Algorithm):
    """Adapt randomly initialised weights; the outer loop learns nothing.

    Its gradients are empty, so a run of it saves initial weights and ends.

    Source: the row "Not pre-trained" of MAML-GAN's table 1.
    """

    learns = False

    def learned(self, params: dict) -> dict:
        """Return no leaf of any player."""
        return {player: {} for player in params}

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return no metrics."""
        return {}

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return empty gradients and the unchanged state."""
        del task, meta_step
        return base.Result(
            Vars({p: {} for p in vars.params}, {}, vars.inner), vars.state, {}
        )
