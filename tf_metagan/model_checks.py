"""What `MetaGAN` refuses, and with which words."""

import warnings
from collections.abc import Collection, Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.data import base
from tf_metagan.types import TaskBatch, Vars

NETWORK_SETTINGS = (
    "architecture",
    "width",
    "latent_size",
    "image_size",
    "channels",
    "precision",
)
"""Settings of networks that are built by name."""


def check_networks(
    generator: keras.Model, discriminator: keras.Model, settings: dict
) -> None:
    """Refuse what cannot play; whether they fit together, `gan.duel` checks.

    Args:
      generator: whatever was given.
      discriminator: same.
      settings: what was given beside them.

    Raises:
      TypeError, ValueError: one is no built model of fixed shapes, or a setting
        has no effect on given networks.
    """
    idle = [name for name in NETWORK_SETTINGS if name in settings]
    if idle:
        raise ValueError(
            f"{', '.join(idle)} have no effect: they are settings of networks "
            "that are built by name, but generator and discriminator were "
            "given. Leave out the one or the other."
        )
    for role, network in (
        ("generator", generator),
        ("discriminator", discriminator),
    ):
        if not isinstance(network, keras.Model):
            raise TypeError(
                f"{role} came as {type(network).__name__}; expected a Keras "
                "model with named layers. Give generator and discriminator, "
                'or none of them and architecture="dcgan".'
            )
        if not network.built:
            raise ValueError(
                f"the {role} {network.name!r} is not built, so it has no "
                "weights yet; expected a model that knows its input. Begin it "
                "with keras.Input(shape)."
            )
        try:
            _ = network.input_shape, network.output_shape
        except AttributeError as error:
            raise ValueError(
                f"the {role} {network.name!r} has no fixed input and output "
                "shape, as a subclass of keras.Model has not; expected a "
                "Sequential or functional model. Give its layers names and "
                f"wrap it: keras.Sequential([keras.Input(shape), {role}])."
            ) from error


def check_phases(rule, name: str) -> None:
    """Refuse a rule whose weights become more in training.

    Args:
      rule: an `algorithms.base.Algorithm`.
      name: of the rule.

    Raises:
      ValueError: it has several phases.
    """
    count = len(rule.phases())
    if count > 1:
        raise ValueError(
            f"algorithm={name!r} trains in {count} phases with new weights in "
            "each; a MetaGAN has the same weights throughout. Use python -m "
            f"tf_metagan.train --algo={name}."
        )


def check_scope(vars: Vars, strategy: tf.distribute.Strategy) -> None:
    """Refuse variables that live outside a strategy.

    Args:
      vars: Keras variables.
      strategy: the one the model is made under.

    Raises:
      ValueError: a variable was made elsewhere.
    """
    for variable in tf.nest.flatten(vars):
        if not strategy.extended.variable_created_in_scope(variable.value):
            raise ValueError(
                f"{variable.path} was made outside the scope of "
                f"{type(strategy).__name__}; expected all variables inside. "
                "Build both networks and the MetaGAN under "
                "`with strategy.scope():`."
            )


def check_learns(rule) -> None:
    """Refuse to train by a rule that learns nothing.

    Args:
      rule: an `algorithms.base.Algorithm`.

    Raises:
      ValueError: it is of that kind.
    """
    if not rule.learns:
        raise ValueError(
            "the algorithm of this model learns nothing in fit(); "
            "expected no compile(). Call adapt() and sample() right away, "
            "or use another algorithm."
        )


def check_optimizers(
    chosen: Mapping[str, keras.Optimizer | None],
    *,
    players: Iterable[str],
    learned_inner: Iterable[str],
    settings: Collection[str],
) -> None:
    """Refuse optimizers, or settings of optimizers, that have no effect.

    Args:
      chosen: {"d_optimizer", "d_rate_optimizer", ...: optimizer or None}.
      players: all that the game has, whether `chosen` names them or not.
      learned_inner: the players whose inner optimiser learns something.
      settings: names of the settings given for optimizers.

    Raises:
      ValueError: one has none, or is shared by several players.
    """
    names = [f"{p}_optimizer" for p in players]
    names += [f"{p}_rate_optimizer" for p in learned_inner]
    idle = [n for n, x in chosen.items() if x is not None and n not in names]
    if idle:
        raise ValueError(
            f"{', '.join(idle)} has nothing to optimize: the inner rates "
            "and statistics of this model are not learned. Leave it out, "
            "or use MetaGAN(..., learned_rates='weight')."
        )
    if settings and all(chosen.get(n) is not None for n in names):
        raise ValueError(
            f"the settings {', '.join(sorted(settings))} have no effect: "
            "compile() got all optimizers they are for. Give either the "
            f"settings or {', '.join(names)}."
        )
    used = [x for x in chosen.values() if x is not None]
    if len({id(x) for x in used}) < len(used):
        raise ValueError(
            "one optimizer object came for several players; expected one "
            "for each, as an optimizer has statistics of its own weights. "
            "Make as many as there are players."
        )


def check_devices(
    optimizers: Iterable[keras.Optimizer | None],
    strategy: tf.distribute.Strategy,
    *,
    steps_per_execution: int,
) -> None:
    """Refuse what Keras cannot do, or does wrongly, on several devices.

    Args:
      optimizers: those that were given.
      strategy: of the model.
      steps_per_execution: as in Keras.

    Raises:
      ValueError: several steps, or an optimizer that lives elsewhere or does
        something to each device's share of the gradient that it should do to
        the whole.
    """
    devices = strategy.num_replicas_in_sync
    if devices == 1:
        return
    if steps_per_execution > 1:
        raise ValueError(
            f"steps_per_execution={steps_per_execution} cannot be combined "
            f"with {devices} devices: TensorFlow does not hand tasks "
            "without images of others to such a loop. Use "
            "steps_per_execution=1."
        )
    for optimizer in filter(None, optimizers):
        _check_several_devices(optimizer, strategy)


