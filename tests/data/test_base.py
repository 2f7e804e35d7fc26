"""Grouping, splits as saved artefacts, and the value range."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_metagan.data import base


def grey(count):
    return np.zeros([count, 2, 2, 1], np.uint8)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_group_keeps_every_image_with_its_class_in_order(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    source = base.group(images, np.array(labels))
    assert source.label.tolist() == sorted(set(labels))
    for label in source.label:
        wanted = [i for i, other in enumerate(labels) if other == label]
        assert base.images_of(source, label).ravel().tolist() == wanted


def test_group_names_classes_by_number_unless_named():
    label = np.array([4, 2])
    assert base.group(grey(2), label).name == ("2", "4")
    assert base.group(grey(2), label, name={2: "b", 4: "a"}).name == ("b", "a")


@pytest.mark.parametrize(
    "images",
    [grey(1)[0], grey(1).astype("float32"), grey(0)],
    ids=["rank", "type", "empty"],
)
def test_group_refuses_what_is_no_stack_of_byte_images(images):
    with pytest.raises(ValueError, match=r"images came as .* expected uint8"):
        base.group(images, np.zeros(len(images), int))


@pytest.mark.parametrize(
    "label",
    [np.zeros(3, int), np.zeros(2), np.array([0, -1])],
    ids=["number", "type", "negative"],
)
def test_group_refuses_labels_that_do_not_fit(label):
    with pytest.raises(ValueError, match=r"label came as .* for 2 images"):
        base.group(grey(2), label)


def test_class_rows_names_unknown_ids(numbered):
    source = numbered([1, 1], labels=[3, 7])
    assert base.class_rows(source, [7, 3]).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"unknown class ids 0, 4; .*3 to 7"):
        base.class_rows(source, [4, 3, 0])


def test_class_rows_lists_few_of_many_unknown_ids(numbered):
    with pytest.raises(ValueError, match=r"1, 2, 3, 4, 5 and 94 more"):
        base.class_rows(numbered([1]), range(100))


def test_split_takes_the_own_test_classes_of_a_data_set(numbered):
    source = numbered([1] * 5, labels=[2, 3, 5, 7, 11], test=[7, 3])
    split = base.make_split(source, dataset="primes", seed=0)
    assert split.train == (2, 5, 11)
    assert split.test == (3, 7)


@pytest.mark.parametrize(("classes", "tests"), [(2, 1), (9, 1), (10, 2)])
def test_split_gives_a_fifth_to_test_where_nothing_is_said(
    numbered, classes, tests
):
    split = base.make_split(numbered([1] * classes), dataset="d", seed=0)
    assert len(split.test) == tests
    assert sorted(split.train + split.test) == list(range(classes))


def test_split_depends_on_the_seed_alone(numbered):
    source = numbered([1] * 12)
    make = lambda seed: base.make_split(source, dataset="d", seed=seed)
    assert make(3) == make(3)
    assert len({make(seed).test for seed in range(8)}) > 4


def test_split_shuffles_the_number_of_test_classes_asked_for(numbered):
    source = numbered([1] * 12, test=[0])
    split = base.make_split(source, dataset="d", seed=0, num_test_classes=5)
    assert len(split.test) == 5
    assert not set(split.test) & set(split.train)


@pytest.mark.parametrize("count", [0, 3])
def test_split_refuses_numbers_that_leave_a_side_empty(numbered, count):
    with pytest.raises(ValueError, match=rf"{count} test classes asked of"):
        base.make_split(
            numbered([1] * 3), dataset="d", seed=0, num_test_classes=count
        )


def test_split_of_one_class_is_refused(numbered):
    with pytest.raises(ValueError, match="data set with 1 classes"):
        base.make_split(numbered([1]), dataset="d", seed=0)


def test_split_fills_the_side_that_is_not_named(numbered):
    source = numbered([1] * 4, test=[3])
    make = lambda **given: base.make_split(source, dataset="d", seed=0, **given)
    assert make(test_classes=[1]).train == (0, 2, 3)
    assert make(train_classes=[3, 1]).test == (0, 2)
    both = make(train_classes=[2], test_classes=[0])
    assert (both.train, both.test) == ((2,), (0,))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"train_classes": [0, 1], "test_classes": [1]}, "classes 1 are named"),
        ({"train_classes": [0, 0]}, "classes 0 are named twice"),
        ({"test_classes": [0, 9]}, "unknown class ids 9"),
        ({"train_classes": []}, "leaves no train classes"),
        ({"test_classes": [0, 1, 2]}, "leaves no train classes"),
        ({"train_classes": [0, 1, 2]}, "leaves no test classes"),
        ({"test_classes": [0], "num_test_classes": 1}, "came together with"),
        ({"test_classes": [0], "exclude_classes": [1]}, "came together with"),
        ({"exclude_classes": [0, 1]}, "leaves 1 of 3 classes .* at most 1"),
    ],
)
def test_split_refuses(numbered, given, text):
    with pytest.raises(ValueError, match=text):
        base.make_split(numbered([1] * 3), dataset="d", seed=0, **given)


def test_excluded_classes_are_for_the_test(numbered):
    source = numbered([1] * 10, test=[3])
    split = base.make_split(
        source, dataset="d", seed=0, exclude_classes=range(8)
    )
    assert (split.train, split.test) == ((8, 9), tuple(range(8)))
    with pytest.raises(ValueError, match="Exclude at most 8"):
        base.make_split(source, dataset="d", seed=0, exclude_classes=range(9))


def test_split_survives_the_disk(numbered, tmp_path):
    source = numbered([1] * 9)
    split = base.make_split(source, dataset="d", seed=4)
    base.save_split(split, tmp_path / "new" / "split.json")
    loaded = base.load_split(tmp_path / "new" / "split.json")
    assert loaded == split
    base.check_split(loaded, source)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["split.json"]


def _edit(content):
    content["test"].append(content["train"].pop())


def _drop(content):
    del content["seed"]


def _other_format(content):
    content["format"] = 99


@pytest.mark.parametrize("change", [_edit, _drop, _other_format])
def test_split_that_was_changed_is_refused(numbered, tmp_path, change):
    path = tmp_path / "split.json"
    base.save_split(
        base.make_split(numbered([1] * 9), dataset="d", seed=4), path
    )
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content, indent=8))
    base.load_split(path)  # white space is no change
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is no class split"):
        base.load_split(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}"])
def test_split_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no class split"):
        base.load_split(path)


def test_split_of_other_classes_is_refused(numbered):
    split = base.make_split(numbered([1] * 4), dataset="d", seed=0)
    base.check_split(split, numbered([3] * 4))  # more images are no change
    with pytest.raises(ValueError, match=r"from other classes of 'd' than"):
        base.check_split(split, numbered([1] * 5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_range_has_both_ends_and_returns(dtype):
    every = np.arange(256, dtype=np.uint8)
    values = base.to_range(every, dtype=dtype)
    assert values.dtype == dtype
    assert (values.min(), values.max()) == (-1, 1)
    assert (base.to_bytes(values) == every).all()


def test_bytes_clip_what_is_outside():
    assert base.to_bytes(np.array([-1.5, 0.0, 2.0])).tolist() == [0, 128, 255]
