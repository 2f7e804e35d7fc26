"""A file is there whole, or not at all."""

import pytest

from tf_metagan.data import atomic


def test_replacement_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    with atomic.replacement(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(KeyError, match="broken"):
        _write_half(path)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def _write_half(path):
    with atomic.replacement(path) as temporary:
        temporary.write_text("half of the ne")
        raise KeyError("broken")


def test_replacement_keeps_the_suffix(tmp_path):
    with atomic.replacement(tmp_path / "a.npz") as temporary:
        assert temporary.suffix == ".npz"
        temporary.touch()
