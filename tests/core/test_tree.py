"""Arithmetic on trees, and the refusal of leaves that cannot learn."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import tree


class Pair(NamedTuple):
    left: dict
    right: dict


def pair(start):
    values = start + np.arange(6.0)
    return Pair(
        {"b/kernel": tf.constant(values[:2]), "a/bias": tf.constant(values[2])},
        {"half": tf.constant(values[3:], tf.float32)},
    )


def check_tree(result, expected):
    tf.nest.assert_same_structure(result, expected)
    for got, want in zip(
        tf.nest.flatten(result), tf.nest.flatten(expected), strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_linear_operations_act_on_every_leaf_in_its_dtype():
    # All numbers are sums of few powers of two, hence exact in both dtypes.
    a, b = pair(1.0), pair(3.0)
    check_tree(tree.add(a, b), tf.nest.map_structure(lambda x, y: x + y, a, b))
    doubled = tf.nest.map_structure(lambda x: x + x, a)
    for factor in (2, 2.0, tf.constant(2.0), tf.constant(2.0, tf.float64)):
        check_tree(tree.scale(a, factor), doubled)
        check_tree(tree.add_scaled(b, factor, a), tree.add(b, doubled))
    check_tree(tree.zeros_like(a), tf.nest.map_structure(lambda x: 0.0 * x, a))
    with pytest.raises(AssertionError):
        check_tree(tree.add_scaled(b, 2.0, a), tree.add_scaled(a, 2.0, b))


def check_exact(scale):
    """A Python number must not be rounded to float32 on its way to float64."""
    a = {"w": tf.constant([3.0], tf.float64)}
    for factor in (0.1, tf.constant(0.1, tf.float64)):
        np.testing.assert_array_equal(scale(a, factor)["w"], [0.1 * 3.0])


def test_scale_keeps_the_factor_exact():
    check_exact(tree.scale)

    def wrong(a, factor):
        return tree.zip_map(lambda x: tf.cast(factor, x.dtype) * x, a)

    with pytest.raises(AssertionError):
        check_exact(wrong)


def test_trees_of_other_structure_are_refused():
    one = {"d": {"kernel": tf.constant(1.0)}}
    other = {"d": {"kernel": tf.constant(1.0), "bias": tf.constant(1.0)}}
    with pytest.raises(ValueError, match="structure"):
        tree.add(one, other)


def test_global_norm_is_the_norm_of_all_leaves_together():
    leaves = {"d": {"a": tf.constant([2.0, 4.0])}, "g": tf.constant([[4.0]])}
    assert tree.global_norm(leaves).numpy() == 6.0
    assert tree.global_norm({}).numpy() == 0.0


def check_merge(merge):
    below = {"d": {"a": 1, "b": 2}, "g": {"a": 3}}
    above = {"d": {"b": 20, "c": 30}, "mlp": {"a": 40}}
    before = {p: dict(x) for p, x in below.items()}
    assert merge(below, above) == {
        "d": {"a": 1, "b": 20, "c": 30},
        "g": {"a": 3},
        "mlp": {"a": 40},
    }
    assert below == before


def test_merge_keeps_all_and_prefers_what_lies_above():
    check_merge(tree.merge)
    with pytest.raises(AssertionError):
        check_merge(lambda below, above: tree.merge(above, below))
    with pytest.raises(AssertionError):
        check_merge(lambda below, above: {**below, **above})


def test_select_asks_for_player_and_leaf():
    trees = {"d": {"a": 1, "b": 2}, "g": {"a": 3}}
    chosen = tree.select(trees, lambda p, leaf: (p, leaf) == ("d", "a"))
    assert chosen == {"d": {"a": 1}, "g": {}}


def check_names(names):
    trees = {"g": {"b": 1, "a": 2}, "d": {"z": 3}}
    values = tf.nest.flatten(trees)
    listed = dict(zip(names(trees), values, strict=True))
    assert listed == {"g/b": 1, "g/a": 2, "d/z": 3}


def test_names_come_in_the_order_of_flattening():
    check_names(tree.names)
    with pytest.raises(AssertionError):
        check_names(lambda trees: [f"{p}/{k}" for p in trees for k in trees[p]])


def test_disconnected_leaves_are_refused_by_name():
    one = tf.constant(1.0)
    tree.require_connected({"d": {"a": one}, "g": {}})
    grads = {"g": {"b": None, "a": one}, "d": {"z": None}}
    with pytest.raises(
        ValueError, match=r"^d/z, g/b cannot learn: .*--adapt and --meta_learn"
    ):
        tree.require_connected(grads)
