"""Toy problems in double precision for the tests of the mathematics."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tf_metagan import registry
from tf_metagan.core import gradcheck, rng, tree
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout, Task, Turn
from tf_metagan.learner import Learner, create_variables
from tf_metagan.types import Vars

STEP = np.zeros([], np.int64)
SIMULTANEOUS = (Turn(("d", "g")),)

# Families whose networks are the players, and rules for any game. Others are of
# photographs: tests/gan/test_internal.py, test_singan.py and test_growing.py.
_PHOTOGRAPHS = ("pyramid", "stacks", "growing", "internal", "singan")
_PHOTOGRAPHS += ("consingan",)
FAMILIES = tuple(x for x in registry.ARCHITECTURES if x not in _PHOTOGRAPHS)
RULES = tuple(x for x in registry.ALGORITHMS if x not in _PHOTOGRAPHS)

_GREY = {"image_size": 16, "channels": 1}
_SIZES = {
    "toy": {"image_size": 2, "channels": 2},
    # A condition is constant to whoever learns, differences would see it.
    "latent_dcgan": {**_GREY, "variant": "1mlp"},
}
_GAMES = {"exemplar": {"wrong_share": 0.5}}
_DIVIDING = {
    "inner_epsilon": 1e-4,
    "epsilon_placement": "inside",
    "statistics_gradient": "full",
}
_OPTIMIZERS = {
    "sgd": {},
    "momentum": {"inner_momentum": 0.75},
    "rmsprop": {"inner_rho": 0.9, **_DIVIDING},
    "adam": {"inner_beta1": 0.5, "inner_beta2": 0.96875, **_DIVIDING},
}


@functools.cache
def game(
    *,
    loss="wasserstein",
    penalty="gradient",
    penalty_norm="sample",
    architecture="toy",
    width=2,
    dtype="float64",
):
    """Build a game of the smallest networks of a family."""
    size = _SIZES.get(architecture, _GREY)
    options = {
        "gradient": {"penalty_weight": 2.0, "penalty_norm": penalty_norm},
        "gradient_figr_as_published": {"penalty_weight": 2.0},
        "r1": {"penalty_weight": 2.0},
        "none": {},
    }[penalty]
    networks = registry.find(registry.ARCHITECTURES, architecture)(
        **size, width=width, latent_size=2, dtype=dtype
    )
    made_for = registry.MADE_FOR.get(architecture, "two_player")
    return registry.find(registry.GAMES, made_for)(
        networks,
        **_GAMES.get(made_for, {}),
        loss=registry.find(registry.LOSSES, loss)(),
        penalty=registry.find(registry.PENALTIES, penalty)(**options),
    )


def optimizer(name="sgd", **changes):
    """Build an inner optimiser; `changes` replace its options here."""
    options = {**_OPTIMIZERS[name], **changes}
    return registry.find(registry.INNER_OPTIMIZERS, name)(**options)


def build(
    algo="maml",
    *,
    duel=None,
    inner="sgd",
    rate=0.1,
    learned_rates="none",
    statistics="reset",
    inner_steps=2,
    turns=SIMULTANEOUS,
    adapt=("*",),
    **options,
):
    """Build an algorithm; `options` are those of its own constructor."""
    if isinstance(inner, str):
        inner = optimizer(inner)
    duel = duel or game()
    rule = InnerRule(inner, rate, learned_rates, statistics, inner_steps)
    rollout = Rollout(
        duel, dict.fromkeys(duel.players, rule), turns, adapt=adapt
    )
    make = registry.find(registry.ALGORITHMS, algo)
    return make(rollout, inner_steps=inner_steps, **options)


def tasks(algorithm, number=1, *, batch=2, seed=0, dtype="float64"):
    """Draw tasks of noise that fit an algorithm's game."""
    vars = algorithm.init(0)
    shape = algorithm.game.sample(vars, tf.constant([0, 0], tf.int64), 1).shape
    drawn = gradcheck.random_tasks(
        shape[1:],
        steps=algorithm.inner_steps,
        tasks=number,
        batch=batch,
        seed=seed,
    )
    return drawn._replace(
        support=tf.cast(drawn.support, dtype), query=tf.cast(drawn.query, dtype)
    )


