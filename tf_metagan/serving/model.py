"""An exported model in a program: `load`, and the methods that all have.

Pure TensorFlow, from 2.15.1 on: no Keras and nothing else of this package, so
that this file alone is enough beside an export.
"""

import abc
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

INFO_FILE = "model.json"
FORMAT = 1


class Answer(NamedTuple):
    """Samples, and how the players stood in the last step of adaptation.

    Attributes:
      samples: [N, H, W, C] in [-1, 1]; PNG files, string [N], where the
        request was encoded; with the task axis in front for a batch.
      d_loss: of the discriminator.
      g_loss: of the generator.
      error: string [T] of a batch, "" where all is well; otherwise None.
    """

    samples: tf.Tensor
    d_loss: tf.Tensor
    g_loss: tf.Tensor
    error: tf.Tensor | None = None


class Adapted(NamedTuple):
    """Adapted weights.

    Attributes:
      weights: float32 vector; the order is in `info["weights"]`.
      images: [M, H, W, C] that were adapted to, some models draw with them.
      d_loss: as in `Answer`.
      g_loss: as in `Answer`.
    """

    weights: tf.Tensor
    images: tf.Tensor
    d_loss: tf.Tensor
    g_loss: tf.Tensor


class Blend(NamedTuple):
    """What the model between two photographs draws.

    Attributes:
      samples: [N, H, W, C] in [-1, 1]; PNG files, string [N], where the
        request was encoded.
      reconstruction: [H, W, C], or a PNG file.
    """

    samples: tf.Tensor
    reconstruction: tf.Tensor


