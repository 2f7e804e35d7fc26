"""Meta-gradients against finite differences of the outer objectives.

An operation whose second derivative is missing or wrong trains with a wrong
meta-gradient and says nothing. This check finds it, for networks of your own
too: build them in float64 and as small as they go.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import TaskBatch, Vars


def relative_errors(
    algorithm,
    vars: Vars,
    tasks: TaskBatch,
    *,
    step_weights: Sequence[float] | None = None,
    cross_player: str = "full",
    meta_step: int = 0,
    directions: int = 3,
    distance: float = 1e-5,
    seed: int = 0,
) -> dict[str, float]:
    """Compare `meta_gradients` with central differences of what they descend.

    With M_p(w) = sum over tasks and steps s of w_s L_p(weights after step s),
    the slope along a random direction u, |u| = 1, is
    (M_p(w + h u) - M_p(w - h u)) / 2h; it should be u . grad_p, where only
    player p's own weights move along u.

    Args:
      algorithm: an `algorithms.base.Algorithm`. Only maml and metasgd promise
        these derivatives; other rules show here how far they are from them.
      vars: where to check, float64.
      tasks: float64, for example from `random_tasks`.
      step_weights: w_1 .. w_k, as the algorithm has them at `meta_step`;
        1/k each if None.
      cross_player: "full" lets the opponent react to the moved weights;
        "stop" replays the opponent's recorded weights.
      meta_step: number of the meta-step from 0.
      directions: how many random directions to try for each entry.
      distance: h.
      seed: of the directions.

    Returns:
      {player: error} for the weights and {"<player>/inner": error} for learned
      step sizes and statistics: |exact - difference| relative to the larger of
      the two, worst direction. 1e-11 to 1e-6 where gradients are right; kinks
      between w - hu and w + hu give more, and go away with another `seed` or a
      smaller `distance`.

    Raises:
      ValueError: something is not float64, in which h = 1e-5 means nothing.

    Source: ours.

    >>> from tf_metagan import registry
    >>> from tf_metagan.algorithms.maml import Maml
    >>> from tf_metagan.core import inner, optim, rollout
    >>> from tf_metagan.gan import duel, losses, penalties
    >>> build = registry.find(registry.ARCHITECTURES, "toy")
    >>> size = {"image_size": 2, "channels": 1, "width": 2, "latent_size": 2}
    >>> game = duel.two_player(
    ...     build(**size, dtype="float64"),
    ...     loss=losses.non_saturating(),
    ...     penalty=penalties.none(),
    ... )
    >>> rules = dict.fromkeys(game.players, inner.InnerRule(optim.sgd(), 0.1))
    >>> turns = (rollout.Turn(game.players),)
    >>> maml = Maml(rollout.Rollout(game, rules, turns), inner_steps=1)
    >>> tasks = random_tasks([2, 2, 1], steps=1)
    >>> errors = relative_errors(maml, maml.init(0), tasks)
    >>> sorted(errors), max(errors.values()) < 1e-6
    (['d', 'g'], True)
    """
    _require_double(vars, tasks)
    steps = algorithm.inner_steps
    if step_weights is None:
        step_weights = [1.0 / steps] * steps
    weights = tf.constant(step_weights, tf.float64)
    grads = algorithm.meta_gradients(
        vars, tasks, tf.constant(meta_step, tf.int64)
    ).grads
    objective = _objectives(
        algorithm.rollout, vars, _split(tasks), weights, cross_player
    )
    draw = np.random.default_rng(seed)
    errors = {}
    for field, name in (("params", "{}"), ("inner", "{}/inner")):
        for player, slopes in getattr(grads, field).items():
            if not slopes:
                continue
            found = []
            for _ in range(directions):
                toward = _direction(draw, slopes)
                exact = sum(np.sum(u * slopes[k]) for k, u in toward.items())
                ahead, behind = (
                    objective[player](_moved(vars, field, player, toward, h))
                    for h in (distance, -distance)
                )
                slope = (ahead - behind) / (2.0 * distance)
                found.append(_relative(exact, slope))
            errors[name.format(player)] = float(np.max(found))
    return errors


def random_tasks(
    shape: Sequence[int],
    *,
    steps: int,
    tasks: int = 1,
    batch: int = 2,
    seed: int = 0,
) -> TaskBatch:
    """Draw tasks of images without content.

    Args:
      shape: [H, W, C] of an image.
      steps: inner steps that get images of their own.
      tasks: number of tasks.
      batch: images per step.
      seed: of the images and of the tasks' own randomness.

    Returns:
      A float64 TaskBatch, images uniform in [-1, 1], without `others`.
    """
    draw = np.random.default_rng(seed)

    def images():
        size = (tasks, steps, batch, *shape)
        return tf.constant(draw.uniform(-1.0, 1.0, size), tf.float64)

    return TaskBatch(
        support=images(),
        query=images(),
        others=None,
        label=tf.range(tasks, dtype=tf.int64),
        seed=tf.constant(draw.integers(2**31, size=(tasks, 2)), tf.int64),
    )


def _objectives(
    rollout: Rollout, vars: Vars, tasks, weights, cross_player: str
) -> dict[str, Callable[[Vars], float]]:
    """Return each player's outer objective as a function of all Vars."""
    players = rollout.game.players
    if cross_player == "full":
        losses = tf.function(
            lambda vars, task: _outer_losses(rollout, vars, task, weights),
            autograph=False,
        )
        return {
            p: lambda vars, p=p: sum(float(losses(vars, t)[p]) for t in tasks)
            for p in players
        }
    recorded = [_record(rollout, vars, task, weights) for task in tasks]
    alone = {
        p: [
            _alone(rollout, p, moves, task, weights)
            for task, moves in zip(tasks, recorded, strict=True)
        ]
        for p in players
    }
    return {
        p: lambda vars, p=p: sum(float(loss(vars)) for loss in alone[p])
        for p in players
    }


