"""An exported model in a tf.data pipeline behind an operation of TF Addons.

    make addons
    .venv-addons/bin/python export/examples/addons.py \
        --model=export/models/mnist --images=FOLDER --output=rotated.npz

The images are rotated by several angles, the model adapts to each rotation and
draws more of it. TensorFlow Addons 0.23, its last release, needs TensorFlow
2.15 and Python 3.11, which is what .venv-addons has; the model may have been
exported by any later version.
"""

import argparse
import math

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

from tf_metagan import serve


def rotated(
    model: serve.Model, images: tf.Tensor, degrees: list[float], **request
) -> tf.data.Dataset:
    """Return a dataset of (rotated images, samples), one of each angle.

    Args:
      model: exported model.
      images: [K, H, W, C] in [-1, 1]; what turns in from outside is -1.
      degrees: angles, counterclockwise.
      **request: num_samples, steps and seed, as in `adapt_and_sample`.
    """

    def answer(angle):
        support = tfa.image.rotate(
            images, angle, interpolation="bilinear", fill_value=-1.0
        )
        support = tf.clip_by_value(support, -1.0, 1.0)
        return support, model.adapt_and_sample(support, **request).samples

    angles = [math.radians(angle) for angle in degrees]
    return tf.data.Dataset.from_tensor_slices(angles).map(answer)


def main(argv: list[str] | None = None) -> None:
    """Rotate, adapt and draw; see the docstring of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--model", required=True, help="exported model")
    add("--images", required=True, help="folder of images")
    add("--degrees", type=float, nargs="+", default=[0.0, 45.0, 90.0])
    add("--num_samples", type=int, help="that of the model, if not given")
    add("--steps", type=int, help="that of the model, if not given")
    add("--seed", type=int, default=0)
    add("--output", default="rotated.npz", help="support and samples, float32")
    args = parser.parse_args(argv)
    model = serve.load(args.model)
    image = model.info["image"]
    levels = tf.keras.utils.image_dataset_from_directory(
        args.images,
        labels=None,
        color_mode="grayscale" if image["channels"] == 1 else "rgb",
        batch_size=None,
        image_size=(image["height"], image["width"]),
        shuffle=False,
    )
    answers = rotated(
        model,
        tf.stack(list(levels)) / 127.5 - 1.0,
        args.degrees,
        num_samples=args.num_samples,
        steps=args.steps,
        seed=args.seed,
    )
    support, samples = zip(*answers.as_numpy_iterator(), strict=True)
    np.savez(args.output, support=support, samples=samples)
    print(
        f"{len(samples)} x {len(samples[0])} samples by TensorFlow "
        f"{tf.__version__} and TensorFlow Addons {tfa.__version__}: "
        f"{args.output}"
    )


if __name__ == "__main__":
    main()
