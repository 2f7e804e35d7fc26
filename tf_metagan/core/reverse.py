"""The outer gradient through a rollout, with bounded memory.

A rollout maps weights and optimiser statistics s_0 to s_1, ..., s_k. Player
p's outer objective is M_p = sum_i w_i L_p(s_i), i = 1..k. Running backwards
with the adjoint a_p = dM_p/ds_i,

  a_p <- a_p + w_i dL_p/ds_i;   a_p <- (ds_i/ds_{i-1})^T a_p,

only the states s_i are stored; each step is computed a second time when its
transposed Jacobian is needed. Memory beyond one step is k times the size of
the weights and statistics instead of k times the activations.

With many steps only the states at the beginnings of about sqrt(k) segments are
stored, and those within a segment found once more when the sweep is there:
memory grows with 2 sqrt(k), for one more run of the inner loop.
"""

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rollout as rollouts
from tf_metagan.core import tree
from tf_metagan.core.rollout import Carry, Rollout, Task
from tf_metagan.types import Vars

_MANY_STEPS = 16


class Free(NamedTuple):
    """What the outer loop learns although no inner step moves it.

    Attributes:
      params: {player: {leaf: weight}}, learned but not adapted.
      inner: {player: {leaf: value}}, learned step sizes and statistics.
    """

    params: dict
    inner: dict


class Adjoint(NamedTuple):
    """Derivative of one player's outer objective.

    Attributes:
      params: with respect to the adapted weights, {player: {leaf: ...}}.
      slots: with respect to the statistics, {player: {slot: {leaf: ...}}}.
      free: with respect to the player's own Free.
    """

    params: dict
    slots: dict
    free: Free


