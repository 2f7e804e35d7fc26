"""Keep decoded images on disk, so that the second start takes no time.

What is larger than `MAPPED_BYTES` is mapped from the file rather than read, so
that a data set may be larger than memory.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from absl import logging

from tf_metagan.data import atomic, base

FORMAT = 2
"""Part of every file name; raise it when the content changes its meaning."""

MAPPED_BYTES = 2**28
"""Size from which images stay in their file."""

_IMAGES = "images.npy"
_LOCAL_HEADER = 30  # bytes in front of the name of a file in a ZIP archive


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
    found = _read_if_good(path)
    if found is not None:
        return found
    source = build()
    try:
        write(source, path)
    except OSError as error:
        logging.warning("cannot keep decoded images in %s: %s", path, error)
    return source


def load_or_stream(
    path: Path, table: base.ClassImages, images: Iterable[np.ndarray]
) -> base.ClassImages:
    """Read images from a file, or write it first, image by image.

    Args:
      path: .npz file.
      table: as for `stream`.
      images: as for `stream`; not begun where there is a good file.

    Returns:
      ClassImages.

    Raises:
      OSError: the file cannot be written, or an image not be had.
    """
    found = _read_if_good(path)
    if found is not None:
        return found
    logging.info(
        "decoding %d images into %s, %.1f GB; once",
        len(table.images),
        path,
        table.images.nbytes / 1e9,
    )
    stream(table, images, path)
    return read(path)


def _read_if_good(path: Path) -> base.ClassImages | None:
    if not path.exists():
        return None
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
    return None


def stream(
    source: base.ClassImages, images: Iterable[np.ndarray], path: Path
) -> None:
    """Write images to a file one after the other.

    Args:
      source: the table of classes; its images are not looked at, but for the
        shape and type of all of them.
      images: uint8 [H, W, C] each, in order.
      path: .npz file, which `read` reads.
    """
    test_images = () if source.test_images is None else source.test_images
    table = {
        "first": source.first,
        "label": source.label,
        "name": np.array(source.name, np.str_),
        "reserves": np.array(source.test_label is not None),
        "test_label": np.array(source.test_label or (), np.int64),
        "test_images": np.array(test_images, np.int64),
    }
    header = {
        "descr": np.lib.format.dtype_to_descr(source.images.dtype),
        "fortran_order": False,
        "shape": source.images.shape,
    }
    with (
        atomic.replacement(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        with archive.open(_IMAGES, "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for image in images:
                file.write(np.ascontiguousarray(image).data)
        for name, array in table.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write(source: base.ClassImages, path: Path) -> None:
    """Write images to an .npz file, not compressed."""
    stream(source, source.images, path)


def read(path: Path) -> base.ClassImages:
    """Read what `write` wrote.

    Returns:
      ClassImages; large images are a numpy.memmap of the file.

    Raises:
      OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile or
      zlib.error: the file is damaged.
    """
    with open(path, "rb") as file, np.load(file) as content:
        large = content.zip.getinfo(_IMAGES).file_size > MAPPED_BYTES
        source = base.ClassImages(
            images=_map(path, content.zip) if large else content["images"],
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


def _map(path: Path, archive: zipfile.ZipFile) -> np.memmap:
    """Map the images, which are stored as they are, from inside the file."""
    with archive.open(_IMAGES) as member:
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        header = member.tell()
    with open(path, "rb") as file:
        begin = archive.getinfo(_IMAGES).header_offset
        file.seek(begin)
        local = file.read(_LOCAL_HEADER)
    lengths = struct.unpack("<HH", local[-4:])  # of the name, of extra fields
    return np.memmap(
        path,
        dtype,
        "r",
        offset=begin + _LOCAL_HEADER + sum(lengths) + header,
        shape=shape,
    )
