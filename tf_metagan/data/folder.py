"""Read the user's own pictures: one folder per class, PNG or JPEG, any size."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image, ImageOps

from tf_metagan.data import base, cache, pixels

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
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
    (pixels.fit). Bright and dark stay as they are; transparent becomes white.

    Args:
      image_size: height and width wanted.
      channels: 1 for grey, 3 for colour; None for what the pictures are.
      image_folder: the outer folder.
      cache_dir: where the pictures of a large folder are kept decoded; None
        for the user's cache.

    Returns:
      ClassImages.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: no classes, a class of one picture, a broken file, or grey
        and colour pictures with channels=None.
    """
    root = _existing(image_folder)
    classes = dict(_classes(root))
    _check_classes(root, classes)
    paths = [path for files in classes.values() for path in files]
    if channels is None:
        channels = _common_channels(paths)

    def build() -> base.ClassImages:
        images = [
            read(path, image_size=image_size, channels=channels)
            for path in paths
        ]
        sizes = [len(files) for files in classes.values()]
        return base.group(
            np.stack(images),
            np.repeat(np.arange(len(sizes)), sizes),
            name=dict(enumerate(classes)),
        )

    if len(paths) < _MANY:
        return build()
    stem = f"folder-{_fingerprint(paths)}-{image_size}x{channels}"
    file = cache.folder(cache_dir) / f"{stem}-f{cache.FORMAT}.npz"
    return cache.load_or_build(file, build)


def load_support(
    images: str | Sequence[str], *, image_size: int, channels: int
) -> np.ndarray:
    """Load pictures to adapt to.

    Args:
      images: files, or folders of which all pictures are taken, in order.
      image_size: height and width wanted.
      channels: 1 for grey, 3 for colour.

    Returns:
      uint8 [n, image_size, image_size, channels], treated as by `load`.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: no pictures, or a broken file.
    """
    paths: list[Path] = []
    for item in [images] if isinstance(images, str) else images:
        path = _existing(item)
        paths += _pictures(path) if path.is_dir() else [path]
    if not paths:
        raise ValueError(
            f"there are no pictures in {images}; expected at least one file "
            f"that ends in {', '.join(_SUFFIXES)}. Name files, or a folder "
            "that holds them."
        )
    return np.stack(
        [read(path, image_size=image_size, channels=channels) for path in paths]
    )


def read(path: Path, *, image_size: int, channels: int) -> np.ndarray:
    """Read one picture: uint8 [image_size, image_size, channels].

    Raises:
      ValueError: the file is broken or no picture.
    """
    try:
        with Image.open(path) as file:
            picture = _plain(ImageOps.exif_transpose(file))
    except (
        OSError,
        SyntaxError,  # what Pillow says to a broken PNG
        ValueError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}); "
            "expected a PNG or JPEG picture. Replace or remove the file."
        ) from error
    return pixels.fit(
        picture,
        image_size=image_size,
        channels=channels,
        strokes=channels == 1,
    )


def _existing(name: str | None) -> Path:
    if name is None:
        raise ValueError(
            "--image_folder is not set, but pictures of a folder were asked "
            "for; expected a folder with one subfolder per class. Use "
            "--image_folder=FOLDER or another --dataset."
        )
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; expected a folder of pictures or a "
            "picture file. Correct the path."
        )
    return path


def _pictures(folder: Path) -> list[Path]:
    """Return the picture files directly in a folder, in order of names."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES
    )


def _classes(root: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield names and pictures of classes in order; report other files."""
    stray: list[str] = []
    for place, below, files in os.walk(root, followlinks=True):
        below.sort()
        pictures = _pictures(Path(place))
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
        raise ValueError(
            f"{root} has no subfolder with pictures; expected one subfolder "
            f"per class, with files that end in {', '.join(_SUFFIXES)}. Sort "
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
                first.setdefault(1 if file.mode in _GREY else 3, path)
        except OSError as error:
            raise ValueError(
                f"{path} is no picture ({error}); expected PNG or JPEG. "
                "Replace or remove the file."
            ) from error
    if len(first) > 1:
        raise ValueError(
            f"{first[1]} is grey and {first[3]} is in colour; expected "
            "pictures of one kind. Choose with --channels=1 or --channels=3."
        )
    return next(iter(first))


def _plain(picture: Image.Image) -> Image.Image:
    """Bring a picture to mode "L" or "RGB": 8 bits, opaque on white."""
    if picture.mode.startswith("I"):  # 16 bits
        values = np.asarray(picture, np.float32) / 257
        return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))
    grey = picture.mode in _GREY
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("L" if grey else "RGB")


def _fingerprint(paths: Sequence[Path]) -> str:
    """Return 16 digits that change when a file is added or edited."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
