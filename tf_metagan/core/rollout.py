"""The inner loop: the only place where players move.

A rollout starts from the meta-weights, lets the players of a game take turns
for a number of steps on the images of one task, and ends at adapted weights.
Everything here is a pure function of (vars, images, seed).
"""

import fnmatch
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng, tree
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.optim import Slots
from tf_metagan.types import Params, Vars

_ADAPT, _VALIDATE = range(2)


class Turn(NamedTuple):
    """Who moves, and how often in a row.

    The players of one turn move simultaneously: all gradients are taken at the
    same weights, images and latents, then all weights change.
    """

    players: tuple[str, ...]
    repeats: int = 1


class Carry(NamedTuple):
    """What changes during a rollout.

    Attributes:
      params: {player: {leaf: weight}}, the adapted leaves only.
      state: {player: {leaf: value}} of the networks.
      slots: {player: {slot: {leaf: value}}} of the inner optimisers.
    """

    params: dict[str, Params]
    state: dict[str, Params]
    slots: dict[str, Slots]


class Moved(NamedTuple):
    """One inner step.

    Attributes:
      carry: after the step.
      directions: {player: {leaf: sum of the step's descent directions}}.
      metrics: {name: scalar}, losses at the weights before each move.
    """

    carry: Carry
    directions: dict[str, Params]
    metrics: dict[str, tf.Tensor]


class Task(NamedTuple):
    """The data of one task of a TaskBatch, and its seed.

    Attributes:
      support: [steps | 1, batch, H, W, C].
      query: like `support`, or None where nothing is validated.
      others: like `support`, or None.
      seed: int64 [2].
      label: int64 scalar, class id; None where the class is unknown.
    """

    support: tf.Tensor
    query: tf.Tensor | None
    others: tf.Tensor | None
    seed: tf.Tensor
    label: tf.Tensor | None = None


def matcher(patterns) -> Callable[[str, str], bool]:
    """Return (player, leaf) -> does "player/leaf" match one of the patterns?

    Args:
      patterns: shell-style patterns ("*", "d/*", "g/up?/kernel").

    >>> keep = matcher(["d/head/*", "g/*"])
    >>> keep("d", "head/bias"), keep("d", "down1/bias"), keep("g", "up1/bias")
    (True, False, True)
    """
    return lambda player, leaf: any(
        fnmatch.fnmatchcase(f"{player}/{leaf}", p) for p in patterns
    )


