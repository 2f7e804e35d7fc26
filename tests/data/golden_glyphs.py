"""Write golden_glyphs.npz: python tests/data/golden_glyphs.py.

Only for a new version of the design, and then with a line that says why.
"""

import pathlib
import sys

import numpy as np

from tf_metagan.data import glyphs

CLASSES = (0, 7, 19, 20, 123, 999, 4567, 1_000_000)


def main():
    path = pathlib.Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path,
        class_id=np.array(CLASSES),
        images=np.stack(
            [glyphs.draw(c, images=2, image_size=32) for c in CLASSES]
        ),
        versions=np.array([f"Python {sys.version}", f"NumPy {np.__version__}"]),
    )


if __name__ == "__main__":
    main()
