"""Augment a few-shot training set with drawings of an exported model.

    python export/examples/augment_dataset.py --model=export/models/omniglot
    python export/examples/augment_dataset.py --model=... --images=CLASSES

A small classifier is trained twice, for as many steps: on `--shots` images of
each class, and on these with drawings added. Both are tested on the other
images. Without --images the classes are drawn characters that come with
tf_metagan; else each subfolder of PNG or JPEG files is one.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf

from tf_metagan import serve
from tf_metagan.data import base, folder, glyphs

BATCH = 32


def augmented(
    model: serve.Model, support: np.ndarray, *, num_samples: int, seed: int
) -> tf.data.Dataset:
    """Return a dataset of (image, label): support images and drawings.

    Args:
      model: exported model.
      support: [classes, shots, H, W, C] in [-1, 1].
      num_samples: drawings of each class; 0 gives the support images alone.
      seed: root of the drawings.
    """

    def with_drawings(label, images):
        if num_samples:
            answer = model.adapt_and_sample(
                images,
                num_samples=num_samples,
                seed=tf.stack([tf.cast(seed, tf.int64), label]),
            )
            # Half of what the classifier sees stays real.
            times = -(-num_samples // images.shape[0])
            images = tf.concat(
                [tf.tile(images, [times, 1, 1, 1]), answer.samples], 0
            )
        return images, tf.repeat(label, tf.shape(images)[0])

    labels = np.arange(len(support), dtype=np.int64)
    tasks = tf.data.Dataset.from_tensor_slices((labels, support))
    # Drawn once, then kept in memory.
    return tasks.map(with_drawings).unbatch().cache()


def accuracy(
    examples: tf.data.Dataset,
    test: tuple[np.ndarray, np.ndarray],
    *,
    classes: int,
    steps: int,
    seed: int,
) -> float:
    """Train a classifier; return the share of test images it gets right."""
    keras.utils.set_random_seed(seed)
    classifier = keras.Sequential(
        [
            keras.Input(test[0].shape[1:]),
            keras.layers.Conv2D(16, 3, 2, "same", activation="relu"),
            keras.layers.Conv2D(32, 3, 2, "same", activation="relu"),
            keras.layers.Conv2D(32, 3, 2, "same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )
    classifier.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    stream = examples.shuffle(10_000, seed=seed).repeat().batch(BATCH)
    classifier.fit(stream, steps_per_epoch=steps, shuffle=False, verbose=0)
    return classifier.evaluate(*test, verbose=0)[1]


def load(path: str | None, info: dict, classes: int) -> np.ndarray:
    """Return [classes, images, H, W, C] in [-1, 1], as many of each class."""
    image = info["image"]
    size, channels = image["height"], image["channels"]
    if path is None:
        found = glyphs.load(
            image_size=size,
            channels=channels,
            num_classes=classes,
            images_per_class=40,
        )
    else:
        found = folder.load(
            image_folder=path, image_size=size, channels=channels
        )
    count = int(np.diff(found.first).min())
    rows = [found.images[begin : begin + count] for begin in found.first[:-1]]
    return base.to_range(np.stack(rows))


def main(argv: list[str] | None = None) -> None:
    """Compare the two training sets; see the docstring of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--model", required=True, help="exported model")
    add("--images", help="folder with a subfolder of images for each class")
    add("--classes", type=int, default=10, help="drawn characters")
    add("--shots", type=int, default=1, help="training images of each class")
    add("--samples", type=int, default=10, help="drawings of each class")
    add("--steps", type=int, default=100, help="training steps, batches of 32")
    add("--trials", type=int, default=3, help="choices of training images")
    args = parser.parse_args(argv)
    model = serve.load(args.model)
    images = load(args.images, model.info, args.classes)
    classes, count, *shape = images.shape
    if not 1 <= args.shots < count:
        parser.error(
            f"--shots={args.shots}: the smallest class has {count} images; "
            f"expected 1 to {count - 1}, so that some are left for the test"
        )
    found = {"without": [], "with": []}
    for trial in range(args.trials):
        order = np.random.default_rng(trial).permutation(count)
        support = images[:, order[: args.shots]]
        rest = images[:, order[args.shots :]]
        test = (
            rest.reshape(-1, *shape),
            np.repeat(np.arange(classes), rest.shape[1]),
        )
        for name, number in (("without", 0), ("with", args.samples)):
            examples = augmented(model, support, num_samples=number, seed=trial)
            share = accuracy(
                examples, test, classes=classes, steps=args.steps, seed=trial
            )
            found[name].append(share)
    for name, shares in found.items():
        each = ", ".join(f"{share:.3f}" for share in shares)
        print(f"{name} drawings: accuracy {np.mean(shares):.3f} ({each})")


if __name__ == "__main__":
    main()