def task(batch, number=0):
    """Return one task of a TaskBatch."""
    parts = (batch.support, batch.query, batch.others, batch.seed)
    return Task(*(None if x is None else x[number] for x in parts))


def start(algorithm, *, spread=0.0, seed=0):
    """Return meta-weights at which no learned or carried quantity is zero.

    Args:
      algorithm: whose initial values are changed.
      spread: standard deviation of what is added to the weights.
      seed: of the weights and of the changes.
    """
    vars = algorithm.init(seed)
    draw = np.random.default_rng(seed)

    def shaken(leaf, value, square):
        noise = draw.uniform(0.5, 1.5, value.shape)
        typical = {"v": square(noise), "t": 3.0}
        slot = leaf.split("/")[1] if leaf.startswith("slots/") else ""
        other = value.numpy() + 0.05 * (noise - 0.3)
        return tf.constant(typical.get(slot, other), value.dtype, value.shape)

    def shake(part, square):
        return {
            p: {leaf: shaken(leaf, x, square) for leaf, x in leaves.items()}
            for p, leaves in part.items()
        }

    params = tf.nest.map_structure(
        lambda w: w + tf.constant(spread * draw.normal(size=w.shape), w.dtype),
        vars.params,
    )
    return vars._replace(
        params=params,
        state=shake(vars.state, lambda noise: 0.01 * noise),
        inner=shake(vars.inner, lambda noise: -5.0 + noise),
    )


def distance(a, b):
    """Return |a - b| / |b| over all leaves of two trees."""
    difference = tree.global_norm(tf.nest.map_structure(tf.subtract, a, b))
    return float(difference / tree.global_norm(b))


def gradients(algorithm, vars, batch, meta_step=0):
    """Return the outer gradients, without a graph."""
    meta_step = tf.constant(meta_step, tf.int64)
    return algorithm.meta_gradients(vars, batch, meta_step).grads


def traced(algorithm, vars, batch, meta_step=0):
    """Return the whole Result, from a graph."""
    step = tf.function(algorithm.meta_gradients, autograph=False)
    return step(vars, batch, tf.constant(meta_step, tf.int64))


# The same mathematics once more, step by step and without a graph. Step s
# adapts with the seed (0, s, turn, repeat) and validates with (1, s).


def own_gradients(duel, params, images, seed):
    """Return the gradient of each player's own loss."""
    vars = Vars(params, {p: {} for p in params}, {})
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        loss = duel.losses(vars, images, None, seed).loss
    return {p: tape.gradient(loss[p], params[p]) for p in params}


def adapt_seed(task, step):
    """Return the seed of a simultaneous inner step."""
    return rng.fold(task.seed, 0, step, 0, 0)


def validation_gradients(duel, params, task, step):
    """Return each player's gradient on the query images after a step."""
    seed = rng.fold(task.seed, 1, step)
    return own_gradients(duel, params, task.query[step], seed)


def keras_steps(algorithm, vars, task, make_optimizer):
    """Yield the weights after each step that Keras optimisers take."""
    variables = tf.nest.map_structure(keras.Variable, vars.params)
    optimizers = {p: make_optimizer() for p in variables}
    for step in range(algorithm.inner_steps):
        now = tf.nest.map_structure(tf.convert_to_tensor, variables)
        grads = own_gradients(
            algorithm.game, now, task.support[step], adapt_seed(task, step)
        )
        for p, leaves in variables.items():
            pairs = [(grads[p][leaf], x) for leaf, x in leaves.items()]
            optimizers[p].apply_gradients(pairs)
        yield tf.nest.map_structure(tf.convert_to_tensor, variables)


# Learners.


def learner(
    algorithm,
    optimizer=lambda: keras.optimizers.SGD(0.125),
    *,
    vars=None,
    kind=Learner,
    strategy=None,
    **options,
):
    """Build a learner; `optimizer` makes the optimiser of each part."""
    vars = start(algorithm) if vars is None else vars
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        tables = [{p: optimizer() for p in vars.params} for _ in range(2)]
    return kind(
        algorithm,
        create_variables(vars, strategy),
        optimizers=tables[0],
        rate_optimizers=tables[1],
        strategy=strategy,
        **options,
    )