def _check_several_devices(
    optimizer: keras.Optimizer, strategy: tf.distribute.Strategy
) -> None:
    counter = optimizer.iterations.value
    if not strategy.extended.variable_created_in_scope(counter):
        raise ValueError(
            f"optimizer {optimizer.name!r} was made outside the scope of "
            f"{type(strategy).__name__}; expected it inside. Make it under "
            "`with strategy.scope():`."
        )
    for name, instead in (
        ("clipnorm", "MetaGAN(..., outer_clip_norm=...)"),
        ("global_clipnorm", "MetaGAN(..., outer_clip_norm=...)"),
        ("clipvalue", "MetaGAN(..., outer_clip_value=...)"),
        ("gradient_accumulation_steps", "a greater meta_batch"),
    ):
        if getattr(optimizer, name, None) is not None:
            raise ValueError(
                f"{name} of optimizer {optimizer.name!r} acts on each device's "
                "share of the gradient; expected it to act on the whole. Use "
                f"{instead} instead."
            )


def check_dataset(
    dataset, *, image_shape: tf.TensorShape, inner_steps: int
) -> None:
    """Refuse what are no tasks, or tasks that do not fit a model.

    Args:
      dataset: of tasks, one would hope.
      image_shape: [H, W, C] of the generator.
      inner_steps: of the model.

    Raises:
      TypeError, ValueError: no dataset, or of something else.
    """
    known = (tf.data.Dataset, tf.distribute.DistributedDataset)
    if not isinstance(dataset, known):
        raise TypeError(
            f"the model learns from tasks, but got "
            f"{type(dataset).__name__}; expected a tf.data.Dataset of "
            "tf_metagan.TaskBatch. Use tf_metagan.tasks(...)."
        )
    if isinstance(dataset, tf.data.Dataset):
        check_tasks(
            dataset.element_spec,
            image_shape=image_shape,
            inner_steps=inner_steps,
        )


def check_tasks(
    tasks, *, image_shape: tf.TensorShape, inner_steps: int
) -> None:
    """Refuse tasks that do not fit a model.

    Args:
      tasks: a TaskBatch of tensors or of their specifications, one would hope.
      image_shape: [H, W, C] of the generator.
      inner_steps: of the model.

    Raises:
      TypeError, ValueError: no TaskBatch, or other shapes or dtypes.
    """
    if not isinstance(tasks, TaskBatch):
        raise TypeError(
            f"the model learns from tasks, but the data are of "
            f"{type(tasks).__name__}; expected tf_metagan.TaskBatch. Use "
            "tf_metagan.tasks(...)."
        )
    for field in ("support", "query"):
        x = getattr(tasks, field)
        if not x.dtype.is_floating:
            raise ValueError(
                f"the tasks' {field} images are {x.dtype.name}; expected "
                "floating numbers in [-1, 1]. Convert them by x / 127.5 - 1."
            )
        six = x.shape.rank in (None, 6)
        if not six or not image_shape.is_compatible_with(x.shape[3:]):
            raise ValueError(
                f"the tasks' {field} images have shape {x.shape}; expected "
                f"(tasks, steps or 1, images, *{image_shape}) as the "
                "generator draws. Use tasks(..., image_size=..., "
                "channels=...) as the model has them."
            )
        if x.shape[1] not in (None, 1, inner_steps):
            raise ValueError(
                f"the tasks' {field} images are for {x.shape[1]} inner steps, "
                f"the model takes {inner_steps}; expected the same number, or "
                f"1. Use tasks(..., inner_steps={inner_steps})."
            )


def assert_range(images: tf.Tensor) -> None:
    """Stop a graph whose images lie outside [-1, 1]."""
    magnitude = tf.reduce_max(tf.abs(images))
    tf.debugging.Assert(
        magnitude <= 1.0,
        [
            "images of the tasks lie outside [-1, 1]; expected the range of "
            "the generator. Use tf_metagan.tasks, or scale bytes by "
            "x / 127.5 - 1. Greatest magnitude:",
            magnitude,
        ],
    )


def as_support(images, *, image_shape: tf.TensorShape) -> np.ndarray:
    """Return images in [-1, 1], or refuse them.

    Args:
      images: [n, H, W, C], uint8, or floating in [-1, 1].
      image_shape: [H, W, C] of the generator.

    Returns:
      Floating [n, H, W, C].

    Raises:
      TypeError, ValueError: other shape, dtype or range.
    """
    images = np.asarray(images)
    shape = tf.TensorShape(images.shape)
    if not (
        images.ndim == 4
        and len(images)
        and image_shape.is_compatible_with(shape[1:])
    ):
        raise ValueError(
            f"images came with shape {images.shape}; expected "
            f"(n, *{image_shape}) with n >= 1, as the generator draws. Resize "
            "them, and add missing axes by images[..., None]."
        )
    if images.dtype == np.uint8:
        return base.to_range(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"images came as {images.dtype}; expected uint8, or floating "
            "numbers in [-1, 1]. Convert them by images.astype('uint8')."
        )
    if not np.all(np.abs(images) <= 1):
        raise ValueError(
            f"images have values from {images.min()} to {images.max()}; "
            "expected all in [-1, 1]. Give bytes as uint8, or scale them by "
            "x / 127.5 - 1."
        )
    if images.min() >= 0:
        warnings.warn(
            "no value of the images is below 0. They are read as [-1, 1]; if "
            "theirs is [0, 1], give 2 * images - 1.",
            stacklevel=3,
        )
    return images
