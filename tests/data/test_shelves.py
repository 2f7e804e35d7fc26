"""Images in a mapped file make the episodes that images in memory make."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.data import base, cache, episodes, shelves

PLAIN = shelves.views(rotate=False, mirror=False)


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Return a data set in memory and the same in a mapped file."""
    draw = np.random.default_rng(0)
    source = base.group(
        draw.integers(0, 256, [40, 6, 6, 1], np.uint8),
        np.repeat([2, 5, 6, 9], [12, 9, 10, 9]),
    )
    cache.write(source, tmp_path / "a.npz")
    monkeypatch.setattr(cache, "MAPPED_BYTES", 100)
    mapped = cache.read(tmp_path / "a.npz")
    assert isinstance(mapped.images, np.memmap)
    return source, mapped


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rotate_classes": True},
        {"rotate_classes": True, "mirror_classes": True},
        {"others": True, "shots": 3},
    ],
    ids=["plain", "turned", "mirrored", "others"],
)
def test_mapped_images_make_the_same_episodes(both, options):
    held, mapped = (
        episodes.EpisodeSampler(
            source,
            classes=[2, 6, 9],
            meta_batch=3,
            inner_batch_size=4,
            inner_steps=2,
            **options,
        )
        for source in both
    )
    for step in range(3):
        one, other = held.batch(step), mapped.batch(step)
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.shape == b.shape
                np.testing.assert_array_equal(a, b)
    streamed = next(iter(mapped.dataset(1)))
    np.testing.assert_array_equal(streamed.support, held.batch(1).support)


def test_other_places_in_the_file_are_noticed(both):
    """The numbers of a shelf are its own: 5 is left out in memory only."""
    held, mapped = (shelves.make(x, [2, 6, 9], views=PLAIN) for x in both)
    assert held.first.tolist() == [0, 12, 22]
    assert mapped.first.tolist() == [0, 21, 31]
    numbers = np.array([12], np.int64)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(
            held.gather(tf.constant(numbers)),
            mapped.gather(tf.constant(numbers)),
        )
