"""Read the user's own pictures: one folder per class, PNG or JPEG, any size."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image

from tf_metagan.data import base, cache, picture_files

_MANY = 5000


def load(
    *,
    image_size: int,
    channels: int | None,
    image_folder: str | None,
    cache_dir: str | None = None,
) -> base.ClassImages:
    """Load a folder with one folder of pictures per class.

    Every folder that holds pictures is a class, at any depth; its name is its
    path ("greek/alpha"), its class id its place in the order of names. Grey
    pictures are kept whole, colour ones are cropped to the central square
    (data/pixels.py). Bright and dark stay as they are; transparent becomes
    white.

    Args:
      image_size: height and width wanted.
      channels: 1 for grey, 3 for colour; None for what the pictures are.
      image_folder: the outer folder.
      cache_dir: where the pictures of a large folder are kept decoded; None
        for the user's cache. From 256 MB on they stay in that file and are
        read as they are needed.

    Returns:
      ClassImages.

    Raises:
      FileNotFoundError: no such folder.
      OSError: a broken file.
      ValueError: no classes, a class of one picture, or grey and colour
        pictures with channels=None.
    """
    if image_folder is None:
        raise ValueError(
            "--image_folder is not set, but pictures of a folder were asked "
            "for; expected a folder with one subfolder per class. Use "
            "--image_folder=FOLDER or another --dataset."
        )
    root = picture_files.existing(image_folder)
    classes = dict(_classes(root))
    _check_classes(root, classes)
    paths = [path for files in classes.values() for path in files]
    if channels is None:
        channels = _common_channels(paths)

    images = (
        picture_files.read(path, image_size=image_size, channels=channels)
        for path in paths
    )
    table = _table(classes, (image_size, image_size, channels))

    if len(paths) < _MANY:
        return table._replace(images=np.stack(list(images)))
    stem = f"folder-{_fingerprint(paths)}-{image_size}x{channels}"
    file = cache.folder(cache_dir) / f"{stem}-f{cache.FORMAT}.npz"
    return cache.load_or_stream(file, table, images)


def _table(
    classes: dict[str, list[Path]], shape: tuple[int, int, int]
) -> base.ClassImages:
    """Return the classes beside images that hold nothing."""
    first = np.cumsum([0, *(len(files) for files in classes.values())])
    return base.ClassImages(
        images=base.hollow(first[-1], shape),
        first=first.astype(np.int64),
        label=np.arange(len(classes)),
        name=tuple(classes),
    )


def _classes(root: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield names and pictures of classes in order; report other files."""
    stray: list[str] = []
    for place, below, files in os.walk(root, followlinks=True):
        below.sort()
        pictures = picture_files.list_folder(Path(place))
        if Path(place) != root and pictures:
            yield Path(place).relative_to(root).as_posix(), pictures
            files = set(files) - {path.name for path in pictures}
        stray += [
            str(Path(place, file).relative_to(root))
            for file in sorted(files)
            if not file.startswith(".")
        ]
    if stray:
        logging.warning(
            "%d files in %s belong to no class and are not used: %s",
            len(stray),
            root,
            ", ".join(stray[:5]) + (", ..." if len(stray) > 5 else ""),
        )


def _check_classes(root: Path, classes: dict[str, list[Path]]) -> None:
    if not classes:
        endings = ", ".join(picture_files.SUFFIXES)
        raise ValueError(
            f"{root} has no subfolder with pictures; expected one subfolder "
            f"per class, with files that end in {endings}. Sort "
            "the pictures into subfolders, or correct --image_folder."
        )
    single = [name for name, files in classes.items() if len(files) == 1]
    if single:
        raise ValueError(
            f"class {single[0]!r} of {root} has a single picture"
            f"{f' and {len(single) - 1} more have' if single[1:] else ''}; "
            "expected at least 2 per class, to adapt and to compare. Add "
            "pictures, or remove the subfolder."
        )


def _common_channels(paths: Sequence[Path]) -> int:
    """Return 1 if all pictures are grey, 3 if all are in colour."""
    first: dict[int, Path] = {}
    for path in paths:
        try:
            with Image.open(path) as file:
                first.setdefault(
                    1 if file.mode in picture_files.GREY_MODES else 3, path
                )
        except OSError as error:
            raise OSError(
                f"{path} is no picture ({error}); expected PNG or JPEG. "
                "Replace or remove the file."
            ) from error
    if len(first) > 1:
        raise ValueError(
            f"{first[1]} is grey and {first[3]} is in colour; expected "
            "pictures of one kind. Choose with --channels=1 or --channels=3."
        )
    return next(iter(first))


def _fingerprint(paths: Sequence[Path]) -> str:
    """Return 16 digits that change when a file is added or edited."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
