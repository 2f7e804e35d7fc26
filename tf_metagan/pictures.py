"""Pictures of many small images, in rows and columns with captions."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_LEAST_PIXELS = 64
_GAP = 2
_SPACE = 14
_FONT_SIZE = 15

_Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Turn images into colour bytes.

    Args:
      images: [..., H, W, C], C 1 or 3; floating in [-1, 1], values outside are
        clipped, or uint8.

    Returns:
      uint8 [..., H, W, 3].

    Raises:
      ValueError: the images have another number of channels or are not finite.
    """
    images = np.asarray(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images of shape {images.shape} cannot be shown: expected 1 or 3 "
            "channels in the last axis. Pick the channels to show."
        )
    if images.dtype != np.uint8:
        if not np.isfinite(images).all():
            raise ValueError(
                "images with values that are not finite cannot be shown: "
                "expected numbers in [-1, 1]. The weights have diverged."
            )
        scaled = np.clip(images * 127.5 + 127.5, 0, 255)
        images = np.rint(scaled).astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def grid(
    blocks: Mapping[str, Sequence[np.ndarray] | np.ndarray],
    captions: Sequence[str],
    *,
    per_line: int = 8,
) -> np.ndarray:
    """Compose a picture: one row per task, one captioned block per column.

    Args:
      blocks: {caption of the column: images [n, H, W, C] for each task} in the
        order of the columns; values as for `to_bytes`. n, H and W may differ.
      captions: caption of each row, of any length.
      per_line: images beside each other in a block; more go below.

    Returns:
      uint8 [height, width, 3]; small images are enlarged by a whole factor.

    Raises:
      ValueError: a block has another number of tasks than there are captions,
        or images that `to_bytes` refuses.
    """
    for name, column in blocks.items():
        shapes = [images.shape for images in column]
        if len(shapes) != len(captions) or any(len(x) != 4 for x in shapes):
            raise ValueError(
                f"block '{name}' has tasks of shapes {shapes}; expected [n, H, "
                f"W, C] for each of {len(captions)} captions."
            )
    cells = [
        [_block(images[row], per_line) for images in blocks.values()]
        for row in range(len(captions))
    ]
    font = PIL.ImageFont.load_default(_FONT_SIZE)
    widths = [
        max(_widest_word(name, font), *(cell.shape[1] for cell in column))
        for name, column in zip(blocks, zip(*cells, strict=True), strict=True)
    ]
    heights = [max(cell.shape[0] for cell in row) for row in cells]
    left = max((int(font.getlength(text)) for text in captions), default=0)
    names = _wrap(blocks, widths, font)
    top = max(name.count("\n") + 1 for name in names) * (_FONT_SIZE + 5)
    xs = _places(_SPACE + left + (_SPACE if left else 0), widths)
    ys = _places(_SPACE + top, heights)
    picture = PIL.Image.new("RGB", (xs[-1], ys[-1]), _PAPER)
    draw = PIL.ImageDraw.Draw(picture)
    for name, x, width in zip(names, xs, widths, strict=False):
        at = (x + width / 2, ys[0] - 7)
        draw.multiline_text(
            at, name, _INK, font, anchor="md", align="center", spacing=2
        )
    for text, row, y, height in zip(captions, cells, ys, heights, strict=False):
        at = (_SPACE + left, y + height / 2)
        draw.text(at, text, _INK, font, anchor="rm")
        for cell, x, width in zip(row, xs, widths, strict=False):
            at = (x + (width - cell.shape[1]) // 2, y)
            picture.paste(PIL.Image.fromarray(cell), at)
    return np.asarray(picture)


def _block(images: np.ndarray, per_line: int) -> np.ndarray:
    """Set images [n, H, W, C] beside and below each other."""
    images = to_bytes(images)
    n, height, width, _ = images.shape
    zoom = max(1, round(_LEAST_PIXELS / max(height, width)))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    columns = min(n, per_line)
    lines = -(-n // per_line)
    step_y, step_x = height * zoom + _GAP, width * zoom + _GAP
    shape = (lines * step_y - _GAP, columns * step_x - _GAP, 3)
    block = np.full(shape, _PAPER, np.uint8)
    for index, image in enumerate(images):
        y, x = (index // per_line) * step_y, (index % per_line) * step_x
        block[y : y + height * zoom, x : x + width * zoom] = image
    return block


def _places(start: int, sizes: Sequence[int]) -> list[int]:
    """Return where each cell begins, and where the picture ends."""
    places = [start]
    for size in sizes:
        places.append(places[-1] + size + _SPACE)
    return places


def _widest_word(name: str, font: _Font) -> int:
    """Return the pixels that a column needs so that its caption fits."""
    return math.ceil(max(map(font.getlength, name.split()), default=0))


def _wrap(
    names: Iterable[str], widths: Sequence[int], font: _Font
) -> list[str]:
    """Break captions into lines that are no wider than their columns."""
    wrapped = []
    for name, width in zip(names, widths, strict=True):
        lines = [""]
        for word in name.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        wrapped.append("\n".join(lines))
    return wrapped