class Endpoint(abc.ABC):
    """What answers the signatures of an export, here or on a server.

    Exports adapt to images, or model photographs; a method that an export has
    no signature for is a ValueError. Whatever is None has the default of the
    export. A seed is a whole number or a pair of them; equal requests have
    equal answers.

    What the model refuses is a ValueError with its own sentence, what diverged
    a FloatingPointError.

    Attributes:
      info: as in model.json; at least "image", "defaults" and "signatures".
      signatures: by name, for all else.
    """

    def __init__(self, info: dict[str, Any], signatures: Mapping[str, Any]):
        """Hold what is known about the model."""
        self.info = info
        self.signatures = signatures
        image = info["image"]
        self._shape = (image["height"], image["width"], image["channels"])

    def adapt_and_sample(
        self,
        images: Any,
        *,
        num_samples: Any = None,
        steps: Any = None,
        seed: Any = None,
    ) -> Answer:
        """Adapt to images [K, H, W, C] in [-1, 1] and draw more of them."""
        found = self._call(
            "adapt_and_sample",
            images=self._images(images, "K"),
            **self._scalars(
                num_samples=num_samples,
                steps=steps,
                seed=seed,
            ),
        )
        return Answer(found["samples"], found["d_loss"], found["g_loss"])

    def adapt_and_sample_bytes(
        self,
        image_bytes: Any,
        *,
        num_samples: Any = None,
        steps: Any = None,
        seed: Any = None,
    ) -> Answer:
        """Adapt to PNG or JPEG files, given as bytes; samples are PNG files."""
        found = self._call(
            "adapt_and_sample_bytes",
            image_bytes=tf.convert_to_tensor(image_bytes, tf.string),
            **self._scalars(
                num_samples=num_samples,
                steps=steps,
                seed=seed,
            ),
        )
        return Answer(found["png_bytes"], found["d_loss"], found["g_loss"])

    def adapt_and_sample_batch(
        self,
        images: Any,
        *,
        num_images: Any = None,
        num_samples: Any = None,
        steps: Any = None,
        seed: Any = None,
    ) -> Answer:
        """Adapt to T tasks at once: images [T, K, H, W, C].

        Every other argument is one value for all tasks, or one for each.
        """
        images = self._images(images, "T, K")
        tasks = tf.shape(images)[:1]
        scalars = self._scalars(num_samples=num_samples, steps=steps)
        num_images = 0 if num_images is None else num_images
        scalars["num_images"] = tf.convert_to_tensor(num_images, tf.int32)
        rows = {
            name: tf.broadcast_to(value, tasks)
            for name, value in scalars.items()
        }
        seed = self._seed(seed)
        rows["seed"] = tf.broadcast_to(seed, tf.concat([tasks, [2]], 0))
        found = self._call("adapt_and_sample_batch", images=images, **rows)
        return Answer(*(found[name] for name in Answer._fields))

    def sample_prior(
        self, *, num_samples: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from the meta-weights, before any adaptation."""
        scalars = self._scalars(num_samples=num_samples, seed=seed)
        return self._call("sample_prior", **scalars)["samples"]

    def adapt(
        self, batches: Any, *, steps: Any = None, seed: Any = None
    ) -> Adapted:
        """Adapt to batches [B, n, H, W, C]; step s looks at batch s modulo B.

        For the same images at every step give one batch.
        """
        batches = self._images(batches, "B, n")
        found = self._call(
            "adapt",
            batches=batches,
            **self._scalars(steps=steps, seed=seed),
        )
        images = tf.reshape(batches, [-1, *self._shape])
        return Adapted(
            found["weights"], images, found["d_loss"], found["g_loss"]
        )

    def sample_adapted(
        self, adapted: Adapted, *, num_samples: Any = None, seed: Any = None
    ) -> tf.Tensor:
        """Draw from adapted weights: [N, H, W, C] in [-1, 1]."""
        inputs = self._scalars(num_samples=num_samples, seed=seed)
        if "images" in self.info["signatures"]["sample_adapted"]["inputs"]:
            inputs["images"] = adapted.images
        found = self._call("sample_adapted", weights=adapted.weights, **inputs)
        return found["samples"]

    def sample(self, image: Any, **wanted: Any) -> tf.Tensor:
        """Draw images like a photograph [h, w, C] in [-1, 1], of any size.

        Args:
          image: the photograph.
          **wanted: num_samples; width and height of the images in pixels, 0
            for those of the photograph in the model's width; random_from,
            scales before it are those of the reconstruction; seed.

        Returns:
          [N, height, width, C] in [-1, 1].
        """
        found = self._call(
            "sample", image=_floats(image), **self._wanted(**wanted)
        )
        return found["samples"]

    def sample_bytes(self, image_bytes: Any, **wanted: Any) -> tf.Tensor:
        """Do as `sample` with a PNG or JPEG file; samples are PNG files."""
        found = self._call(
            "sample_bytes",
            image_bytes=tf.convert_to_tensor(image_bytes, tf.string),
            **self._wanted(**wanted),
        )
        return found["png_bytes"]

    def reconstruct(self, image: Any) -> tf.Tensor:
        """Draw a photograph itself, [H, W, C], from its GAN."""
        found = self._call("reconstruct", image=_floats(image))
        return found["reconstruction"]

    def reconstruct_bytes(self, image_bytes: Any) -> tf.Tensor:
        """Do as `reconstruct` with a PNG or JPEG file; gives a PNG file."""
        file = tf.convert_to_tensor(image_bytes, tf.string)
        found = self._call("reconstruct_bytes", image_bytes=file)
        return found["reconstruction_bytes"]

    def interpolate(
        self,
        image: Any,
        other: Any,
        *,
        strength: Any = None,
        first_scale: Any = None,
        **wanted: Any,
    ) -> Blend:
        """Draw from the model between those of two photographs.

        Args:
          image: [h, w, C] in [-1, 1]; images have its size.
          other: another, of any size.
          strength: 0 is the model of `image`, 1 that of `other`.
          first_scale: coarser scales keep the weights of `image`.
          **wanted: see `sample`.
        """
        found = self._call(
            "interpolate",
            image=_floats(image),
            other=_floats(other),
            **self._scalars(strength=strength, first_scale=first_scale),
            **self._wanted(**wanted),
        )
        return Blend(found["samples"], found["reconstruction"])

    def interpolate_bytes(
        self,
        image_bytes: Any,
        other_bytes: Any,
        *,
        strength: Any = None,
        first_scale: Any = None,
        **wanted: Any,
    ) -> Blend:
        """Do as `interpolate` with PNG or JPEG files; gives PNG files."""
        found = self._call(
            "interpolate_bytes",
            image_bytes=tf.convert_to_tensor(image_bytes, tf.string),
            other_bytes=tf.convert_to_tensor(other_bytes, tf.string),
            **self._scalars(strength=strength, first_scale=first_scale),
            **self._wanted(**wanted),
        )
        return Blend(found["png_bytes"], found["reconstruction_bytes"])

    def _wanted(
        self,
        *,
        num_samples: Any = None,
        width: Any = None,
        height: Any = None,
        random_from: Any = None,
        seed: Any = None,
    ) -> dict[str, tf.Tensor]:
        return self._scalars(
            num_samples=num_samples,
            width=width,
            height=height,
            random_from=random_from,
            seed=seed,
        )

    def _call(self, signature: str, **inputs: tf.Tensor) -> Any:
        """Return {output: tensor} of a signature.

        Raises:
          ValueError: there is none of that name, or the model refuses.
        """
        if signature not in self.signatures:
            raise ValueError(
                f"the model has no signature {signature}; {self._offer()}"
            )
        return self._run(signature, inputs)

    def _offer(self) -> str:
        return f"expected one of {', '.join(sorted(self.signatures))}"

    @abc.abstractmethod
    def _run(self, signature: str, inputs: dict[str, tf.Tensor]) -> Any:
        """Return {output: tensor} of a signature that there is."""

    def _images(self, images: Any, axes: str) -> tf.Tensor:
        # Python compares shapes before the graph can; this says it in words.
        images = tf.convert_to_tensor(images, tf.float32)
        expected = [None] * (axes.count(",") + 1) + list(self._shape)
        if not images.shape.is_compatible_with(expected):
            size = ", ".join(str(side) for side in self._shape)
            raise ValueError(
                f"images have the shape {list(images.shape)}; expected "
                f"[{axes}, {size}]"
            )
        return images

    def _scalars(self, **given: Any) -> dict[str, tf.Tensor]:
        found = {}
        for name, value in given.items():
            if name == "seed":
                found[name] = self._seed(value)
                continue
            if value is None:
                try:
                    value = self.info["defaults"][name]
                except KeyError as error:
                    raise ValueError(
                        f"the model knows no {name}; {self._offer()}"
                    ) from error
            kind = tf.float32 if name == "strength" else tf.int32
            found[name] = tf.convert_to_tensor(value, kind)
        return found

    def _seed(self, seed: Any) -> tf.Tensor:
        if seed is None:
            seed = self.info["defaults"]["seed"]
        seed = tf.convert_to_tensor(seed, tf.int64)
        if seed.shape.rank == 0:
            seed = tf.stack([tf.zeros_like(seed), seed])
        return seed


def _floats(image: Any) -> tf.Tensor:
    return tf.convert_to_tensor(image, tf.float32)


class Model(Endpoint):
    """An exported model, loaded into this program.

    Every method works eagerly and inside a tf.function or `tf.data` pipeline;
    inside a graph every refusal is an InvalidArgumentError.

    Attributes:
      folder: of this version.
      info: what model.json says: sizes, limits, defaults, signatures, data.
      signatures: {name: function} of the SavedModel.
    """

    def __init__(self, folder: str, info: dict[str, Any], loaded: Any):
        """Hold what `load` found."""
        super().__init__(info, loaded.signatures)
        self.folder = folder
        self._loaded = loaded  # owns the variables

    def _run(self, signature: str, inputs: dict[str, tf.Tensor]) -> Any:
        try:
            return self.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise refusal(error) from error


def refusal(error: tf.errors.OpError) -> ValueError | FloatingPointError:
    """Return the exception of the methods for what the graph refused."""
    sentence = explain(error)
    if "the adaptation diverged" in sentence:
        return FloatingPointError(sentence)
    return ValueError(sentence)


def explain(error: tf.errors.OpError) -> str:
    """Return the sentence of a refusal, without the names of graph nodes."""
    text = re.split(r"\s*\[\[\{\{node", error.message)[0]
    asserted = re.search(r"assertion failed: \[(.*)\]", text, re.S)
    return asserted[1] if asserted else text.split("\n")[-1]


def find(path: str) -> str | None:
    """Return the folder of the version that a path stands for, or None.

    Args:
      path: a version, or the folder of a model, whose newest version counts.
    """
    if os.path.exists(os.path.join(path, INFO_FILE)):
        return path
    if not os.path.isdir(path):
        return None
    versions = sorted(
        (int(name) for name in os.listdir(path) if name.isdecimal()),
        reverse=True,
    )
    for version in versions:
        folder = os.path.join(path, str(version))
        if os.path.exists(os.path.join(folder, INFO_FILE)):
            return folder
    return None


def describe(path: str) -> tuple[str, dict[str, Any]]:
    """Return the folder of a version, and what its model.json says.

    Args:
      path: folder of a version, or of a model, whose newest version is taken.

    Raises:
      FileNotFoundError: there is no exported model.
      ValueError: it was written by a later version of this file.
    """
    folder = find(path)
    if folder is None:
        raise FileNotFoundError(
            f"{path} holds no exported model: expected {INFO_FILE} in it or in "
            "a version below it. Write one: python -m tf_metagan.export "
            "--run=RUN --output=export/models/NAME"
        )
    with open(os.path.join(folder, INFO_FILE), encoding="utf-8") as file:
        info = json.load(file)
    if info["format"] != FORMAT:
        raise ValueError(
            f"{folder} has the format {info['format']}, expected {FORMAT}. "
            "Load it with the version of tf_metagan that wrote it: "
            f"{info['versions']['tf-metagan']}."
        )
    return folder, info


def load(path: str) -> Model:
    """Load an exported model; arguments and errors are those of `describe`."""
    folder, info = describe(path)
    return Model(folder, info, tf.saved_model.load(folder))
