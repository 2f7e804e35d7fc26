"""Endless handwritten-looking characters, drawn by the library itself.

Class 7 is the same in every process and for any number of classes, and its
image 3 the same for any number of images. Twenty classes with consecutive ids
form an alphabet with a style of its own; image i of every class of an alphabet
is by the same hand, which has a slant, a pen and a sloppiness.
"""

import numpy as np

from tf_metagan.data import base, cache, glyph_design, glyph_ink
from tf_metagan.data.glyph_shapes import VERSION

_HAND, _MOOD = 2, 3
_TEST_SHARE = 0.2
_MANY = 5000

_HAND_SIZE = 8
_MIDDLE = 0.487
_EDGE = 1.0
_RADIUS = 0.0205


def load(
    *,
    image_size: int,
    channels: int | None,
    num_classes: int,
    images_per_class: int,
    cache_dir: str | None = None,
) -> base.ClassImages:
    """Draw the first classes; the last fifth of them is for meta-test.

    A thousand classes take some seconds, and are kept for the next time.

    Args:
      image_size: height and width in pixels.
      channels: 1 or None, or 3 for grey images with three equal channels.
      num_classes: class ids are 0 .. num_classes - 1.
      images_per_class: images of each class.
      cache_dir: where many images are kept; None for the user's cache.

    Returns:
      ClassImages.

    Source: ours; programmes of strokes that are carried out with errors as in
      Lake et al. (2015), "Human-level concept learning through probabilistic
      program induction", with hand-made shapes for the learned ones.

    >>> drawn = load(
    ...     image_size=32, channels=1, num_classes=5, images_per_class=2
    ... )
    >>> drawn.images.shape, drawn.test_label
    ((10, 32, 32, 1), (4,))
    """

    def build() -> base.ClassImages:
        return _draw_classes(num_classes, images_per_class, image_size)

    if num_classes * images_per_class < _MANY:
        source = build()
    else:
        amount = f"{num_classes}x{images_per_class}-{image_size}"
        file = f"glyphs-{VERSION}-{amount}-f{cache.FORMAT}.npz"
        source = cache.load_or_build(cache.folder(cache_dir) / file, build)
    return source._replace(
        images=np.repeat(source.images, channels or 1, axis=-1)
    )


