"""The only owner of variables: meta-weights, outer optimisers, step, seed."""

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.core import tree
from tf_metagan.types import TaskBatch, Vars

_FIRST = tf.VariableAggregation.ONLY_FIRST_REPLICA


class Learner:
    """Applies the outer gradients of an algorithm to variables.

    Runs under any `tf.distribute` strategy; each replica works on its share
    of the tasks, and the result is that of one device for any division: the
    sums over tasks are added up over replicas, then divided by the number of
    tasks, then clipped.
    """

    def __init__(
        self,
        algorithm,
        variables: Vars,
        *,
        optimizers: dict[str, keras.Optimizer],
        rate_optimizers: dict[str, keras.Optimizer] | None = None,
        renew=None,
        outer_clip_norm: float | None = None,
        outer_clip_value: float | None = None,
        strategy: tf.distribute.Strategy | None = None,
        meta_step: tf.Variable | None = None,
        seed: int = 0,
        split: str = "",
        saves: bool = True,
    ):
        """Take over variables and build the optimisers' own.

        Args:
          algorithm: an `algorithms.base.Algorithm`.
          variables: Vars of Keras variables, made in the strategy's scope.
          optimizers: {player: Keras optimizer} of `params`, one per player.
          rate_optimizers: the same for `inner`; needed where it is not empty.
          renew: () -> the two above afresh, for every phase after the first;
            needed where the algorithm has several.
          outer_clip_norm: bound on the norm of each player's gradient.
          outer_clip_value: bound on the magnitude of each of its entries.
          strategy: where the variables live; the default one if None.
          meta_step: int64 counter to go on with; a new one at 0 if None.
          seed: of the run; saved and checked, not used.
          split: text form of the class split; saved and checked, not used.
          saves: whether this process writes checkpoints; of several processes
            one does.

        Raises:
          ValueError: an inner quantity has no optimiser.
        """
        self.algorithm = algorithm
        self.variables = variables
        self.strategy = strategy or tf.distribute.get_strategy()
        self._clip_norm = outer_clip_norm
        self._clip_value = outer_clip_value
        if meta_step is None:
            with self.strategy.scope():
                meta_step = tf.Variable(
                    0, dtype=tf.int64, trainable=False, aggregation=_FIRST
                )
        self.meta_step = meta_step
        self._fixed = {"seed": tf.Variable(seed, dtype=tf.int64)}
        self._fixed["split"] = tf.Variable(split)
        self._renew = renew
        self.saves = saves
        self._phase = 0
        self._prepare(optimizers, rate_optimizers or {})

    def _prepare(self, optimizers, rate_optimizers) -> None:
        """Give what learns in this phase to its optimisers."""
        variables = self.variables
        learned = self.algorithm.learned(variables.params)
        self._groups = {
            **{("params", p): x for p, x in learned.items() if x},
            **{("inner", p): x for p, x in variables.inner.items() if x},
        }
        self._optimizers = {}
        for field, player in self._groups:
            table = optimizers if field == "params" else rate_optimizers
            if player not in table:
                raise ValueError(
                    f"player {player!r} has {field} to learn but no outer "
                    f"optimizer; got one for {sorted(table)}. Pass one "
                    "optimizer per player."
                )
            self._optimizers[field, player] = table[player]
        with self.strategy.scope():
            for key, leaves in self._groups.items():
                self._optimizers[key].build(_ordered(leaves))
        self._rates = self.algorithm.game.rates(variables.params)
        self._steps: dict = {}

    def _step(self, tasks: TaskBatch):
        """Do one meta-step in a graph made for images of this size."""
        shape = tuple(tasks.support.shape)
        if shape not in self._steps:
            self._steps[shape] = tf.function(
                self._all_replicas, autograph=False
            )
        return self._steps[shape](self._divide(tasks))

    def enter_phase(self, meta_step: int) -> None:
        """Bring variables and optimisers into the phase of a meta-step.

        Weights that the phase adds, and its optimisers with their moving
        averages, are as they are at its beginning; weights that were there
        before keep their values.

        Args:
          meta_step: of the phase; an earlier phase is gone back to.
        """
        starts = self.algorithm.phases()
        phase = sum(start <= meta_step for start in starts) - 1
        if phase == self._phase:
            return
        begin, values = self._phase, self.values()
        if phase < begin:
            begin, values = 0, self.algorithm.init(0)
        for _ in range(begin, phase):
            values = self.algorithm.next_phase(values)
        fresh = create_variables(values, self.strategy)
        known = self.variables
        self.variables = Vars(
            *(
                {
                    player: {
                        leaf: getattr(known, field)
                        .get(player, {})
                        .get(leaf, variable)
                        for leaf, variable in leaves.items()
                    }
                    for player, leaves in part.items()
                }
                for field, part in fresh._asdict().items()
            )
        )
        self._phase = phase
        self._prepare(*self._renew())

    def values(self) -> Vars:
        """Return the current meta-weights as tensors."""
        return tf.nest.map_structure(tf.convert_to_tensor, self.variables)

    def averaged(self) -> Vars:
        """Return the moving averages where an optimizer keeps them.

        Where it does not, the current values. An average is of the phase at
        hand: it begins with the optimisers, which are fresh in each phase.
        What no longer learns counts as it is.
        """
        vars = self.values()
        for (field, player), leaves in self._groups.items():
            optimizer = self._optimizers[field, player]
            if optimizer.use_ema and int(optimizer.iterations.numpy()):
                with self.strategy.scope():
                    copies = [keras.Variable(v) for v in _ordered(leaves)]
                optimizer.finalize_variable_values(copies)
                getattr(vars, field)[player].update(
                    zip(
                        sorted(leaves),
                        (tf.convert_to_tensor(c) for c in copies),
                        strict=True,
                    )
                )
        return vars

    def step(self, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Do one meta-step.

        Args:
          tasks: the tasks of all devices together, any positive number.

        Returns:
          {name: scalar or [steps]}, means over the tasks; the norm of each
          player's outer gradient before clipping among them.
        """
        metrics = self._step(tasks)
        if len(self.algorithm.phases()) > 1:
            self.enter_phase(int(self.meta_step.numpy()))
        return metrics

    def replica_step(self, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Do this replica's part of a meta-step, in replica context.

        The meta-step counter is the caller's to advance; see `step`.
        """
        metrics: dict[str, tf.Tensor] = {}
        for rule in self.algorithm.outer_turns():
            metrics = {**self._turn(rule, tasks), **metrics}  # first counts
        return metrics

    def _turn(self, rule, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Let the players that a rule is for learn."""
        total = rule.meta_gradients(
            self.values(), tasks, tf.convert_to_tensor(self.meta_step)
        )
        mean = self._mean_over_tasks(total, tasks)
        metrics = dict(mean.metrics)
        for (field, player), leaves in self._groups.items():
            slopes = getattr(mean.grads, field)[player]
            if not slopes:
                continue
            grads = _ordered(slopes)
            norm = tf.linalg.global_norm(grads)
            metrics[norm_name(field, player)] = norm
            rates = self._rates.get(player, {}) if field == "params" else {}
            for _ in range(rule.strides):
                self._apply(
                    self._optimizers[field, player], grads, norm, leaves, rates
                )
        for player, leaves in self.variables.state.items():
            for leaf, variable in leaves.items():
                if variable.dtype.startswith(("float", "bfloat")):
                    variable.assign_add(mean.state[player][leaf])
        return metrics

    def replica_metrics(self, tasks: TaskBatch) -> dict[str, tf.Tensor]:
        """Return the metrics of tasks, changing nothing, in replica context."""
        total = self.algorithm.metrics(self.values(), tasks)
        return self._mean_over_tasks(total, tasks)

    def advance(self) -> None:
        """Count one meta-step."""
        self.meta_step.assign_add(1)

    def items(self) -> dict[str, tf.Variable]:
        """Return {name: variable} of everything that a checkpoint holds."""
        items = {"meta_step": self.meta_step, **self._fixed}
        for field, part in self.variables._asdict().items():
            for player, leaves in part.items():
                for leaf, variable in leaves.items():
                    name = f"{field}.{player}.{leaf}".replace("/", ".")
                    items[name] = variable.value
        for (field, player), optimizer in self._optimizers.items():
            for number, variable in enumerate(optimizer.variables):
                name = f"optimizer.{field}.{player}.{number:03d}"
                items[name] = variable.value
        return items

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return the values of all `items`, in memory."""
        return {name: v.numpy() for name, v in self.items().items()}

    def put_back(self, snapshot: dict[str, np.ndarray]) -> None:
        """Undo everything since `snapshot` was taken, a new phase too."""
        self.enter_phase(int(snapshot["meta_step"]))
        for name, variable in self.items().items():
            variable.assign(snapshot[name])

    def _all_replicas(self, tasks):
        metrics = self.strategy.run(self.replica_step, args=(tasks,))
        self.advance()
        return tf.nest.map_structure(
            lambda x: self.strategy.experimental_local_results(x)[0], metrics
        )

    def _divide(self, tasks: TaskBatch):
        """Give every replica its tasks: slot i goes to replica i modulo n."""
        n = self.strategy.num_replicas_in_sync
        if n == 1:
            return tasks
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.nest.map_structure(
                lambda x: (
                    None
                    if x is None
                    else x[context.replica_id_in_sync_group :: n]
                ),
                tasks,
            )
        )

    def _mean_over_tasks(self, total, tasks: TaskBatch):
        """Divide sums over a replica's tasks by the tasks of all replicas."""
        count = tf.cast(tf.shape(tasks.label)[0], tasks.support.dtype)
        total, count = self._sum_over_replicas((total, count))
        return tree.scale(total, 1.0 / count)

    def _sum_over_replicas(self, values):
        if self.strategy.num_replicas_in_sync == 1:
            return values
        context = tf.distribute.get_replica_context()
        flat = context.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.nest.flatten(values)
        )
        return tf.nest.pack_sequence_as(values, flat)

    def _apply(self, optimizer, grads, norm, leaves, rates) -> None:
        if self._clip_norm is not None:
            grads, _ = tf.clip_by_global_norm(
                grads, self._clip_norm, use_norm=norm
            )
        if self._clip_value is not None:
            bound = self._clip_value
            grads = [tf.clip_by_value(g, -bound, bound) for g in grads]
        # The optimiser adds up what the replicas hand it, and they all hand
        # it the same.
        share = 1.0 / self.strategy.num_replicas_in_sync
        before = {x: tf.identity(leaves[x]) for x in rates if x in leaves}
        optimizer.apply([share * g for g in grads], _ordered(leaves))
        for leaf, old in before.items():  # a part of the way that it went
            gone = tf.convert_to_tensor(leaves[leaf])
            leaves[leaf].assign(old + rates[leaf] * (gone - old))
            _correct_average(optimizer, leaves[leaf], gone)


