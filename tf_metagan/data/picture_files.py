"""Read the user's own pictures: single PNG and JPEG files of any size."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tf_metagan.data import pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")


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
      OSError: a broken file.
      ValueError: no pictures.
    """
    return np.stack(
        [
            read(path, image_size=image_size, channels=channels)
            for path in collect(images)
        ]
    )


def collect(images: str | Sequence[str]) -> list[Path]:
    """Return picture files: those named, and those in folders named.

    Args:
      images: files, or folders of which all pictures are taken, in order.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: no pictures.
    """
    paths: list[Path] = []
    for item in [images] if isinstance(images, str) else images:
        path = existing(item)
        paths += list_folder(path) if path.is_dir() else [path]
    if not paths:
        raise ValueError(
            f"there are no pictures in {images}; expected at least one file "
            f"that ends in {', '.join(SUFFIXES)}. Name files, or a folder "
            "that holds them."
        )
    return paths


def read(path: Path, *, image_size: int, channels: int) -> np.ndarray:
    """Read one picture: uint8 [image_size, image_size, channels].

    Raises:
      OSError: the file is broken or no picture.
    """
    return _fit(open_plain(path), image_size=image_size, channels=channels)


def open_bytes(content: bytes, *, name: str, most_pixels: int) -> Image.Image:
    """Read one picture from the bytes of a file, as `open_plain` does.

    Args:
      content: of the file.
      name: for errors.
      most_pixels: that it may have; a larger one is refused undecoded.

    Raises:
      OSError: the file is broken, no picture or too large.
    """
    return _open(io.BytesIO(content), name, most_pixels=most_pixels)


def open_plain(path: Path, *, ground: str = "white") -> Image.Image:
    """Read one picture upright and opaque, in mode "L" or "RGB".

    Args:
      path: the file.
      ground: colour of what is transparent.

    Raises:
      OSError: the file is broken or no picture.
    """
    return _open(path, str(path), ground=ground)


def _fit(picture: Image.Image, *, image_size: int, channels: int) -> np.ndarray:
    return pixels.fit(
        picture,
        image_size=image_size,
        channels=channels,
        strokes=channels == 1,
    )


def _open(
    source: Path | io.BytesIO,
    name: str,
    *,
    most_pixels: int | None = None,
    ground: str = "white",
) -> Image.Image:
    try:
        with Image.open(source) as file:
            if most_pixels and file.width * file.height > most_pixels:
                raise ValueError(
                    f"it has {file.width} x {file.height} pixels, more than "
                    f"{most_pixels}"
                )
            return _plain(ImageOps.exif_transpose(file), ground)
    except (
        OSError,
        SyntaxError,  # what Pillow says to a broken PNG
        ValueError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:
        raise OSError(
            f"{name} cannot be read ({type(error).__name__}: {error}); "
            "expected a PNG or JPEG picture. Replace or remove the file."
        ) from error


def existing(name: str | Path) -> Path:
    """Return a path, ~ expanded; refuse one that does not exist."""
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; expected a folder of pictures or a "
            "picture file. Correct the path."
        )
    return path


def list_folder(folder: Path) -> list[Path]:
    """Return the picture files directly in a folder, in order of names."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES
    )


def _plain(picture: Image.Image, ground: str) -> Image.Image:
    """Bring a picture to mode "L" or "RGB": 8 bits, opaque on a ground."""
    if picture.mode.startswith("I"):  # 16 bits
        values = np.asarray(picture, np.float32) / 257
        return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))
    grey = picture.mode in GREY_MODES
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        below = Image.new("RGBA", picture.size, ground)
        picture = Image.alpha_composite(below, picture)
    return picture.convert("L" if grey else "RGB")
