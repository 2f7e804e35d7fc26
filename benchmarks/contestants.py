"""What the suite times besides meta-steps of the plain workload.

Each is a function without arguments that returns a step; it runs in a process
of its own, see `processes.answer_turns`.
"""

from collections.abc import Callable

import numpy as np

from benchmarks import kernels

_SGEMM = 2048
SGEMM_FLOPS = 2 * _SGEMM**3


def matrix_product() -> Callable[[], None]:
    """Multiply two matrices: the speed that the machine has."""
    import tensorflow as tf

    draw = np.random.default_rng(0)
    a, b = (
        tf.constant(draw.normal(size=[_SGEMM, _SGEMM]), tf.float32)
        for _ in range(2)
    )

    def step() -> None:
        tf.matmul(a, b).numpy()

    return step


def training(**given) -> Callable[[], None]:
    """Do meta-steps as `tf_metagan.train` does, on drawn images.

    Args:
      **given: settings.
    """
    import tensorflow as tf

    from tf_metagan import assembly
    from tf_metagan import settings as settings_lib
    from tf_metagan.config import Config

    chosen = settings_lib.Settings(Config, [(given, True)])
    chosen = assembly.with_algorithm_defaults(chosen)
    images = assembly.load_images(chosen)
    chosen = assembly.with_channels(chosen, images)
    split = assembly.make_split(chosen, images)
    rule = assembly.make_algorithm(chosen)
    sampler = assembly.make_sampler(
        chosen,
        images,
        classes=split.train,
        stream=0,
        others=rule.game.wants_others,
    )
    learner = assembly.make_learner(chosen, rule, tf.distribute.get_strategy())
    tasks = iter(sampler.dataset())

    def step() -> None:
        metrics = learner.step(next(tasks))
        tf.nest.map_structure(lambda x: x.numpy(), metrics)

    return step


def judging(*, name: str, samples: int, steps: int = 10) -> Callable:
    """Adapt a shipped model to a task, draw, and ask the critic.

    Args:
      name: "mnist" or "omniglot".
      samples: images to draw and judge.
      steps: of adaptation.

    Returns:
      () -> what the critic says, `metrics.base.Predictions`.
    """
    import tensorflow as tf

    from tf_metagan import trained_runs
    from tf_metagan.metrics import critic

    run = trained_runs.load_pretrained(name)
    judge = critic.load(dataset=name)
    config = run.settings.config
    side = config.image_size
    draw = np.random.default_rng(0)
    support = tf.constant(
        draw.uniform(-1, 1, [1, 16, side, side, config.channels]),
        tf.float32,
    )

    @tf.function(autograph=False)
    def adapt_and_draw(seed):
        adapted, _ = run.algorithm.adapt(run.vars, support, None, seed, steps)
        return run.algorithm.game.sample(adapted, seed, samples)

    numbers = iter(range(2**31))

    def step():
        number = next(numbers)
        drawn = adapt_and_draw(tf.constant([number, number], tf.int64))
        return judge(drawn.numpy())

    return step


KINDS = {
    "matrix_product": matrix_product,
    "training": training,
    "judging": judging,
    "kernels": kernels.contestant,
    "meta_step": kernels.meta_step,
}