def _draw_classes(
    num_classes: int, images_per_class: int, image_size: int
) -> base.ClassImages:
    images = np.empty(
        [num_classes, images_per_class, image_size, image_size], np.uint8
    )
    for c in range(num_classes):
        if c % glyph_design.ALPHABET_SIZE == 0:
            style = glyph_design.style(c // glyph_design.ALPHABET_SIZE)
        images[c] = draw(
            c, images=images_per_class, image_size=image_size, style=style
        )
    reserved = max(1, int(_TEST_SHARE * num_classes))
    return base.ClassImages(
        images=images.reshape(-1, image_size, image_size, 1),
        first=images_per_class * np.arange(num_classes + 1, dtype=np.int64),
        label=np.arange(num_classes, dtype=np.int64),
        name=tuple(name(c) for c in range(num_classes)),
        test_label=tuple(range(num_classes - reserved, num_classes)),
    )


def name(class_id: int) -> str:
    """Return the name of a class, "Kavoru/03": different ids, other names."""
    alphabet, place = divmod(class_id, glyph_design.ALPHABET_SIZE)
    return f"{_invented_word(alphabet)}/{place:02d}"


def draw(
    class_id: int,
    *,
    images: int,
    image_size: int,
    style: glyph_design.Style | None = None,
) -> np.ndarray:
    """Draw the first images of a class.

    Args:
      class_id: any number >= 0.
      images: how many.
      image_size: height and width in pixels.
      style: of its alphabet; invented again where None.

    Returns:
      uint8 [images, image_size, image_size], bright strokes on black.
    """
    alphabet = class_id // glyph_design.ALPHABET_SIZE
    style = style or glyph_design.style(alphabet)
    design = glyph_design.character(class_id, style)
    hand = _noise(images, _HAND_SIZE, _HAND, alphabet)
    mood = _noise(images, _HAND_SIZE + glyph_ink.NOISE_SIZE, _MOOD, class_id)
    mood, errors = np.split(mood, [_HAND_SIZE], axis=1)
    sloppy = np.exp(0.35 * hand[:, 0] + 0.2 * mood[:, 0])[:, np.newaxis]
    paths: list[np.ndarray] = []
    for stroke in design.strokes:
        paths.append(glyph_ink.trace(stroke, paths, 0.75 * sloppy * errors))
    radius = np.exp(0.1 * hand[:, 1] + 0.04 * mood[:, 1])
    radius *= _RADIUS * image_size
    scale = np.exp(0.12 * hand[:, 2] + 0.08 * mood[:, 2])
    scale *= design.size / design.extent * image_size
    paths = [scale[:, np.newaxis] * (p - design.middle) for p in paths]
    paths = [_leaned(path, hand, mood) for path in paths]
    where = _MIDDLE * (1 + 1j) + 0.045 * (mood[:, 6] + 1j * mood[:, 7])
    return glyph_ink.ink(
        _inside(paths, image_size * where, radius + _EDGE, side=image_size),
        radius,
        image_size=image_size,
    )


def _noise(rows: int, columns: int, *key: int) -> np.ndarray:
    """Return [rows, columns] of mean 0, variance 1, magnitude at most 3.

    Row i depends on i and the key, not on the number of rows.
    """
    random = np.random.default_rng([VERSION, *key]).random
    return 2 * random([rows, columns, 3]).sum(-1) - 3


def _leaned(path: np.ndarray, hand: np.ndarray, mood: np.ndarray) -> np.ndarray:
    """Widen, slant and turn lines [n, points] about the origin."""
    turn = 0.03 * hand[:, 3] + 0.04 * mood[:, 3]
    slant = 0.12 * hand[:, 4] + 0.05 * mood[:, 4]
    widen = np.exp(0.07 * hand[:, 5] + 0.06 * mood[:, 5])
    turn, slant, widen = (v[:, np.newaxis] for v in (turn, slant, widen))
    x, y = path.real, path.imag
    return np.exp(1j * turn) * (x * widen - y * slant + 1j * y / widen)


def _inside(
    paths: list[np.ndarray], where: np.ndarray, margin: np.ndarray, *, side: int
) -> list[np.ndarray]:
    """Bring drawings to their places, shrunk and moved where they would leave.

    Args:
      paths: [n, points] about the origin.
      where: [n] wanted place of the origin.
      margin: [n] kept free along the border.
      side: of the image.
    """
    points = np.concatenate(paths, axis=1)
    low = points.real.min(axis=1) + 1j * points.imag.min(axis=1)
    high = points.real.max(axis=1) + 1j * points.imag.max(axis=1)
    longer = np.maximum((high - low).real, (high - low).imag)
    shrink = np.minimum(1, (side - 2 * margin) / longer)
    least, most = margin - shrink * low.real, side - margin - shrink * high.real
    x = np.clip(where.real, least, most)
    least, most = margin - shrink * low.imag, side - margin - shrink * high.imag
    y = np.clip(where.imag, least, most)
    return [
        path * shrink[:, np.newaxis] + (x + 1j * y)[:, np.newaxis]
        for path in paths
    ]


def _invented_word(number: int) -> str:
    """Write a number in syllables, scrambled so that neighbours differ."""
    consonants, vowels = "bdfghklmnprstvyz", "aeiou"
    base_size = len(consonants) * len(vowels)
    count = base_size**3
    block, rest = divmod(number, count)
    rest = (rest * 300_007 + 123_457) % count
    word = ""
    for _ in range(3):
        rest, syllable = divmod(rest, base_size)
        consonant, vowel = divmod(syllable, len(vowels))
        word += consonants[consonant] + vowels[vowel]
    return word.capitalize() + (f"{block}" if block else "")
