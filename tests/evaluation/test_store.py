"""What an evaluation keeps, and what it does not believe."""

import json

import numpy as np
import pytest

from tf_metagan.evaluation import store as stores
from tf_metagan.evaluation.store import Store


def test_part_is_computed_once(tmp_path):
    store = Store(tmp_path, "key")
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3), "b": np.array(0.5)}

    first, second = (store.part("x", compute) for _ in range(2))
    assert calls == [1]
    assert sorted(first) == sorted(second) == ["a", "b"]
    np.testing.assert_array_equal(first["a"], second["a"])
    assert second["b"].ndim == 0
    assert store.has_part("x")
    assert not store.has_part("y")


def test_parts_of_another_key_do_not_count(tmp_path):
    part = Store(tmp_path, "a" * 64).part("x", lambda: {"v": np.array(1)})
    other = Store(tmp_path, "b" * 64)
    assert not other.has_part("x")
    assert other.part("x", lambda: {"v": np.array(2)}) != part
    other.forget_parts()
    assert not list(tmp_path.iterdir())


def test_failed_part_leaves_nothing(tmp_path):
    store = Store(tmp_path, "key")
    with pytest.raises(ZeroDivisionError):
        store.part("x", lambda: {"v": np.array(1 // 0)})
    assert not store.has_part("x")


def test_damaged_part_is_computed_again(tmp_path, caplog):
    store = Store(tmp_path, "key")
    store.part("x", lambda: {"v": np.array(1)})
    (path,) = tmp_path.rglob("x.npz")
    path.write_bytes(path.read_bytes()[:40])
    with caplog.at_level("WARNING", logger="absl"):
        assert store.part("x", lambda: {"v": np.array(2)})["v"] == 2
    assert "x.npz is damaged" in caplog.text
    assert store.part("x", dict)["v"] == 2


def test_results_are_of_one_key(tmp_path):
    Store(tmp_path, "a").write_results({"metrics": {"x": np.float32(0.5)}})
    assert Store(tmp_path, "a").results()["metrics"] == {"x": 0.5}
    assert Store(tmp_path, "b").results() is None
    assert Store(tmp_path / "empty", "a").results() is None


def test_numbers_that_are_not_finite_become_null(tmp_path):
    values = {"x": float("nan"), "y": [np.inf, 1.0], "z": np.int64(3)}
    stores.write_json(tmp_path / "x.json", values)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"x": None, "y": [None, 1.0], "z": 3}


def test_key_depends_on_every_fact_and_not_on_their_order():
    one = stores.key_of({"a": 1, "b": [1, 2]})
    assert one == stores.key_of({"b": [1, 2], "a": 1})
    assert one != stores.key_of({"a": 1, "b": [2, 1]})


def test_tasks_are_written_whole(tmp_path):
    store = Store(tmp_path, "key")
    store.write_tasks([])
    assert not list(tmp_path.iterdir())
    store.write_tasks([{"task": 0, "class": "a, b", "nll": 0.1}])
    assert (tmp_path / "tasks.csv").read_text() == (
        'task,class,nll\n0,"a, b",0.1\n'
    )