def meta_gradient(
    rollout: Rollout,
    vars: Vars,
    task: Task,
    *,
    steps: int,
    step_weights: tf.Tensor,
    learned: dict,
    cross_player: str,
    unrolled: bool,
) -> tuple[Vars, dict, dict]:
    """Differentiate each player's outer objective through the inner loop.

    Args:
      rollout: the inner loop.
      vars: meta-weights.
      task: support, query, seed.
      steps: k.
      step_weights: [k], w_i.
      learned: {player: leaves} whose gradient is wanted.
      cross_player: "full": the opponent's adapted weights depend on the
        player's meta-weights, since the two moved together; "stop": they are
        constants.
      unrolled: keep the tape of every step instead of computing it twice;
        about an eighth faster, memory and tracing grow with k.

    Returns:
      (gradients as Vars with empty state, final state, {metric: [k]}).

    Source: MAML-GAN, algorithm 1 and equation 10; reverse accumulation with
      stored states as in Griewank and Walther (2000).
    """
    players = rollout.game.players
    free = Free(
        params=_only(learned, _rest(vars.params, rollout.adapted(vars.params))),
        inner=vars.inner,
    )
    # Where players move one after the other, a step itself has paths through
    # the opponent's weights.
    forward = functools.partial(
        _taped_step,
        rollout,
        vars,
        task,
        free,
        alone=cross_player == "stop"
        and sum(turn.repeats for turn in rollout.turns) > 1,
    )

    def seen(player: str) -> tuple[str, ...]:
        return players if cross_player == "full" else (player,)

    def pull_back(index, taped, adjoints):
        """One step of the sweep, from after step `index` to before it."""
        tape, before, moved = taped
        losses, slopes = _validation(rollout, vars, task, free, index, moved)
        weight = step_weights[index]
        pulled = {}
        for p, a in adjoints.items():
            slope = tree.scale(slopes[p], weight)
            shown = {q: slope.params[q] for q in a.params}
            after = (tree.add(a.params, shown), a.slots)
            got = tape.gradient(
                _of(moved.carry, seen(p)),
                (*_of(before[0], seen(p)), _own(before[1], p)),
                output_gradients=tf.nest.flatten(after),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            own = tree.add(_own(slope.free, p), got[2])
            pulled[p] = Adjoint(got[0], got[1], tree.add(a.free, own))
        metrics = {f"{p.upper()}_val": losses[p] for p in players}
        return pulled, {**moved.metrics, **metrics}

    names = (*rollout.metric_names(), *(f"{p.upper()}_val" for p in players))
    dtype = step_weights.dtype
    log = {name: tf.zeros([steps], dtype) for name in names}
    start = rollout.begin(vars)
    adjoints = {
        p: Adjoint(
            *tree.zeros_like(_of(start, seen(p))),
            tree.zeros_like(_own(free, p)),
        )
        for p in players
    }
    if unrolled:
        taped, carry = [], start
        for index in range(steps):
            taped.append(forward(carry, tf.constant(index)))
            carry = taped[-1][2].carry
        for index in reversed(range(steps)):
            adjoints, metrics = pull_back(index, taped.pop(), adjoints)
            log = rollouts.note(log, index, metrics)
    else:

        def back(index, before, adjoints, log):
            taped = forward(before, index)
            adjoints, metrics = pull_back(index, taped, adjoints)
            return adjoints, rollouts.note(log, index, metrics)

        run = functools.partial(_forward, rollout, vars, task)
        carry, adjoints, log = _there_and_back(
            run, back, start, steps, adjoints, log
        )
    grads = _finish(rollout, vars, adjoints)
    return grads, rollout.assemble(vars, carry), log


def _taped_step(rollout, vars, task, free, carry, index, *, alone):
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        # Copies: a tensor of an enclosing graph cannot be watched in here.
        carry = tf.nest.map_structure(tf.identity, carry)
        held = tf.nest.map_structure(tf.identity, free)
        tape.watch((carry.params, carry.slots, held))
        moved = rollout.step(
            _with_free(vars, held), carry, index, task, alone=alone
        )
    return tape, (carry, held), moved


def _validation(rollout, vars, task, free, index, moved):
    """Return {player: loss} and {player: Adjoint without slots} at a state."""
    players = rollout.game.players
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        params = tf.nest.map_structure(tf.identity, moved.carry.params)
        held = tf.nest.map_structure(tf.identity, free)
        tape.watch((params, held))
        outcome = rollout.validate(
            _with_free(vars, held),
            moved.carry._replace(params=params),
            index,
            task,
        )
    # One backward pass per term; players that share a term share its pass.
    terms = {
        name: tape.gradient(term, (params, held.params))
        for name, term in (outcome.terms or outcome.loss).items()
    }
    mixes = outcome.mix or {p: {p: 1.0} for p in players}
    slopes = {}
    for p in players:
        wanted, required = tf.nest.map_structure(
            lambda x, *parts, mix=mixes[p]: _mixed(parts, mix),
            (params, held.params),
            *(terms[name] for name in mixes[p]),
        )
        required = _own_player(required, p)
        tree.require_connected(required)
        wanted = tf.nest.map_structure(
            lambda g, x: tf.zeros_like(x) if g is None else g, wanted, params
        )
        inner = tree.zeros_like(_own_player(held.inner, p))
        slopes[p] = Adjoint(wanted, {}, Free(required, inner))
    return outcome.loss, slopes


def _mixed(parts, mix):
    """Return the sum of factor * part over the parts that are connected."""
    return functools.reduce(
        lambda a, b: b if a is None else a + b,
        (
            part if factor == 1.0 else factor * part
            for part, factor in zip(parts, mix.values(), strict=True)
            if part is not None
        ),
        None,
    )


def _there_and_back(run, back, start: Carry, steps: int, adjoints, log):
    """Run the inner loop, then sweep backwards over its steps.

    Args:
      run: (carry, first, end, size=, every=) as `_forward`.
      back: (index, carry before the step, adjoints, log) -> (adjoints, log).
      start: of the task.
      steps: k.
      adjoints: to begin with.
      log: to note metrics in.

    Returns:
      (Carry after the last step, adjoints, log).
    """

    def sweep(states, first, end, adjoints, log):
        def body(index, adjoints, log):
            before = _read(states, start, index - first)
            return index - 1, *back(index, before, adjoints, log)

        _, adjoints, log = tf.while_loop(
            lambda index, adjoints, log: index >= first,
            body,
            (tf.convert_to_tensor(end - 1, tf.int32), adjoints, log),
            parallel_iterations=1,
        )
        return adjoints, log

    if steps <= _MANY_STEPS:
        carry, states = run(start, 0, steps, size=steps)
        return carry, *sweep(states, 0, steps, adjoints, log)

    length = math.isqrt(steps - 1) + 1
    number = math.ceil(steps / length)
    carry, begins = run(start, 0, steps, size=number + 1, every=length)

    def segment(place, adjoints, log):
        first = place * length
        end = tf.minimum(first + length, steps)
        before = _read(begins, start, place)
        _, states = run(before, first, end, size=length)
        return place - 1, *sweep(states, first, end, adjoints, log)

    _, adjoints, log = tf.while_loop(
        lambda place, adjoints, log: place >= 0,
        segment,
        (tf.constant(number - 1), adjoints, log),
        parallel_iterations=1,
    )
    return carry, adjoints, log


def _forward(
    rollout: Rollout,
    vars: Vars,
    task: Task,
    carry,
    first,
    end,
    *,
    size,
    every=1,
):
    """Run the inner loop and store the state before every `every`-th step.

    Args:
      rollout: the inner loop.
      vars: meta-weights.
      task: images and seed.
      carry: before step `first`.
      first: number of the first step.
      end: number of the step after the last.
      size: at least the number of states to store, and one more if `every` is
        not 1.
      every: distance between the steps whose states are stored.

    Returns:
      (Carry after the last step, arrays that `_read` reads).
    """
    arrays = tuple(
        tf.TensorArray(
            x.dtype, size, element_shape=x.shape, clear_after_read=False
        )
        for x in tf.nest.flatten(carry)
    )

    def visit(index, before, moved, arrays):
        del moved
        # Steps between two that are stored go to the later one's place, which
        # then is written last.
        place = (index - first + every - 1) // every
        return tuple(
            array.write(place, x)
            for array, x in zip(arrays, tf.nest.flatten(before), strict=True)
        )

    return rollout.scan(
        vars, task, end, visit, arrays, first=first, carry=carry
    )


def _read(arrays, like: Carry, index) -> Carry:
    return tf.nest.pack_sequence_as(like, [a.read(index) for a in arrays])


def _finish(rollout: Rollout, vars: Vars, adjoints) -> Vars:
    """Collect each player's own part; pull statistics back to their source."""
    with tf.GradientTape(
        persistent=True, watch_accessed_variables=False
    ) as tape:
        inner = tf.nest.map_structure(tf.identity, vars.inner)
        tape.watch(inner)
        start = rollout.begin(vars._replace(inner=inner))
    params, learned = {}, {}
    for p, a in adjoints.items():
        params[p] = {**a.free.params.get(p, {}), **a.params.get(p, {})}
        if inner.get(p):
            initial = tape.gradient(
                [start.slots[q] for q in a.slots],
                inner[p],
                output_gradients=tf.nest.flatten(list(a.slots.values())),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            learned[p] = tree.add(a.free.inner[p], initial)
    return Vars(params, {}, learned)


def _with_free(vars: Vars, free: Free) -> Vars:
    return vars._replace(
        params=tree.merge(vars.params, free.params), inner=free.inner
    )


def _of(carry: Carry, players) -> tuple[dict, dict]:
    """Return the params and slots of some players."""
    return (
        {p: carry.params[p] for p in players if p in carry.params},
        {p: carry.slots[p] for p in players if p in carry.slots},
    )


def _own(free: Free, player: str) -> Free:
    return Free(*(_own_player(part, player) for part in free))


def _own_player(part: dict, player: str) -> dict:
    return {p: x for p, x in part.items() if p == player}


def _rest(params: dict, adapted: dict) -> dict:
    return tree.select(params, lambda p, leaf: leaf not in adapted.get(p, {}))


def _only(learned: dict, params: dict) -> dict:
    return tree.select(params, lambda p, leaf: leaf in learned.get(p, ()))
