"""Use an exported model: python -m tf_metagan.serve, or `load` in a program.

Pure TensorFlow, from 2.15.1 on: no Keras and nothing else of this package, so
that this file alone is enough beside an export.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

INFO_FILE = "model.json"
FORMAT = 1
SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 2  # pixels between the samples of a picture
_LEAST_PIXELS = 64  # to which small samples are enlarged


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


class Model:
    """An exported model.

    Every method works eagerly and inside a tf.function or `tf.data` pipeline;
    num_samples, steps and seed have the defaults of the export. A seed is a
    whole number or a pair of them; equal requests have equal answers.

    What the model refuses is a ValueError with its own sentence, what diverged
    a FloatingPointError; inside a graph both are InvalidArgumentError.

    Attributes:
      folder: of this version.
      info: what model.json says: sizes, limits, defaults, signatures, data.
      signatures: {name: function} of the SavedModel, for all else.
    """

    def __init__(self, folder: str, info: dict[str, Any], loaded: Any):
        """Hold what `load` found."""
        self.folder = folder
        self.info = info
        self.signatures = loaded.signatures
        self._loaded = loaded  # owns the variables
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

    def _call(self, signature: str, **inputs: tf.Tensor) -> Any:
        try:
            return self.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            sentence = explain(error)
            if "the adaptation diverged" in sentence:
                raise FloatingPointError(sentence) from error
            raise ValueError(sentence) from error

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


def load(path: str) -> Model:
    """Load an exported model.

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
    return Model(folder, info, tf.saved_model.load(folder))


def read_images(folder: str) -> list[bytes]:
    """Read the PNG and JPEG files directly in a folder, in order of names.

    Raises:
      FileNotFoundError: there are none.
    """
    names = sorted(
        name
        for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        if name.lower().endswith(SUFFIXES)
    )
    if not names:
        raise FileNotFoundError(
            f"{folder} holds no images; expected a folder with files that end "
            f"in {', '.join(SUFFIXES)}."
        )
    files = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            files.append(file.read())
    return files


def grid(png_bytes: Any, *, columns: int = 8) -> bytes:
    """Set encoded images of one size beside and below each other.

    Args:
      png_bytes: PNG files, string [N].
      columns: images beside each other.

    Returns:
      A PNG file; small images are enlarged by a whole factor.
    """
    images = [tf.io.decode_png(png, channels=3) for png in png_bytes]
    zoom = max(1, round(_LEAST_PIXELS / max(images[0].shape[:2])))
    columns = min(columns, len(images))
    cells = [
        tf.pad(
            tf.repeat(tf.repeat(image, zoom, 0), zoom, 1),
            [[0, _GAP], [0, _GAP], [0, 0]],
            constant_values=255,
        )
        for image in images
    ]
    blank = tf.fill(cells[0].shape, tf.constant(255, tf.uint8))
    cells += [blank] * (-len(cells) % columns)
    lines = [
        tf.concat(cells[i : i + columns], 1)
        for i in range(0, len(cells), columns)
    ]
    picture = tf.concat(lines, 0)[:-_GAP, :-_GAP]
    encoded: bytes = tf.io.encode_png(picture).numpy()
    return encoded


def main(argv: Sequence[str] | None = None) -> int:
    """Answer from a folder of images to a picture; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tf_metagan.serve",
        description="Adapt an exported model to a folder of images and write "
        "a picture of samples.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", required=True, help="exported model: a version, or NAME"
    )
    parser.add_argument(
        "--images", required=True, help="folder of PNG or JPEG files"
    )
    parser.add_argument(
        "--output", default="samples.png", help="picture to write (%(default)s)"
    )
    for name in ("num_samples", "steps", "seed"):
        parser.add_argument(
            f"--{name}", type=int, help="that of the model, if not given"
        )
    words = parser.parse_args(argv)
    # The fusion of convolutions and biases fails on these graphs, says so in
    # the log and gains nothing.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        model = load(words.model)
        answer = model.adapt_and_sample_bytes(
            read_images(words.images),
            num_samples=words.num_samples,
            steps=words.steps,
            seed=words.seed,
        )
        with open(words.output, "wb") as file:
            file.write(grid(answer.samples))
    except (OSError, ValueError, FloatingPointError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2 if isinstance(error, OSError) else 1
    sys.stdout.write(f"{len(answer.samples)} samples: {words.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
