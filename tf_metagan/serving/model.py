"""An exported model in a program: `load`, and the methods that all have.

Pure TensorFlow, from 2.15.1 on: no Keras and nothing else of this package, so
that this file alone is enough beside an export.
"""

import abc
import json
import os
import re
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


class Endpoint(abc.ABC):
    """What answers the signatures of an export, here or on a server.

    num_samples, steps and seed have the defaults of the export. A seed is a
    whole number or a pair of them; equal requests have equal answers.

    What the model refuses is a ValueError with its own sentence, what diverged
    a FloatingPointError.

    Attributes:
      info: as in model.json; at least "image", "defaults" and "signatures".
    """

    def __init__(self, info: dict[str, Any]):
        """Hold what is known about the model."""
        self.info = info
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
            **self._scalars(num_samples=num_samples, steps=steps, seed=seed),
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
            **self._scalars(num_samples=num_samples, steps=steps, seed=seed),
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

    @abc.abstractmethod
    def _call(self, signature: str, **inputs: tf.Tensor) -> Any:
        """Return {output: tensor} of a signature."""

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
                value = self.info["defaults"][name]
            found[name] = tf.convert_to_tensor(value, tf.int32)
        return found

    def _seed(self, seed: Any) -> tf.Tensor:
        if seed is None:
            seed = self.info["defaults"]["seed"]
        if isinstance(seed, int):
            seed = (0, seed)
        return tf.convert_to_tensor(seed, tf.int64)


class Model(Endpoint):
    """An exported model, loaded into this program.

    Every method works eagerly and inside a tf.function or `tf.data` pipeline;
    inside a graph every refusal is an InvalidArgumentError.

    Attributes:
      folder: of this version.
      info: what model.json says: sizes, limits, defaults, signatures, data.
      signatures: {name: function} of the SavedModel, for all else.
    """

    def __init__(self, folder: str, info: dict[str, Any], loaded: Any):
        """Hold what `load` found."""
        super().__init__(info)
        self.folder = folder
        self.signatures = loaded.signatures
        self._loaded = loaded  # owns the variables

    def _call(self, signature: str, **inputs: tf.Tensor) -> Any:
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
