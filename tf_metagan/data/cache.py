"""Keep decoded images on disk, so that the second start takes no time."""

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging

from tf_metagan.data import atomic, base

FORMAT = 2
"""Part of every file name; raise it when the content changes its meaning."""


def folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Return where cached images lie.

    Args:
      cache_dir: the folder itself; None for tf_metagan in XDG_CACHE_HOME or,
        where that is not set, in ~/.cache.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "tf_metagan"


def load_or_build(
    path: Path, build: Callable[[], base.ClassImages]
) -> base.ClassImages:
    """Read images from a file, or build them and write the file.

    A file that cannot be read is built again. A folder that cannot be written
    costs the cache, not the run.

    Args:
      path: .npz file.
      build: gives the images when there is no good file.

    Returns:
      ClassImages.
    """
    if path.exists():
        try:
            return read(path)
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            logging.warning(
                "%s is damaged (%s: %s); building it again",
                path,
                type(error).__name__,
                error,
            )
    source = build()
    try:
        write(source, path)
    except OSError as error:
        logging.warning("cannot keep decoded images in %s: %s", path, error)
    return source


def write(source: base.ClassImages, path: Path) -> None:
    """Write images to an .npz file, not compressed."""
    reserved, test_images = source.test_label, source.test_images
    with atomic.replacement(path) as temporary:
        np.savez(
            temporary,
            images=source.images,
            first=source.first,
            label=source.label,
            name=np.array(source.name, np.str_),
            reserves=np.array(reserved is not None),
            test_label=np.array(reserved or (), np.int64),
            test_images=np.array(
                () if test_images is None else test_images, np.int64
            ),
        )


def read(path: Path) -> base.ClassImages:
    """Read what `write` wrote.

    Raises:
      OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile or
      zlib.error: the file is damaged.
    """
    with open(path, "rb") as file, np.load(file) as content:
        source = base.ClassImages(
            images=content["images"],
            first=content["first"],
            label=content["label"],
            name=tuple(content["name"].tolist()),
            test_label=(
                tuple(content["test_label"].tolist())
                if content["reserves"]
                else None
            ),
            test_images=(
                content["test_images"] if content["test_images"].size else None
            ),
        )
    if len(source.images) != source.first[-1]:
        raise ValueError(
            f"{path} holds {len(source.images)} images, its table of classes "
            f"says {source.first[-1]}; expected equal numbers. Delete the file."
        )
    return source