def _outer_losses(
    rollout: Rollout, vars: Vars, task: Task, weights, *, unrolled=False
) -> dict[str, tf.Tensor]:
    vars = rollout.game.told(vars, task.label)

    def visit(index, _, moved, total):
        outcome = rollout.validate(vars, moved.carry, index, task)
        return {
            p: total[p] + weights[index] * loss
            for p, loss in outcome.loss.items()
        }

    zero = {p: tf.zeros([], tf.float64) for p in rollout.game.players}
    steps = len(weights)
    return rollout.scan(vars, task, steps, visit, zero, unrolled=unrolled)[1]


def _record(rollout: Rollout, vars: Vars, task: Task, weights) -> list:
    """Return the weights of all players at every call of the game."""
    moves = []

    def remember(vars):
        moves.append(vars.params)
        return vars

    watched = _with_game(rollout, remember)
    _outer_losses(watched, vars, task, weights, unrolled=True)
    return moves


def _alone(rollout: Rollout, player: str, moves: list, task: Task, weights):
    """Return the player's objective with all others moving as recorded."""

    def loss(vars):
        others = iter(moves)

        def replay(vars):
            own = {player: vars.params[player]}
            return vars._replace(params={**next(others), **own})

        lonely = _with_game(rollout, replay)
        losses = _outer_losses(lonely, vars, task, weights, unrolled=True)
        return losses[player]

    return tf.function(loss, autograph=False)


def _with_game(rollout: Rollout, change) -> Rollout:
    """Return a rollout whose game sees `change` of the Vars at every call."""
    game = rollout.game
    changed = copy.copy(rollout)
    changed.game = game._replace(
        losses=lambda vars, *rest: game.losses(change(vars), *rest),
        gradients=lambda vars, *rest: game.gradients(change(vars), *rest),
    )
    return changed


def _split(tasks: TaskBatch) -> list[Task]:
    parts = {name: getattr(tasks, name) for name in Task._fields}
    return [
        Task(**{k: None if x is None else x[n] for k, x in parts.items()})
        for n in range(tasks.label.shape[0])
    ]


def _direction(draw: np.random.Generator, like: dict) -> dict:
    drawn = {
        leaf: draw.standard_normal(x.shape) for leaf, x in sorted(like.items())
    }
    length = np.sqrt(sum(np.sum(x**2) for x in drawn.values()))
    return {leaf: x / length for leaf, x in drawn.items()}


def _moved(vars: Vars, field: str, player: str, toward: dict, h: float) -> Vars:
    part = getattr(vars, field)
    leaves = {k: part[player][k] + h * u for k, u in toward.items()}
    return vars._replace(
        **{field: {**part, player: {**part[player], **leaves}}}
    )


def _relative(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def _require_double(vars: Vars, tasks: TaskBatch) -> None:
    named = {
        f"{field} {player}/{leaf}": value
        for field, part in vars._asdict().items()
        for player, leaves in part.items()
        for leaf, value in leaves.items()
    }
    named |= {"tasks.support": tasks.support, "tasks.query": tasks.query}
    for name, value in named.items():
        if value.dtype.is_floating and value.dtype != tf.float64:
            raise ValueError(
                f"{name} is {value.dtype.name}; finite differences need "
                "float64. Build the networks with dtype='float64' and take "
                "tasks of that type, as random_tasks makes them."
            )