def _correct_average(optimizer, variable, averaged: tf.Tensor) -> None:
    """Let a moving average know that its variable was changed afterwards.

    Keras adds 1 - momentum of the value to the average, all of it at first,
    in the step itself, and has no public name for the average.

    Args:
      optimizer: that has just made a step.
      variable: with its value of now.
      averaged: the value that went into the average.
    """
    if not optimizer.use_ema:
        return
    place = optimizer._get_variable_index(variable)
    average = optimizer._model_variables_moving_average[place]
    first = tf.equal(tf.convert_to_tensor(optimizer.iterations), 1)
    share = tf.where(first, 1.0, 1.0 - optimizer.ema_momentum)
    wrong = averaged - tf.convert_to_tensor(variable)
    average.assign(average - tf.cast(share, wrong.dtype) * wrong)


def create_variables(
    values: Vars, strategy: tf.distribute.Strategy | None = None
) -> Vars:
    """Make Keras variables with these values in a strategy's scope.

    Args:
      values: Vars of tensors.
      strategy: where they live; the default one if None.

    Returns:
      Vars of Keras variables named "<player>.<leaf>", "/" written as ".".
    """

    def create(field, player, leaf, value):
        return keras.Variable(
            value,
            dtype=value.dtype.name,
            trainable=field != "state",
            aggregation="only_first_replica",
            name=f"{player}.{leaf}".replace("/", "."),
        )

    with (strategy or tf.distribute.get_strategy()).scope():
        return Vars(
            *(
                {
                    player: {
                        leaf: create(field, player, leaf, value)
                        for leaf, value in leaves.items()
                    }
                    for player, leaves in part.items()
                }
                for field, part in values._asdict().items()
            )
        )


def norm_name(field: str, player: str) -> str:
    """Return the name of the metric of an outer gradient's norm.

    Args:
      field: "params" or "inner".
      player: name of the player.

    >>> norm_name("params", "d"), norm_name("inner", "g")
    ('grad_norm_outer_D', 'grad_norm_outer_G_rates')
    """
    suffix = player.upper() + ("_rates" if field == "inner" else "")
    return f"grad_norm_outer_{suffix}"


def _ordered(leaves: dict) -> list:
    return [leaves[leaf] for leaf in sorted(leaves)]
