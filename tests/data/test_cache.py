"""Decoded images on disk: equal, or built again."""

import logging

import numpy as np
import pytest

from tf_metagan.data import cache


def same(left, right):
    for name in ("images", "first", "label"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    assert left.name == right.name
    assert left.test_label == right.test_label
    assert np.array_equal(left.test_images, right.test_images)


class Builder:
    """Counts how often it builds."""

    def __init__(self, source):
        self.source, self.calls = source, 0

    def __call__(self):
        self.calls += 1
        return self.source


@pytest.mark.parametrize("test", [None, (3, 9)])
def test_images_are_built_once(numbered, tmp_path, test):
    path = tmp_path / "new" / "a.npz"
    source = numbered([2, 3, 1], labels=[3, 5, 9], test=test)
    if test:
        source = source._replace(test_images=np.array([1, 2, 0]))
    build = Builder(source)
    for _ in range(3):
        same(cache.load_or_build(path, build), build.source)
    assert build.calls == 1
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    path.write_bytes(bytes(content))


def replace(path):
    path.write_bytes(b"no archive")


def empty(path):
    path.write_bytes(b"")


def lack(path):
    with np.load(path) as content:
        kept = {k: v for k, v in content.items() if k != "label"}
    np.savez(path, **kept)


def disagree(path):
    with np.load(path) as content:
        kept = dict(content)
    np.savez(path, **{**kept, "images": kept["images"][:-1]})


@pytest.mark.parametrize("damage", [cut, flip, replace, empty, lack, disagree])
def test_damaged_file_is_built_again_with_a_word(
    numbered, tmp_path, caplog, damage
):
    path = tmp_path / "a.npz"
    build = Builder(numbered([5, 5]))
    cache.load_or_build(path, build)
    damage(path)
    with caplog.at_level(logging.WARNING, logger="absl"):
        same(cache.load_or_build(path, build), build.source)
    assert build.calls == 2
    assert "a.npz is damaged" in caplog.text
    same(cache.read(path), build.source)


def test_file_whose_parts_disagree_says_so(numbered, tmp_path):
    path = tmp_path / "a.npz"
    cache.write(numbered([5]), path)
    disagree(path)
    with pytest.raises(ValueError, match=r"holds 4 images, its table of .* 5"):
        cache.read(path)


def test_folder_that_cannot_be_written_costs_the_cache_only(
    numbered, tmp_path, caplog
):
    (tmp_path / "file").write_text("in the way")
    build = Builder(numbered([2]))
    with caplog.at_level(logging.WARNING, logger="absl"):
        source = cache.load_or_build(tmp_path / "file" / "a.npz", build)
    same(source, build.source)
    assert "cannot keep decoded images" in caplog.text


def test_folder_follows_argument_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "tf_metagan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder("~/mine") == tmp_path / "mine"
    assert cache.folder() == tmp_path / ".cache" / "tf_metagan"
