"""Finding prepared data sets on disk."""

from tf_metagan.data import prepared


def test_newest_version_is_found_by_number(tmp_path):
    for name in ("3.9.0", "3.10.0", "4.x.0", "incomplete.4.0.0_1"):
        (tmp_path / "emnist" / "byclass" / name).mkdir(parents=True)
    where = {"data_dir": str(tmp_path)}
    assert prepared.version("emnist/byclass", **where) == "3.10.0"
    assert prepared.version("emnist", **where) is None
    assert prepared.version("mnist", **where) is None


def test_folder_is_that_of_the_argument_or_the_environment(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/a")
    assert str(prepared.folder()) == "/a"
    assert str(prepared.folder("/b")) == "/b"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", "/c")
    assert str(prepared.folder()) == "/c/tensorflow_datasets"
