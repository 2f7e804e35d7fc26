"""Read a folder of photographs, each of which is a class of its own."""

from pathlib import Path

import numpy as np
from absl import logging

from tf_metagan.data import base, picture_files, pixels

_PATCH = 11
_STRETCH = 1.16
_NAMED = 5  # files in a warning


def load(
    *,
    image_size: int,
    channels: int | None,
    image_folder: str | None,
    image: str | None = None,
    smallest_size: int,
) -> base.ClassImages:
    """Load every picture of a folder, or one file, as a class of one image.

    Photographs are brought to one width and the nearest of a few aspects, so
    that batches of one size can be made of them; that stretches by 16 % at
    most between 1 : 2 and 2 : 1, and more beyond, which is reported as are
    files that are no pictures.

    Args:
      image_size: width wanted.
      channels: 1 for grey, 3 for colour; None for colour.
      image_folder: holds PNG or JPEG files.
      image: one such file instead; nothing is kept for the test.
      smallest_size: width of the coarsest scale of the pyramids that are to be
        made of them.

    Returns:
      ClassImages with `height`; below its height an image is zero.

    Raises:
      FileNotFoundError: no such folder or file.
      OSError: a broken file.
      ValueError: no folder and no file, or both; fewer than two pictures in
        a folder, or one too flat for the pyramid.
    """
    folder, paths = _files(image_folder, image)
    images, squeezed = [], []
    for path in paths:
        picture = picture_files.open_plain(path)
        if max(picture.size) > 2 * _STRETCH * min(picture.size):
            squeezed.append(path.name)
        images.append(
            pixels.fit_width(
                picture,
                image_size=image_size,
                channels=channels or 3,
                aspects=pixels.ASPECTS,
            )
        )
    _report(squeezed, "photographs are longer than 2 : 1 and squeezed to it")
    height = np.array([len(image) for image in images], np.int64)
    _check_heights(paths, height, image_size, smallest_size)
    shape = (len(images), height.max(), image_size, channels or 3)
    canvas = np.zeros(shape, np.uint8)
    for place, pixel_rows in zip(canvas, images, strict=True):
        place[: len(pixel_rows)] = pixel_rows
    grouped = base.group(
        canvas, np.arange(len(paths)), name=_names(paths, folder)
    )
    kept = None if image is None else ()
    return grouped._replace(height=height, test_label=kept)


def _files(folder: str | None, image: str | None) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the files."""
    if (folder is None) == (image is None):
        which = "neither" if folder is None else "both"
        raise ValueError(
            f"photographs were asked for, and {which} of --image_folder and "
            "--image came; expected one of them. Use --image_folder=FOLDER "
            "with PNG or JPEG files, --image=FILE for a single one, or "
            "another --dataset."
        )
    if image is not None:
        path = picture_files.existing(image)
        return path.parent, [path]
    found = picture_files.existing(folder)
    paths = picture_files.list_folder(found)
    if len(paths) < 2:
        raise ValueError(
            f"{found} holds {len(paths)} pictures; expected at least two, "
            "one to train on and one to test on. Add photographs, correct "
            "--image_folder, or use --image=FILE for one."
        )
    known = {path.name for path in paths}
    stray = sorted(
        path.name
        for path in found.iterdir()
        if path.is_file()
        and path.name not in known
        and not path.name.startswith(".")
    )
    _report(stray, f"files in {found} are no pictures that are read here")
    return found, paths


def _report(names: list[str], what: str) -> None:
    if names:
        logging.warning(
            "%d %s: %s",
            len(names),
            what,
            ", ".join(names[:_NAMED])
            + (", ..." if len(names) > _NAMED else ""),
        )


def _check_heights(
    paths: list[Path], height: np.ndarray, image_size: int, smallest_size: int
) -> None:
    """Refuse what is lower than a patch at the coarsest scale."""
    flat = int(height.argmin())
    lowest = (2 * int(height[flat]) + 1) * smallest_size // (2 * image_size)
    if lowest < _PATCH:
        needed = -(-2 * image_size * _PATCH // (2 * int(height[flat]) + 1))
        raise ValueError(
            f"{paths[flat]} is {lowest} x {smallest_size} pixels at the "
            f"coarsest scale; the discriminator looks at patches of {_PATCH} x "
            f"{_PATCH}. Use --smallest_size={needed}, or crop or remove the "
            "photograph."
        )


def _names(paths: list[Path], folder: Path) -> dict[int, str]:
    return {i: str(path.relative_to(folder)) for i, path in enumerate(paths)}
