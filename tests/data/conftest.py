"""Small data sets whose images say which class and which image they are."""

import os

import numpy as np
import pytest

from tf_metagan.data import base


@pytest.fixture(scope="session")
def numbered():
    """Make ClassImages of which every pixel of image i of class c is known.

    Image i of the c-th class has the value 16 * c + i everywhere, so that
    class and image can be read off any pixel; at most 16 of each.
    """

    def make(sizes, *, labels=None, image_size=4, channels=1, test=None):
        labels = range(len(sizes)) if labels is None else labels
        values = [16 * c + i for c, n in enumerate(sizes) for i in range(n)]
        shape = (image_size, image_size, channels)
        images = np.broadcast_to(
            np.array(values, np.uint8)[:, None, None, None],
            (len(values), *shape),
        )
        return base.group(
            images,
            np.repeat(list(labels), sizes),
            name={label: f"class{label}" for label in labels},
            test_label=test,
        )

    return make


@pytest.fixture(scope="session")
def read_off():
    """Return (class row, image) of images that `numbered` made."""

    def read(images):
        values = np.rint((np.asarray(images)[..., 0, 0, 0] + 1) * 127.5)
        return np.divmod(values.astype(int), 16)

    return read


@pytest.fixture(scope="session")
def tfds_dir():
    """Folder of real data, or a skip."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder:
        pytest.skip("real data: set TFDS_DATA_DIR to a folder that has them")
    return folder
