"""The tf.Module of photographs: variables, and one function per signature.

Like `adapter.Adapter`, which adapts by steps: plain tf.Variables and
tf.functions, and a gate of checks in front of everything.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_metagan.exporting import codecs, sentences, stored
from tf_metagan.exporting.form import SERVING_DEFAULT
from tf_metagan.exporting.photograph_terms import LEAST_SIDE, Terms
from tf_metagan.exporting.studio import Studio
from tf_metagan.types import Vars

_JUDGE = "d"  # the one player that has no part in drawing


class Photographer(tf.Module):
    """Makes GANs of photographs and draws, within the terms of an export.

    The functions are attributes, here and of the loaded SavedModel.
    """

    def __init__(self, game: Any, vars: Vars, terms: Terms):
        """Copy the generator's weights into variables, define the functions.

        Args:
          game: a `gan.game.Game` that models photographs.
          vars: meta-weights, tensors; those of the discriminator stay out.
          terms: sizes, limits, defaults.

        Raises:
          ValueError: a weight is not finite in the type it is stored in.
        """
        super().__init__(name="photographer")
        own = Vars(
            *(
                {p: leaves for p, leaves in part.items() if p != _JUDGE}
                for part in vars
            )
        )
        self.weights, read = stored.keep(own, terms.weights)
        studio = Studio(game, read, terms)
        for name, function in _functions(studio, terms).items():
            setattr(self, name, function)

    def facts(self) -> dict[str, Any]:
        """Return nothing beside the terms."""
        return {}


def _functions(studio: Studio, terms: Terms) -> dict[str, Callable]:
    channels, limits, defaults = terms.channels, terms.limits, terms.defaults

    def spec(name: str, kind=tf.int32, shape=()):
        return tf.TensorSpec(shape, kind, name)

    def photograph(name: str):
        return spec(name, tf.float32, [None, None, channels])

    # Eager tensors: such defaults become those of the signature.
    count_0 = tf.constant(defaults.num_samples)
    width_0, height_0 = (
        tf.constant(defaults.width),
        tf.constant(defaults.height),
    )
    from_0 = tf.constant(defaults.random_from)
    strength_0 = tf.constant(defaults.strength)
    first_0 = tf.constant(defaults.first_scale)
    seed_0 = tf.constant(defaults.seed, tf.int64)
    wanted = [spec(x) for x in ("num_samples", "width", "height")]
    wanted += [spec("random_from"), spec("seed", tf.int64, [2])]
    mixture = [spec("strength", tf.float32), spec("first_scale")]

    def exported(*signature):
        return tf.function(input_signature=signature, autograph=False)

    def given(image, name: str, axes: str = "h, w"):
        return sentences.photographs(
            image,
            axes=axes,
            channels=channels,
            pixels=limits.pixels,
            aspect=limits.aspect,
            name=name,
        )

    def asked(image, num_samples, width, height, random_from, seed, rows=1):
        """Return the sentence about what is to be drawn of a photograph."""
        size = _size(studio, image, width, height)
        pixels = [_largest(x) for x in (rows, num_samples, *size)]
        together = tf.reduce_prod(tf.stack(pixels))
        return sentences.first(
            sentences.between(num_samples, 1, limits.samples, "num_samples"),
            sentences.side(width, LEAST_SIDE, limits.side, "width"),
            sentences.side(height, LEAST_SIDE, limits.side, "height"),
            sentences.between(random_from, 0, terms.scales, "random_from"),
            sentences.seed(seed),
            sentences.unless(
                together <= limits.sample_pixels,
                "the samples have ",
                together,
                f" pixels together; expected at most {limits.sample_pixels}",
            ),
        )

    def drawn(model, image, num_samples, width, height, random_from, seed):
        size = _size(studio, image, width, height)
        samples = studio.draw(model, num_samples, size, random_from, seed)
        return _finite(samples)

    def answer(image, *how):
        (image,) = sentences.gate(given(image, "image"), image)
        image, *how = sentences.gate(asked(image, *how), image, *how)
        return drawn(studio.model(image), image, *how)

    def rebuilt(model):
        return _finite(tf.cast(model.reconstruct()[0], tf.float32))

    def blend(image, other, strength, first_scale, *how):
        image, other = sentences.gate(
            sentences.first(given(image, "image"), given(other, "other")),
            image,
            other,
        )
        sentence = sentences.first(
            asked(image, *how),
            sentences.between(strength, 0, 1, "strength"),
            sentences.between(first_scale, 0, terms.scales, "first_scale"),
        )
        image, other, strength, first_scale, *how = sentences.gate(
            sentence, image, other, strength, first_scale, *how
        )
        mixed = studio.model(image).interpolated(
            studio.model(other), strength, first=first_scale
        )
        return drawn(mixed, image, *how), rebuilt(mixed)

    def opened(file, name: str):
        (files,) = sentences.gate(
            sentences.count(tf.size(file), 1, name), tf.reshape(file, [-1])
        )
        (files,) = sentences.gate(
            codecs.inspect(files, pixels=limits.pixels, name=name), files
        )
        return codecs.decode_photograph(files[0], channels)

    @exported(spec("images", tf.float32, [None, None, None, channels]))
    def serving_default(images):
        number = tf.shape(images)[0]
        (images,) = sentences.gate(
            sentences.first(
                given(images, "images", "n, h, w"),
                sentences.count(number, limits.images, "images"),
            ),
            images,
        )
        how = (count_0, width_0, height_0, from_0, seed_0)
        (images,) = sentences.gate(asked(images[0], *how, rows=number), images)
        samples = tf.map_fn(
            lambda image: drawn(studio.model(image), image, *how),
            images,
            fn_output_signature=tf.TensorSpec([None, None, None, channels]),
            parallel_iterations=1,
        )
        return {"samples": samples}

    @exported(photograph("image"), *wanted)
    def sample(
        image,
        num_samples=count_0,
        width=width_0,
        height=height_0,
        random_from=from_0,
        seed=seed_0,
    ):
        how = (num_samples, width, height, random_from, seed)
        return {"samples": answer(image, *how)}

    @exported(spec("image_bytes", tf.string), *wanted)
    def sample_bytes(
        image_bytes,
        num_samples=count_0,
        width=width_0,
        height=height_0,
        random_from=from_0,
        seed=seed_0,
    ):
        image = opened(image_bytes, "image_bytes")
        how = (num_samples, width, height, random_from, seed)
        return {"png_bytes": codecs.encode(answer(image, *how))}

    @exported(photograph("image"))
    def reconstruct(image):
        (image,) = sentences.gate(given(image, "image"), image)
        return {"reconstruction": rebuilt(studio.model(image))}

    @exported(spec("image_bytes", tf.string))
    def reconstruct_bytes(image_bytes):
        image = opened(image_bytes, "image_bytes")
        found = reconstruct(image)["reconstruction"]
        return {"reconstruction_bytes": codecs.encode(found[tf.newaxis])[0]}

    @exported(photograph("image"), photograph("other"), *mixture, *wanted)
    def interpolate(
        image,
        other,
        strength=strength_0,
        first_scale=first_0,
        num_samples=count_0,
        width=width_0,
        height=height_0,
        random_from=from_0,
        seed=seed_0,
    ):
        how = (num_samples, width, height, random_from, seed)
        samples, found = blend(image, other, strength, first_scale, *how)
        return {"samples": samples, "reconstruction": found}

    @exported(
        spec("image_bytes", tf.string),
        spec("other_bytes", tf.string),
        *mixture,
        *wanted,
    )
    def interpolate_bytes(
        image_bytes,
        other_bytes,
        strength=strength_0,
        first_scale=first_0,
        num_samples=count_0,
        width=width_0,
        height=height_0,
        random_from=from_0,
        seed=seed_0,
    ):
        image = opened(image_bytes, "image_bytes")
        other = opened(other_bytes, "other_bytes")
        how = (num_samples, width, height, random_from, seed)
        samples, found = blend(image, other, strength, first_scale, *how)
        return {
            "png_bytes": codecs.encode(samples),
            "reconstruction_bytes": codecs.encode(found[tf.newaxis])[0],
        }

    return {
        SERVING_DEFAULT: serving_default,
        "sample": sample,
        "sample_bytes": sample_bytes,
        "reconstruct": reconstruct,
        "reconstruct_bytes": reconstruct_bytes,
        "interpolate": interpolate,
        "interpolate_bytes": interpolate_bytes,
    }


def _size(studio: Studio, image, width, height) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the (height, width) of samples, of which 0 is the own one."""
    own_height, own_width = studio.size(image)
    return (
        tf.where(tf.equal(height, 0), own_height, height),
        tf.where(tf.equal(width, 0), own_width, width),
    )


def _largest(value) -> tf.Tensor:
    """Return the largest of numbers as int64, whatever shape they came in."""
    return tf.reduce_max(tf.cast(tf.reshape(value, [-1]), tf.int64))


def _finite(images) -> tf.Tensor:
    sentence = sentences.diverged(images, advice="give another photograph")
    (images,) = sentences.gate(sentence, images)
    return images
