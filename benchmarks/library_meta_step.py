"""The meta-step of the workload as users of the library write it."""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

import benchmarks
from benchmarks import Workload


def networks(width: int, dtype: str) -> dict:
    """Build the two players as Keras models; see `benchmarks`."""
    import keras

    from tf_metagan.gan import layers

    def leaky(name):
        return layers.LeakyReLU(benchmarks.SLOPE, name=name, dtype=dtype)

    side = benchmarks.IMAGE_SIZE
    d = [
        keras.Input([side, side, 1], dtype=dtype),
        layers.Down(width, name="down1", dtype=dtype),
        leaky("down1_act"),
        layers.Down(2 * width, name="down2", dtype=dtype),
        leaky("down2_act"),
        keras.layers.Flatten(name="flat", dtype=dtype),
        keras.layers.Dense(1, name="head", dtype=dtype),
    ]
    g = [
        keras.Input([benchmarks.LATENT_SIZE], dtype=dtype),
        keras.layers.Dense(7 * 7 * 2 * width, name="project", dtype=dtype),
        leaky("project_act"),
        keras.layers.Reshape([7, 7, 2 * width], name="grid", dtype=dtype),
        layers.Up(width, name="up1", dtype=dtype),
        leaky("up1_act"),
        layers.Up(1, activation="tanh", name="up2", dtype=dtype),
    ]
    return {
        "d": keras.Sequential(d, name="d"),
        "g": keras.Sequential(g, name="g"),
    }


def algorithm(workload: Workload, *, inner_loop: str = "while"):
    """Build the library's algorithm for a workload.

    Args:
      workload: sizes; metasgd takes any number of steps, as in the library.
      inner_loop: "while" or "unrolled"; metasgd has the former only.
    """
    from tf_metagan.algorithms import fomaml, maml, metasgd, reptile
    from tf_metagan.core import inner, optim, rollout
    from tf_metagan.gan import duel, losses, penalties

    two = duel.two_player(
        networks(workload.width, workload.dtype),
        loss=losses.wasserstein(),
        penalty=penalties.gradient(
            penalty_weight=benchmarks.PENALTY_WEIGHT, penalty_norm="sample"
        ),
    )
    learned = workload.algo == "metasgd"
    rule = inner.InnerRule(
        optim.sgd()
        if learned
        else optim.rmsprop(
            inner_rho=benchmarks.INNER_RHO,
            inner_epsilon=benchmarks.INNER_EPSILON,
            epsilon_placement="inside",
            statistics_gradient="full",
        ),
        benchmarks.LEARNED_RATE if learned else benchmarks.INNER_RATE,
        learned_rates="weight" if learned else "none",
        steps=workload.steps,
    )
    loop = rollout.Rollout(
        two, {"d": rule, "g": rule}, (rollout.Turn(("d", "g")),)
    )
    given = {"inner_steps": workload.steps, "parallel_tasks": 2}
    if learned:
        with warnings.catch_warnings():
            # It is timed and not trained, so it may be a loss that fails.
            warnings.filterwarnings("ignore", message="metasgd is reported")
            return metasgd.MetaSgd(loop, loss="wasserstein", **given)
    kinds = {
        "fomaml": fomaml.Fomaml,
        "maml": maml.Maml,
        "reptile": reptile.Reptile,
    }
    return kinds[workload.algo](loop, inner_loop=inner_loop, **given)


def inputs(workload: Workload, *, seed: int):
    """Return (Vars, TaskBatch) that hold the arrays of `benchmarks`."""
    import tensorflow as tf

    from tf_metagan.types import TaskBatch, Vars

    arrays = benchmarks.arrays(workload, seed=seed)
    variables = Vars(
        params={
            player: {leaf: tf.constant(x) for leaf, x in leaves.items()}
            for player, leaves in arrays.weights.items()
        },
        state={"d": {}, "g": {}},
        inner={
            player: {
                f"rate/{leaf}": tf.constant(x) for leaf, x in rates.items()
            }
            for player, rates in arrays.rates.items()
            if workload.algo == "metasgd"
        },
    )
    roots = np.random.default_rng(seed).integers(2**31, size=workload.tasks * 2)
    tasks = TaskBatch(
        support=tf.constant(arrays.support),
        query=tf.constant(arrays.query),
        others=None,
        label=tf.zeros([workload.tasks], tf.int64),
        seed=tf.constant(roots.reshape(-1, 2), tf.int64),
    )
    return variables, tasks


def concrete(workload: Workload):
    """Return the concrete function of a meta-step, for those who look in."""
    import tensorflow as tf

    gradients = tf.function(algorithm(workload).meta_gradients, autograph=False)
    number = tf.constant(0, tf.int64)
    return gradients.get_concrete_function(*inputs(workload, seed=0), number)


def make_step(
    workload: Workload,
    *,
    inner_loop: str = "while",
    pipeline: bool = False,
    seed: int,
) -> Callable[[], dict]:
    """Return a function that runs one meta-step with fresh random draws.

    Args:
      workload: sizes.
      inner_loop: "while" or "unrolled".
      pipeline: take the images from an EpisodeSampler; the function then
        returns {"wait": seconds until they were there}.
      seed: of weights and images.
    """
    import tensorflow as tf

    rule = algorithm(workload, inner_loop=inner_loop)
    variables, fixed = inputs(workload, seed=seed)
    gradients = tf.function(rule.meta_gradients, autograph=False)
    counter = iter(range(sys.maxsize))
    feed = _feed(workload) if pipeline else None

    def step() -> dict:
        number = next(counter)
        start = time.perf_counter()
        tasks = next(feed) if feed else fixed._replace(seed=fixed.seed + number)
        wait = time.perf_counter() - start
        found = gradients(variables, tasks, tf.constant(number, tf.int64))
        tf.nest.map_structure(lambda x: x.numpy(), found.grads)
        return {"wait": wait} if feed else {}

    return step


def _feed(workload: Workload):
    """Iterate over the tasks of an EpisodeSampler on random images."""
    from tf_metagan.data import base, episodes

    classes, images_each = 100, 20
    side = benchmarks.IMAGE_SIZE
    rng = np.random.default_rng(0)
    images = rng.integers(
        256, size=(classes * images_each, side, side, 1), dtype=np.uint8
    )
    sampler = episodes.EpisodeSampler(
        base.group(images, np.repeat(np.arange(classes), images_each)),
        classes=range(classes),
        meta_batch=workload.tasks,
        inner_batch_size=workload.batch,
        inner_steps=workload.steps,
    )
    return iter(sampler.dataset())