class Rollout:
    """Lets the players of a game adapt to one task."""

    def __init__(
        self,
        game,
        rules: dict[str, InnerRule],
        turns: tuple[Turn, ...],
        *,
        adapt=("*",),
    ):
        """Fix who moves how.

        Args:
          game: a `gan.game.Game`.
          rules: {player: InnerRule} for each player that moves.
          turns: the turns of one inner step, in order.
          adapt: patterns over "player/leaf"; other weights stay.
        """
        self.game = game
        self.rules = rules
        self.turns = turns
        self._adapts = matcher(adapt)
        self._idle = tuple(p for p in game.players if p not in rules)

    def adapted(self, params: dict) -> dict:
        """Return the leaves that the inner loop moves."""
        return tree.select(
            params, lambda p, leaf: p in self.rules and self._adapts(p, leaf)
        )

    def init(self, seed: int) -> Vars:
        """Return freshly drawn weights and what the inner rules learn."""
        vars = self.game.init(seed)
        inner, state = {}, {}
        moving = self.adapted(vars.params)
        for player, rule in self.rules.items():
            learned, state[player] = rule.init(moving[player])
            if learned:
                inner[player] = learned
        return vars._replace(state=tree.merge(vars.state, state), inner=inner)

    def begin(self, vars: Vars) -> Carry:
        """Return the start of a task: meta-weights and initial statistics."""
        params = self.adapted(vars.params)
        slots = {
            p: rule.slots(
                params[p], vars.inner.get(p, {}), vars.state.get(p, {})
            )
            for p, rule in self.rules.items()
        }
        network = tree.select(
            vars.state, lambda p, leaf: not leaf.startswith("slots/")
        )
        return Carry(params, network, slots)

    def assemble(self, vars: Vars, carry: Carry) -> Vars:
        """Return `vars` with the moved parts taken from `carry`."""
        slots = {
            p: rule.carried(carry.slots[p]) for p, rule in self.rules.items()
        }
        return self._played(vars, carry)._replace(
            state=tree.merge(carry.state, slots)
        )

    def _played(self, vars: Vars, carry: Carry) -> Vars:
        """Return what the game is to see: without optimiser statistics."""
        return vars._replace(
            params=tree.merge(vars.params, carry.params), state=carry.state
        )

    def step(
        self, vars: Vars, carry: Carry, index, task: Task, *, alone=False
    ) -> Moved:
        """Let every turn of one inner step happen.

        Args:
          vars: the task's starting point; supplies what does not move.
          carry: the weights before the step.
          index: int32 scalar, number of the step from 0.
          task: images and seed.
          alone: to whoever differentiates the step, each move depends on the
            mover's own weights only; the values are the same.
        """
        real = _at(task.support, index)
        others = None
        if self.game.adapts_with_others and task.others is not None:
            others = _at(task.others, index)
        seed = rng.fold(task.seed, _ADAPT, index)
        directions, metrics = tree.zeros_like(carry.params), {}
        for number, turn in enumerate(self.turns):
            for repeat in range(turn.repeats):
                wrt = {p: tuple(carry.params[p]) for p in turn.players}
                wrt = {p: leaves for p, leaves in wrt.items() if leaves}
                grads, outcome = self._gradients(
                    self._played(vars, carry),
                    (real, others, rng.fold(seed, number, repeat)),
                    wrt,
                    alone=alone,
                )
                free = (p for p in self._idle if p in outcome.loss)
                for p in (*turn.players, *free):
                    metrics[f"{p.upper()}_loss"] = outcome.loss[p]
                metrics = {**outcome.metrics, **metrics}  # the first counts
                params, slots = dict(carry.params), dict(carry.slots)
                for p in wrt:
                    rule = self.rules[p]
                    toward, slots[p] = rule.optimizer.update(
                        grads[p], carry.slots[p]
                    )
                    params[p] = rule.move(
                        carry.params[p], toward, vars.inner.get(p, {}), index
                    )
                    directions[p] = tree.add(directions[p], toward)
                carry = Carry(params, outcome.state, slots)
        return Moved(carry, directions, metrics)

    def _gradients(self, vars: Vars, data, wrt: dict, *, alone: bool):
        """Return the game's gradients; with `alone`, opponents constant."""
        if not alone or not wrt:
            return self.game.gradients(vars, *data, wrt)
        grads = {}
        for mover, leaves in wrt.items():
            held = {
                p: x
                if p == mover
                else tf.nest.map_structure(tf.stop_gradient, x)
                for p, x in vars.params.items()
            }
            own, outcome = self.game.gradients(
                vars._replace(params=held), *data, {mover: leaves}
            )
            grads.update(own)
        return grads, outcome

    def metric_names(self) -> tuple[str, ...]:
        """Return the names `step` reports."""
        movers = dict.fromkeys(p for turn in self.turns for p in turn.players)
        shown = (*movers, *self._idle)
        return (*(f"{p.upper()}_loss" for p in shown), *self.game.metrics)

    def scan(
        self,
        vars: Vars,
        task: Task,
        steps,
        visit,
        extra,
        *,
        unrolled=False,
        first=0,
        carry: Carry | None = None,
    ):
        """Take inner steps and fold `visit` over them.

        Args:
          vars: the task's starting point.
          task: images and seed.
          steps: number of the step before which to end; an int32 tensor where
            not unrolled.
          visit: (index, carry before, Moved, extra) -> extra.
          extra: loop-carried structure of tensors or TensorArrays.
          unrolled: write the loop out in the graph; `steps` is an int then.
          first: number of the step to begin with.
          carry: before that step; the start of the task if None.

        Returns:
          (Carry after the last step, extra).
        """

        def body(index, carry, extra):
            moved = self.step(vars, carry, index, task)
            return index + 1, moved.carry, visit(index, carry, moved, extra)

        if carry is None:
            carry = self.begin(vars)
        if unrolled:
            for index in range(first, steps):
                _, carry, extra = body(tf.constant(index), carry, extra)
            return carry, extra
        _, carry, extra = tf.while_loop(
            lambda index, carry, extra: index < steps,
            body,
            (tf.convert_to_tensor(first, tf.int32), carry, extra),
            parallel_iterations=1,
        )
        return carry, extra

    def run(
        self, vars: Vars, support, others, seed, steps
    ) -> tuple[Vars, dict[str, tf.Tensor]]:
        """Adapt: the path of evaluation, sampling and export.

        Args:
          vars: meta-weights.
          support: [batches, batch, H, W, C] in [-1, 1]; step s uses batch s
            modulo their number.
          others: like `support`, or None.
          seed: int64 [2].
          steps: number of inner steps, >= 0; integer or int32 scalar. None
            of them moves anything where a batch has fewer images than the game
            needs.

        Returns:
          (adapted Vars, {metric: [steps]}).
        """
        steps = tf.convert_to_tensor(steps, tf.int32)
        dtype = support.dtype
        log = {n: tf.zeros([steps], dtype) for n in self.metric_names()}
        least = self.game.least_images
        if least > 1:
            steps = tf.where(tf.shape(support)[1] < least, 0, steps)

        def visit(index, _, moved, log):
            return note(log, index, moved.metrics)

        carry, log = self.scan(
            vars, Task(support, None, others, seed), steps, visit, log
        )
        return self.game.remember(self.assemble(vars, carry), support), log

    def validate(self, vars: Vars, carry: Carry, index, task: Task):
        """Return the Outcome on the query images after step `index`."""
        return self.game.losses(
            self._played(vars, carry), *self.validation(index, task)
        )

    def validation(self, index, task: Task):
        """Return (real, others, seed) of the validation after step `index`."""
        others = None if task.others is None else _at(task.others, index)
        seed = rng.fold(task.seed, _VALIDATE, index)
        return _at(task.query, index), others, seed


def note(log: dict, index, metrics: dict) -> dict:
    """Return `log`, {name: [steps]}, with the metrics of step `index` added."""

    def put(row, value):
        here = tf.range(tf.shape(row)[0]) == index
        return tf.where(here, row + tf.cast(value, row.dtype), row)

    return {
        name: put(row, metrics[name]) if name in metrics else row
        for name, row in log.items()
    }


def _at(batches: tf.Tensor, index) -> tf.Tensor:
    """Return batch `index` modulo their number."""
    return tf.gather(batches, tf.math.floormod(index, tf.shape(batches)[0]))
