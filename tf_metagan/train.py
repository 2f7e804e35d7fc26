"""Meta-train a GAN: python -m tf_metagan.train --algo=fomaml

The command line only; training.py tells the story.
"""

import sys

from tf_metagan import cli
from tf_metagan.config import Config
from tf_metagan.settings import Settings


def main(settings: Settings[Config]) -> int:
    """Train; TensorFlow is imported here, so that --help is instant."""
    from tf_metagan import training

    return training.train(settings)


COMMAND = cli.Command(
    module="tf_metagan.train",
    purpose="Meta-train a GAN over many small image sets, so that it can draw "
    "more of a class it has never seen from a handful of images.",
    examples=(
        "python -m tf_metagan.train --algo=fomaml",
        "python -m tf_metagan.train --flagfile=flags/mnist_fomaml.flags",
        "python -m tf_metagan.train --algo=maml --dataset=folder "
        "--image_folder=my_images",
    ),
    settings=Config,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
