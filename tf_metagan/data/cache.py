"""Keep decoded images on disk, so that the second start takes no time.

What is larger than `MAPPED_BYTES` is mapped from the file rather than read, so
that a data set may be larger than memory.
"""

import contextlib
import os
import struct
import tempfile
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
    found = find(path)
    return _kept(path, build()) if found is None else found


def load_or_stream(
    path: Path, table: base.ClassImages, images: Iterable[np.ndarray]
) -> base.ClassImages:
    """Read images from a file, or `keep` them there.

    Args:
      path: .npz file.
      table: as for `stream`.
      images: as for `stream`; not begun where there is a good file.

    Returns:
      ClassImages.

    Raises:
      OSError: an image cannot be had, or the file of many not be written.
    """
    found = find(path)
    return keep(path, table, images) if found is None else found


def keep(
    path: Path, table: base.ClassImages, images: Iterable[np.ndarray]
) -> base.ClassImages:
    """Write images to a file; more than `MAPPED_BYTES` one after the other.

    Args:
      path: .npz file.
      table: as for `stream`.
      images: as for `stream`.

    Returns:
      ClassImages.

    Raises:
      OSError: an image cannot be had, or the file of many not be written.
    """
    if table.images.nbytes <= MAPPED_BYTES:
        return _kept(path, table._replace(images=np.stack(list(images))))
    logging.info(
        "writing %d images into %s, %.1f GB; once",
        len(table.images),
        path,
        table.images.nbytes / 1e9,
    )
    stream(table, images, path)
    return read(path)


def _kept(path: Path, source: base.ClassImages) -> base.ClassImages:
    try:
        write(source, path)
    except OSError as error:
        logging.warning("cannot keep decoded images in %s: %s", path, error)
    return source


def find(path: Path) -> base.ClassImages | None:
    """Return the images of a file; None where there is none, or a bad one."""
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


class Scratch:
    """Images on their way, in memory up to `MAPPED_BYTES`, then on disk."""

    def __init__(self, folder: Path):
        """Begin with no images.

        Args:
          folder: where they lie when they are many, until they are let go of.
        """
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        place = folder if os.access(folder, os.W_OK) else None
        self._file = tempfile.SpooledTemporaryFile(MAPPED_BYTES, dir=place)

    def add(self, image: np.ndarray) -> None:
        """Take one more image, uint8 [H, W, C]."""
        self._file.write(np.ascontiguousarray(image).data)

    def images(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Return all images, uint8 [n, H, W, C]; read from disk as needed."""
        self._file.flush()
        size = self._file.tell()
        self._file.seek(0)
        if size > MAPPED_BYTES:
            flat = np.memmap(self._file, np.uint8, "r")
        else:
            flat = np.frombuffer(self._file.read(), np.uint8)
        return flat.reshape(-1, *shape)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


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
