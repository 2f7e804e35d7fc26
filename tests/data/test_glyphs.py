"""Drawn characters: pure, varied within a class, more so between classes."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tf_metagan.data import base, glyph_design, glyph_ink, glyphs
from tf_metagan.data.glyph_shapes import LEANINGS, SHAPES, Dice

GOLDEN = pathlib.Path(__file__).parent / "golden_glyphs.npz"


@pytest.fixture(scope="module")
def drawn():
    """120 classes of 6 images, 32 x 32: float [classes, images, pixels]."""
    source = glyphs.load(
        image_size=32, channels=1, num_classes=120, images_per_class=6
    )
    return source.images.reshape(120, 6, 32, 32)


def test_load_gives_class_images_with_the_last_fifth_for_test():
    source = glyphs.load(
        image_size=16, channels=3, num_classes=11, images_per_class=2
    )
    assert source.images.shape == (22, 16, 16, 3)
    assert source.images.dtype == np.uint8
    assert source.first.tolist() == list(range(0, 24, 2))
    assert source.label.tolist() == list(range(11))
    assert source.test_label == (9, 10)
    assert (source.images[..., :1] == source.images).all()
    split = base.make_split(source, dataset="glyphs", seed=0)
    assert split.train == tuple(range(9))


def test_class_does_not_depend_on_the_number_of_classes_or_images():
    load = lambda classes, images: glyphs.load(
        image_size=32,
        channels=1,
        num_classes=classes,
        images_per_class=images,
    )
    few, many = load(8, 3), load(23, 5)
    np.testing.assert_array_equal(
        base.images_of(few, 7), base.images_of(many, 7)[:3]
    )
    alone = glyphs.draw(22, images=5, image_size=32)
    np.testing.assert_array_equal(alone, base.images_of(many, 22)[..., 0])
    assert few.name == many.name[:8]


def test_many_images_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(glyphs, "_MANY", 12)
    load = lambda **changes: glyphs.load(
        num_classes=6,
        images_per_class=2,
        cache_dir=str(tmp_path / "kept"),
        **{"image_size": 12, "channels": 1, **changes},
    )
    first = load()
    load(image_size=13)
    with monkeypatch.context() as broken:
        broken.setattr(glyphs, "draw", None)  # draws no more
        again, colour = load(), load(channels=3)
    assert (again.images == first.images).all()
    assert colour.images.shape == (12, 12, 12, 3)
    assert again.name == first.name
    assert again.test_label == first.test_label == (5,)


def test_few_images_are_not_kept(tmp_path):
    glyphs.load(
        image_size=8,
        channels=1,
        num_classes=2,
        images_per_class=2,
        cache_dir=str(tmp_path / "kept"),
    )
    assert not (tmp_path / "kept").exists()


def test_characters_stay_what_they_were():
    """Compare with images drawn earlier; a pixel may round otherwise.

    tests/data/golden_glyphs.py wrote them: classes are part of what a trained
    model has seen, so that a new design needs a new name.
    """
    golden = np.load(GOLDEN)
    for class_id, wanted in zip(
        golden["class_id"].tolist(), golden["images"], strict=True
    ):
        images = glyphs.draw(class_id, images=2, image_size=32)
        difference = np.abs(images.astype(int) - wanted)
        assert difference.max() <= 2
        assert np.abs(images[::-1].astype(int) - wanted).max() > 100


def test_class_is_the_same_in_another_process():
    code = (
        "import sys; from tf_metagan.data import glyphs; "
        "sys.stdout.buffer.write("
        "glyphs.draw(777, images=3, image_size=24).tobytes())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "3"},
        check=True,
        capture_output=True,
    ).stdout
    assert other == glyphs.draw(777, images=3, image_size=24).tobytes()


def test_drawing_needs_no_tensorflow():
    code = (
        "import sys; from tf_metagan.data import glyphs; "
        "glyphs.draw(0, images=1, image_size=8); "
        "print('tensorflow' in sys.modules)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert other.strip() == "False"


def test_names_are_different_and_tell_the_alphabet():
    names = [glyphs.name(c) for c in range(4000)]
    assert len(set(names)) == 4000
    words = [name.split("/")[0] for name in names]
    assert len(set(words[:20])) == 1
    assert len(set(words)) == 200
    assert names[3].endswith("/03")
    beyond = {glyphs.name(20 * a) for a in (0, 512_000, 1_024_000)}
    assert len(beyond) == 3


def separation(images):
    """Return (within, between) distances, each relative to the ink.

    Args:
      images: [classes, images, H, W].
    """
    flat = images.reshape(*images.shape[:2], -1).astype(float) / 255
    mean = flat.mean(axis=1)
    within = np.linalg.norm(flat - mean[:, None], axis=-1).mean()
    gap = np.linalg.norm(mean[:, None] - mean, axis=-1)
    np.fill_diagonal(gap, np.inf)
    return within, gap.min(axis=1)


def check_variety(images):
    within, nearest = separation(images)
    assert within > 3.0  # no two images of a class are the same drawing
    assert nearest.min() > 1.0  # no two classes are the same character
    assert np.median(nearest) > 2.0


def test_images_vary_within_a_class_and_classes_differ(drawn):
    check_variety(drawn)
    with pytest.raises(AssertionError):  # one drawing for all images
        check_variety(np.repeat(drawn[:, :1], 6, axis=1))
    with pytest.raises(AssertionError):  # a class that is there twice
        check_variety(np.concatenate([drawn, drawn[:1, ::-1]]))


def test_images_of_a_class_are_nearer_than_images_of_others(drawn):
    coarse = drawn.reshape(120, 6, 8, 4, 8, 4).mean(axis=(3, 5))
    first, second = coarse.reshape(120, 6, -1).transpose(1, 0, 2)[:2]
    gap = np.linalg.norm(first[:, None] - second, axis=-1)
    # The share of other classes that are nearer than the own one.
    passed = (gap < np.diag(gap)[:, None]).mean(axis=1)
    assert np.median(passed) < 0.2  # Omniglot 0.11, chance 0.5
    assert (passed > 0).mean() > 0.3  # and yet it is no trivial task


def test_ink_is_inside_the_frame_thin_and_bright(drawn):
    edges = (drawn[..., 0, :], drawn[..., -1, :], drawn[..., 0], drawn[..., -1])
    assert max(edge.max() for edge in edges) == 0
    share = drawn.mean(axis=(2, 3)) / 255
    # Omniglot at this size: 0.02 .. 0.16, 0.08 in the middle.
    assert 0.015 < share.min()
    assert share.max() < 0.25
    assert 0.05 < share.mean() < 0.1
    assert np.percentile(drawn.max(axis=(2, 3)), 1) > 200
    # Thin: few squares of 3 x 3 pixels are full of ink.
    windows = np.lib.stride_tricks.sliding_window_view(
        drawn, (3, 3), axis=(2, 3)
    )
    full = (windows.min(axis=(-1, -2)) > 128).sum(axis=(2, 3))
    assert full.mean() < 1.0
    assert full.max() < 20


@pytest.mark.parametrize("image_size", [14, 28, 105])
def test_any_size_shows_the_same_character(image_size):
    images = glyphs.draw(3, images=4, image_size=image_size)
    assert images.shape == (4, image_size, image_size)
    large = glyphs.draw(3, images=4, image_size=840).astype(float)
    factor = 840 // image_size
    shape = (4, image_size, factor, image_size, factor)
    small = large.reshape(shape).mean(axis=(2, 4))
    alike = np.corrcoef(images.ravel(), small.ravel())[0, 1]
    other = np.corrcoef(images[::-1].ravel(), small.ravel())[0, 1]
    assert alike > 0.8 > other


def test_ink_equals_the_distance_to_segments_pixel_by_pixel():
    path = np.array([[2 + 3j, 9 + 4j, 6 + 11j, 6 + 11j]])
    radius = np.array([0.8])
    image = glyph_ink.ink([path], radius, image_size=13)[0]
    for y in range(13):
        for x in range(13):
            p = complex(x + 0.5, y + 0.5)
            gaps = []
            for a, b in zip(path[0, :-1], path[0, 1:], strict=True):
                length = abs(b - a) ** 2
                t = ((p - a) * (b - a).conjugate()).real / (length or 1)
                gaps.append(abs(p - a - min(max(t, 0), 1) * (b - a)))
            cover = min(max(1.3 - min(gaps), 0), 1)
            assert image[y, x] == pytest.approx(255 * cover, abs=1)


def test_thin_lines_get_fainter_not_thinner_than_a_pixel():
    path = np.array([[1 + 4.5j, 8 + 4.5j]])
    image = glyph_ink.ink([path], np.array([0.25]), image_size=9)[0]
    assert image[4, 4] == 128
    assert image[3, 4] == image[5, 4] == 0


def test_ink_outside_the_image_is_cut_off():
    path = np.array([[-50 - 50j, -40 - 40j]])
    assert not glyph_ink.ink([path], np.array([1.0]), image_size=8).any()


def stroke(**changes):
    given = {"corner": (0.0,), "length": (1.0,), "turn": (0.0,), "heading": 0.0}
    return glyph_ink.Stroke(**{**given, **changes})


def test_walk_of_a_full_turn_comes_back():
    path = glyph_ink.walk(stroke(length=(2.0,), turn=(2 * np.pi,)))
    assert abs(path[0, -1]) < 1e-9
    assert np.abs(path).max() > 0.5
    line = glyph_ink.walk(stroke(length=(2.0,), heading=np.pi / 2))
    assert line[0, -1] == pytest.approx(2j)


def test_strokes_are_attached_and_led_where_they_should_be():
    noise = np.random.default_rng(0).normal(
        scale=1e-9, size=[5, glyph_ink.NOISE_SIZE]
    )
    stem = glyph_ink.trace(stroke(heading=np.pi / 2, length=(2.0,)), [], noise)
    bar = stroke(target=0, there=0.5, here=0.5)
    bar = glyph_ink.trace(bar, [stem], noise)
    assert glyph_ink.point_at(bar, np.full(5, 0.5)) == pytest.approx(
        np.full(5, 1j), abs=1e-6
    )
    bowl = stroke(turn=(2.0,), target=0, goal=1, goal_there=1.0)
    bowl = glyph_ink.trace(bowl, [stem, bar], noise)
    assert bowl[:, 0] == pytest.approx(stem[:, 0], abs=1e-6)
    assert bowl[:, -1] == pytest.approx(bar[:, -1], abs=1e-6)


def test_every_version_depends_on_its_own_noise_only():
    design = glyph_design.character(5, glyph_design.style(0))
    noise = np.random.default_rng(0).normal(size=[4, glyph_ink.NOISE_SIZE])

    def lines(rows):
        paths = []
        for part in design.strokes:
            paths.append(glyph_ink.trace(part, paths, noise[rows]))
        return np.concatenate(paths, axis=1)

    np.testing.assert_allclose(lines([2]), lines([0, 1, 2, 3])[2:3])
    assert np.abs(lines([1]) - lines([2])).max() > 0.01


def test_programmes_fit_their_limits():
    for class_id in range(60):
        look = glyph_design.style(class_id // glyph_design.ALPHABET_SIZE)
        design = glyph_design.character(class_id, look)
        assert 1 <= len(design.strokes) <= glyph_ink.MOST_STROKES
        for k, part in enumerate(design.strokes):
            assert len(part.length) <= glyph_ink.MOST_PIECES
            assert max(part.target, part.goal) < k


@pytest.mark.parametrize("leaning", LEANINGS)
def test_leanings_weigh_every_shape(leaning):
    assert len(LEANINGS[leaning]) == len(SHAPES)
    assert min(LEANINGS[leaning]) > 0


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_shapes_on_the_other_side_are_mirrored(shape):
    right, left = shape(Dice(1), 1), shape(Dice(1), -1)
    assert len(right) <= glyph_ink.MOST_PIECES
    assert [p[1] for p in right] == [p[1] for p in left]
    turned = lambda pieces: sum(p[0] + p[2] for p in pieces)
    if abs(turned(right)) > 60:
        assert turned(right) * turned(left) < 0


def test_dice_are_fair_and_keyed():
    d = Dice(0, 1)
    picks = np.bincount([d.pick([1, 0, 3]) for _ in range(4000)], minlength=3)
    assert picks[1] == 0
    assert abs(picks[0] - 1000) < 5 * 28
    values = [d.bell() for _ in range(4000)]
    assert abs(np.mean(values)) < 0.1
    assert np.std(values) == pytest.approx(1, abs=0.06)
    assert abs(sum(d.sign() for _ in range(4000))) < 5 * 64
    assert Dice(3, 4).between(0, 1) == Dice(3, 4).between(0, 1)
    assert Dice(3, 4).between(0, 1) != Dice(4, 3).between(0, 1)
