"""What every meta-learning rule answers: the outer gradient of each player."""

import abc
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import tensorflow as tf

from tf_metagan.core import rollout as rollouts
from tf_metagan.core import task_axis, tree
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import TaskBatch, Vars

TASK_MAPPINGS = MappingProxyType(
    {"loop": task_axis.loop_sum, "vectorized": task_axis.vectorized_sum}
)
"""How a sum over tasks is taken, by the name of the setting."""


class Result(NamedTuple):
    """What one task, or a sum over tasks, contributes to a meta-step.

    Attributes:
      grads: Vars of outer gradients; `params` and `inner` hold the learned
        leaves only, `state` is empty.
      state: {player: {leaf: value}} at the end of the task.
      metrics: {name: scalar or [steps]}.
    """

    grads: Vars
    state: dict
    metrics: dict[str, tf.Tensor]


class Algorithm(abc.ABC):
    """A meta-learning rule: pure, without variables, files, flags or clocks.

    Attributes:
      defaults: settings in which the rule departs from the common defaults.
      learns: whether meta-steps change anything.
      least_steps: smallest number of inner steps that makes sense.
      classical: players whose outer gradient is an ordinary one, for an
        optimiser of ordinary training.
      strides: how often an optimiser goes by the gradients of a turn.
      one_task: whether it models a single class, which is shown in training.
    """

    defaults: ClassVar[Mapping[str, object]] = MappingProxyType({})
    learns: ClassVar[bool] = True
    least_steps: ClassVar[int] = 1
    classical: tuple[str, ...] = ()
    strides: int = 1
    one_task: ClassVar[bool] = False

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix what all rules share.

        Args:
          rollout: the inner loop; its game is the algorithm's game.
          inner_steps: k, steps per task in training.
          meta_learn: patterns over "player/leaf": the weights that the outer
            loop learns; the others keep their initial value.
          parallel_tasks: how many tasks may be worked on at the same time;
            costs memory, changes nothing else. None: two in a loop, all where
            they are vectorized.
          task_mapping: a name in `TASK_MAPPINGS`: "loop", one task after the
            other; "vectorized", with one more tensor axis. The results are
            the same up to rounding.

        Raises:
          ValueError: there are fewer inner steps than the rule needs, or
            task_mapping is unknown.
        """
        if inner_steps < self.least_steps:
            raise ValueError(
                f"--inner_steps={inner_steps} leaves this rule nothing to "
                f"learn from: expected at least {self.least_steps}. Use "
                f"--inner_steps={self.least_steps}; with --adapt= (nothing) "
                "the players do not adapt."
            )
        self.rollout = rollout
        self.game = rollout.game
        self.inner_steps = inner_steps
        self._learns = rollouts.matcher(meta_learn)
        if task_mapping not in TASK_MAPPINGS:
            raise ValueError(
                f"task_mapping={task_mapping!r} is unknown. Use one of "
                f"{', '.join(TASK_MAPPINGS)}."
            )
        self._sum = functools.partial(
            TASK_MAPPINGS[task_mapping], at_once=parallel_tasks
        )

    def init(self, seed: int) -> Vars:
        """Return the meta-weights a run with this seed begins with."""
        return self.rollout.init(seed)

    def learned(self, params: dict) -> dict:
        """Return the leaves that the outer loop learns."""
        return tree.select(self.game.learned(params), self._learns)

    def phases(self) -> tuple[int, ...]:
        """Return the meta-steps at which phases of training begin, from 0.

        Each phase has fresh outer optimisers and a schedule of its own, and
        what does not learn in it (`learned`) has neither gradient nor
        statistics. Most rules have one phase.
        """
        return (0,)

    def next_phase(self, vars: Vars) -> Vars:
        """Return what the next phase begins with, given how one ended."""
        return self.game.grow(vars)

    def outer_turns(self) -> tuple["Algorithm", ...]:
        """Return the rules of one meta-step, to be applied one after another.

        Each is this rule for some of the players; a later one begins with the
        weights that an earlier one has changed. Most rules take one turn, in
        which all players learn at once.
        """
        return (self,)

    def adapt(
        self, vars: Vars, support, others, seed, steps
    ) -> tuple[Vars, dict[str, tf.Tensor]]:
        """Adapt to one task; see `core.rollout.Rollout.run`."""
        return self.rollout.run(vars, support, others, seed, steps)

    @abc.abstractmethod
    def task_gradients(self, vars: Vars, task: Task, meta_step) -> Result:
        """Return the outer gradients of one task.

        Args:
          vars: meta-weights.
          task: images and seed.
          meta_step: int64 scalar, number of the meta-step from 0.
        """

    @abc.abstractmethod
    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""

    def meta_gradients(self, vars: Vars, tasks: TaskBatch, meta_step) -> Result:
        """Return the sum of `task_gradients` over the tasks of a batch.

        Args:
          vars: meta-weights.
          tasks: a TaskBatch of any number of tasks, none included.
          meta_step: int64 scalar, number of the meta-step from 0.

        Returns:
          Result whose every entry is a sum over the tasks, and whose state is
          the sum of the changes: exactly zero for what does not change.
        """

        def one(task):
            told = self.game.told(vars, task.label)
            result = self.task_gradients(told, task, meta_step)
            state = {p: result.state[p] for p in vars.state}
            change = tree.zip_map(tf.subtract, state, vars.state)
            return result._replace(state=change)

        zero = Result(
            grads=Vars(
                tree.zeros_like(self.learned(vars.params)),
                {},
                tree.zeros_like(vars.inner),
            ),
            state=tree.zeros_like(vars.state),
            metrics=self._zero_metrics(tasks),
        )
        return self._sum_over_tasks(tasks, one, zero)

    def metrics(self, vars: Vars, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Return the metrics of `meta_gradients` without the gradients.

        Args:
          vars: meta-weights.
          tasks: a TaskBatch of any number of tasks, none included.

        Returns:
          {name: sum over the tasks}.
        """
        return self._sum_over_tasks(
            tasks,
            lambda task: self._adaptation_metrics(vars, task),
            self._zero_metrics(tasks),
        )

    def _adaptation_metrics(self, vars: Vars, task: Task) -> dict:
        return self._task_metrics(vars, *self._adapted(vars, task))

    def _adapted(
        self, vars: Vars, task: Task, *, unrolled: bool = False
    ) -> tuple[Vars, dict]:
        """Return (adapted Vars, the log of adaptation and validation)."""
        shapes = self.metric_shapes()
        names = {f"{p.upper()}_val": p for p in self.game.players}
        each = all(shapes[name] for name in names)

        def validate(carry, index):
            outcome = self.rollout.validate(vars, carry, index, task)
            return {name: outcome.loss[p] for name, p in names.items()}

        def visit(index, _, moved, log):
            after = validate(moved.carry, index) if each else {}
            return rollouts.note(log, index, {**moved.metrics, **after})

        rows = (*self.rollout.metric_names(), *(names if each else ()))
        k, dtype = self.inner_steps, task.support.dtype
        log = {name: tf.zeros([k], dtype) for name in rows}
        carry, log = self.rollout.scan(
            vars, task, k, visit, log, unrolled=unrolled
        )
        if not each:
            log.update(validate(carry, k - 1))
        return self.rollout.assemble(vars, carry), log

    def _zero_metrics(self, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        return {
            name: tf.zeros(shape, tasks.support.dtype)
            for name, shape in self.metric_shapes().items()
        }

    def _sum_over_tasks(self, tasks: TaskBatch, one, zero):
        """Return `zero` plus the sum of `one(task)`."""
        absent = dict.fromkeys(Task._fields)
        present = {k: x for k, x in tasks._asdict().items() if x is not None}
        return self._sum(
            lambda found: one(Task(**{**absent, **found})), present, zero
        )

    def _task_metrics(self, vars: Vars, adapted: Vars, log: dict) -> dict:
        """Return `log` with how far each player moved."""
        norms = {
            f"inner_update_norm_{p.upper()}": tree.global_norm(
                [adapted.params[p][leaf] - w for leaf, w in weights.items()]
            )
            for p, weights in vars.params.items()
            if p in self.rollout.rules
        }
        return {**log, **norms}

    def _log_shapes(self, names) -> dict[str, list[int]]:
        shapes = {name: [self.inner_steps] for name in names}
        for p in self.rollout.rules:
            shapes[f"inner_update_norm_{p.upper()}"] = []
        return shapes


def validation_names(game) -> tuple[str, ...]:
    """Return the names of the losses on query images."""
    return tuple(f"{p.upper()}_val" for p in game.players)
