"""Which images a critic learns from and which it is examined with."""

import numpy as np
import pytest

from tf_metagan.data import base
from tf_metagan.metrics import critic_data


def numbered(sizes, *, labels=None, **fields):
    """Make images of one pixel: image i of the c-th class is 16 * c + i."""
    labels = list(range(len(sizes))) if labels is None else labels
    values = [16 * c + i for c, n in enumerate(sizes) for i in range(n)]
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    return base.group(images, np.repeat(labels, sizes))._replace(**fields)


def divide(source, **changes):
    given = {
        "classes": None,
        "learn_along": False,
        "held_out": 0.25,
        "seed": 0,
        **changes,
    }
    return critic_data.divide(source, **given)


def flat(images):
    return images.reshape(-1).tolist()


def check_labels(source, images, column, classes):
    """Each image's column must lead to the class id that owns the image."""
    for image, own in zip(images, column, strict=True):
        label = classes[own]
        assert (base.images_of(source, label) == image).any()


def test_columns_lead_to_class_ids():
    source = numbered([4, 5, 3, 8], labels=[2, 3, 7, 11])
    division = divide(source, classes=[11, 3, 7])
    assert division.classes == (3, 7, 11)
    assert division.num_images == (5, 3, 8)
    for images, column in (
        (division.images, division.column),
        (division.held_images, division.held_column),
    ):
        check_labels(source, images, column, division.classes)
        with pytest.raises(AssertionError):  # the twin that is off by one
            check_labels(source, images, (column + 1) % 3, division.classes)


@pytest.mark.parametrize("learn_along", [False, True])
@pytest.mark.parametrize("held_out", [0.01, 0.25, 0.99])
def test_no_image_is_learned_and_held_out(learn_along, held_out):
    source = numbered([2, 9, 16], labels=[1, 5, 6])
    division = divide(
        source, classes=[1, 6], learn_along=learn_along, held_out=held_out
    )
    learned, held = flat(division.images), flat(division.held_images)
    assert not set(learned) & set(held)
    own = [value for value in flat(source.images) if value // 16 != 1]
    everything = flat(source.images) if learn_along else own
    assert sorted(learned + held) == everything
    assert set(division.held_column.tolist()) == {0, 1}
    assert set(division.column.tolist()) >= {0, 1}


def test_held_out_indices_are_those_of_the_held_images():
    source = numbered([9, 12], labels=[4, 5])
    division = divide(source)
    seen = [
        base.images_of(source, label)[list(indices)]
        for label, indices in zip(
            division.classes, division.held_out, strict=True
        )
    ]
    assert (np.concatenate(seen) == division.held_images).all()
    assert [len(indices) for indices in division.held_out] == [2, 3]


def test_other_classes_come_in_later_columns():
    source = numbered([3, 3, 3], labels=[1, 2, 3])
    division = divide(source, classes=[1, 3], learn_along=True)
    assert division.num_columns == 3
    other = division.images[division.column == 2]
    assert (other == base.images_of(source, 2)).all()
    assert divide(source, classes=[1, 3]).num_columns == 2


def test_share_depends_on_the_seed_only():
    source = numbered([16, 16])
    held = divide(source).held_out
    assert divide(source).held_out == held
    assert divide(source, seed=1).held_out != held
    assert divide(numbered([16, 16, 9])).held_out[:2] == held


def test_test_split_is_the_end_of_each_class():
    source = numbered([4, 6, 5], test_images=np.array([1, 3, 2]))
    division = divide(source, classes=[1, 2], held_out=None)
    assert division.held_out == ((3, 4, 5), (3, 4))
    assert flat(division.images) == [16, 17, 18, 32, 33, 34]


def test_auto_uses_the_test_split_where_there_is_one():
    without = numbered([4, 4])
    split = without._replace(test_images=np.array([1, 1]))
    uses = critic_data.uses_test_split
    assert uses(split, "auto")
    assert uses(split, "test_split")
    assert not uses(split, "share")
    assert not uses(without, "auto")
    with pytest.raises(ValueError, match=r"this one has not\. Use"):
        uses(without, "test_split")


def test_default_classes_are_all_or_the_reserved_ones():
    choose = critic_data.choose_classes
    few = numbered([2] * 10, test_label=(7, 8))
    assert choose(few) == tuple(range(10))
    many = base.group(
        np.zeros([202, 1, 1, 1], np.uint8),
        np.repeat(np.arange(101), 2),
        test_label=(3, 50),
    )
    assert choose(many) == (3, 50)
    assert choose(many._replace(test_label=None)) == tuple(range(101))
    assert choose(many, [9, 4]) == (4, 9)


@pytest.mark.parametrize("classes", [[0], [0, 5], [1, 1], []])
def test_classes_that_cannot_be_told_apart_are_refused(classes):
    with pytest.raises(ValueError, match=r"expected two or more .* 0 to 2\."):
        critic_data.choose_classes(numbered([2, 2, 2]), classes)


def test_a_single_image_cannot_be_divided():
    with pytest.raises(ValueError, match="a class has 1 image; expected at"):
        divide(numbered([3, 1]))
