"""The tf.Module that is saved: variables, and one function per signature.

It holds plain tf.Variables and tf.functions, no Keras object. Every input
passes a gate of checks before anything is computed from it.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_metagan.exporting import batch, codecs, sentences, stored
from tf_metagan.exporting.engine import Engine
from tf_metagan.exporting.form import SERVING_DEFAULT
from tf_metagan.exporting.layout import Layout
from tf_metagan.exporting.terms import Terms
from tf_metagan.types import Vars


class Adapter(tf.Module):
    """Adapts to images and samples, within the terms of an export.

    The functions are attributes, here and of the loaded SavedModel.
    """

    def __init__(self, algorithm: Any, vars: Vars, terms: Terms):
        """Copy the weights into variables and define the functions.

        Args:
          algorithm: an `algorithms.base.Algorithm`.
          vars: meta-weights, tensors.
          terms: sizes, limits, defaults.

        Raises:
          ValueError: a weight is not finite in the type it is stored in.
        """
        super().__init__(name="adapter")
        self.weights, read = stored.keep(vars, terms.weights)
        engine = Engine(algorithm, read, terms)
        layout = Layout(vars)
        for name, function in _functions(engine, layout, terms).items():
            setattr(self, name, function)
        # A list would be wrapped by tf.Module into what JSON does not know.
        self.facts = lambda: {"weights": layout.describe()}


def _functions(
    engine: Engine, layout: Layout, terms: Terms
) -> dict[str, Callable]:
    shape, limits, defaults = terms.image_shape, terms.limits, terms.defaults
    # Eager tensors: such defaults become those of the signature.
    steps_0 = tf.constant(defaults.steps)
    samples_0 = tf.constant(defaults.samples)
    seed_0 = tf.constant(defaults.seed, tf.int64)
    images_spec = tf.TensorSpec([None, *shape], tf.float32, "images")
    scalars = [
        tf.TensorSpec([], tf.int32, "num_samples"),
        tf.TensorSpec([], tf.int32, "steps"),
        tf.TensorSpec([2], tf.int64, "seed"),
    ]
    samples_spec, steps_spec, seed_spec = scalars

    def exported(*signature):
        return tf.function(input_signature=signature, autograph=False)

    def samples_sentence(num_samples):
        return sentences.between(num_samples, 1, limits.samples, "num_samples")

    def answer(images, num_samples, steps, seed):
        sentence = sentences.first(
            sentences.images(images, shape, limits),
            sentences.work(
                steps,
                tf.minimum(sentences.number(images, shape), terms.batch_size),
                limits,
            ),
            samples_sentence(num_samples),
            sentences.seed(seed),
        )
        images, num_samples, steps, seed = sentences.gate(
            sentence, images, num_samples, steps, seed
        )
        adapted = engine.adapt_to(images, steps, seed)
        samples = engine.draw(adapted.vars, num_samples, seed)
        return sentences.gate(
            sentences.diverged(samples, adapted.d_loss, adapted.g_loss),
            samples,
            adapted.d_loss,
            adapted.g_loss,
        )

    @exported(images_spec)
    def serving_default(images):
        samples, _, _ = answer(images, samples_0, steps_0, seed_0)
        return {"samples": samples}

    @exported(images_spec, *scalars)
    def adapt_and_sample(
        images, num_samples=samples_0, steps=steps_0, seed=seed_0
    ):
        samples, d_loss, g_loss = answer(images, num_samples, steps, seed)
        return {"samples": samples, "d_loss": d_loss, "g_loss": g_loss}

    @exported(tf.TensorSpec([None], tf.string, "image_bytes"), *scalars)
    def adapt_and_sample_bytes(
        image_bytes, num_samples=samples_0, steps=steps_0, seed=seed_0
    ):
        files = tf.reshape(image_bytes, [-1])
        (files,) = sentences.gate(
            sentences.count(tf.size(files), limits.images, "image_bytes"), files
        )
        (files,) = sentences.gate(
            codecs.inspect(files, pixels=limits.pixels), files
        )
        images = codecs.decode(files, shape)
        samples, d_loss, g_loss = answer(images, num_samples, steps, seed)
        return {
            "png_bytes": codecs.encode(samples),
            "d_loss": d_loss,
            "g_loss": g_loss,
        }

    @exported(samples_spec, seed_spec)
    def sample_prior(num_samples=samples_0, seed=seed_0):
        sentence = sentences.first(
            samples_sentence(num_samples), sentences.seed(seed)
        )
        num_samples, seed = sentences.gate(sentence, num_samples, seed)
        samples = engine.draw(engine.meta_weights(), num_samples, seed)
        return {"samples": samples}

    @exported(
        tf.TensorSpec([None, None, *shape], tf.float32, "batches"),
        steps_spec,
        seed_spec,
    )
    def adapt(batches, steps=steps_0, seed=seed_0):
        sentence = _batches_sentence(batches, steps, seed, terms)
        batches, steps, seed = sentences.gate(sentence, batches, steps, seed)
        adapted = engine.adapt(batches, steps, seed)
        weights = layout.flatten(adapted.vars)
        weights, d_loss, g_loss = sentences.gate(
            sentences.diverged(weights, adapted.d_loss, adapted.g_loss),
            weights,
            adapted.d_loss,
            adapted.g_loss,
        )
        return {"weights": weights, "d_loss": d_loss, "g_loss": g_loss}

    weights_spec = tf.TensorSpec([layout.size], tf.float32, "weights")

    def draw_adapted(weights, images, num_samples, seed):
        sentence = sentences.first(
            _weights_sentence(weights, layout.size),
            samples_sentence(num_samples),
            sentences.seed(seed),
        )
        weights, num_samples, seed = sentences.gate(
            sentence, weights, num_samples, seed
        )
        vars = layout.unflatten(weights, engine.meta_weights())
        if images is not None:
            vars = engine.remember(vars, images)
        samples = engine.draw(vars, num_samples, seed)
        (samples,) = sentences.gate(sentences.diverged(samples), samples)
        return {"samples": samples}

    if engine.remembers:

        @exported(weights_spec, images_spec, samples_spec, seed_spec)
        def sample_adapted(weights, images, num_samples=samples_0, seed=seed_0):
            sentence = sentences.first(
                sentences.frame(images, shape, "K", "images"),
                sentences.count(
                    sentences.number(images, shape),
                    limits.step_images,
                    "images",
                ),
                sentences.values(images, "images"),
            )
            (images,) = sentences.gate(sentence, images)
            return draw_adapted(weights, images, num_samples, seed)

    else:

        @exported(weights_spec, samples_spec, seed_spec)
        def sample_adapted(weights, num_samples=samples_0, seed=seed_0):
            return draw_adapted(weights, None, num_samples, seed)

    return {
        SERVING_DEFAULT: serving_default,
        "adapt_and_sample": adapt_and_sample,
        "adapt_and_sample_bytes": adapt_and_sample_bytes,
        "adapt_and_sample_batch": batch.function(engine, terms),
        "sample_prior": sample_prior,
        "adapt": adapt,
        "sample_adapted": sample_adapted,
    }


def _batches_sentence(batches, steps, seed, terms: Terms) -> tf.Tensor:
    shape, limits = terms.image_shape, terms.limits
    # A slice, since there may be no such axis.
    each = tf.reduce_prod(tf.shape(batches)[1:2])
    return sentences.first(
        sentences.frame(batches, shape, "B, n", "batches"),
        sentences.count(
            sentences.number(batches, shape),
            limits.step_images,
            "images in batches",
        ),
        sentences.work(steps, each, limits),
        sentences.values(batches, "batches"),
        sentences.seed(seed),
    )


def _weights_sentence(weights, size: int) -> tf.Tensor:
    # A NaN is not found either.
    found = tf.shape(tf.where(tf.math.is_finite(tf.reshape(weights, [-1]))))[0]
    return sentences.unless(
        tf.equal(found, size),
        "weights has ",
        found,
        f" finite numbers; expected {size}, those of one adaptation",
    )
