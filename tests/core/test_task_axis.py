"""Sums with one more axis for the tasks equal a loop over them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from tests import graphs
from tf_metagan.core import rng, task_axis

# Sums in another order.
ROUNDING = 1e-12

TASKS = 3


def draw(*shape):
    return tf.constant(np.random.default_rng(shape).normal(size=shape))


SIZES = (draw(TASKS, 4), draw(TASKS, 4))
SEEDS = tf.constant([[1, 2], [3, 4], [5, 6]], tf.int64)


def total(way, work, tasks, **options):
    """Return (sum of work(task), count of the operations it takes)."""
    one = work(tf.nest.map_structure(lambda x: x[0], tasks))
    zero = tf.nest.map_structure(tf.zeros_like, one)
    run = tf.function(
        lambda tasks: way(work, tasks, zero, **options), autograph=False
    )
    return run(tasks), graphs.operations(run.get_concrete_function(tasks))


def check(work, tasks, *, other=None, loops=0, **options):
    """Compare both ways; `other` is the work in the loop."""
    loop, _ = total(task_axis.loop_sum, other or work, tasks)
    axis, count = total(task_axis.vectorized_sum, work, tasks, **options)
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=ROUNDING), axis, loop
    )
    assert count["While"] + count["StatelessWhile"] == loops
    return count


def convolved(task):
    """Return second derivatives of a convolution and a transposed one."""
    images, small, large = task
    with tf.GradientTape() as outer:
        outer.watch(task)
        with tf.GradientTape() as tape:
            tape.watch(task)
            found = tf.nn.tanh(tf.nn.conv2d(images, small, 2, "SAME"))
            found = tf.nn.tanh(
                tf.nn.conv2d_transpose(found, large, images.shape, 2)
            )
        first = tape.gradient(found, task)
        size = tf.add_n([tf.reduce_sum(tf.square(x)) for x in first])
    return outer.gradient(size, task)


def test_convolutions_to_second_order():
    tasks = (
        draw(TASKS, 2, 6, 6, 2),
        draw(TASKS, 4, 4, 2, 3),
        draw(TASKS, 3, 3, 2, 3),
    )
    count = check(convolved, tasks)
    assert not any("Conv2D" in name for name in count)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_convolutions_of_what_tasks_share(shared):
    """Images that no task changes, or kernels."""
    tasks = [
        draw(TASKS, 2, 6, 6, 2),
        draw(TASKS, 4, 4, 2, 3),
        draw(TASKS, 3, 3, 2, 3),
    ]
    same = tasks.pop(shared)[0]

    def work(task):
        whole = list(task)
        whole.insert(shared, same)
        return convolved(tuple(whole))

    check(work, tuple(tasks))


def test_random_numbers_are_those_of_each_task():
    def drawn(task, *, stream=2):
        seed, x = task
        return x * rng.normal(rng.fold(seed, stream), [4], tf.float64)

    tasks = (SEEDS, draw(TASKS, 4))
    check(drawn, tasks)
    with pytest.raises(AssertionError):
        check(drawn, tasks, other=lambda task: drawn(task, stream=3))


def test_norms():
    check(lambda task: tf.linalg.global_norm(task), SIZES)


def stepped(task, *, steps=3):
    """Return a sum of powers by a loop that keeps what it comes across."""
    x, y = task

    def body(step, now, past):
        past = past.write(step, now)
        return step + 1, now * x + tf.gather(y, step), past

    _, last, past = tf.while_loop(
        lambda step, now, past: step < steps,
        body,
        (0, y, tf.TensorArray(x.dtype, steps, element_shape=x.shape)),
    )
    return last, past.stack()


def test_a_loop_stays_one_loop():
    count = check(stepped, SIZES, loops=1)
    assert not count["If"] + count["StatelessIf"]
    with pytest.raises(AssertionError):
        check(stepped, SIZES, loops=1, other=lambda x: stepped(x, steps=2))


def test_a_loop_that_forgets_where_its_tasks_differ():
    def cleared(x):
        return tf.while_loop(
            lambda step, y, z: step < 3,
            lambda step, y, z: (
                step + 1,
                tf.reverse(y, [0]),
                z + tf.zeros_like(y),
            ),
            (0, x, tf.ones([4], x.dtype)),
        )[1:]

    check(cleared, draw(TASKS, 4), loops=1)


def test_loops_that_tasks_leave_at_different_times():
    def doubled(x):
        return tf.while_loop(
            lambda y: tf.reduce_sum(y) < 10.0,
            lambda y: (2.0 * y,),
            (tf.abs(x),),
        )[0]

    loop, _ = total(task_axis.loop_sum, doubled, draw(TASKS, 4))
    axis, _ = total(task_axis.vectorized_sum, doubled, draw(TASKS, 4))
    np.testing.assert_allclose(axis, loop, atol=ROUNDING)


@pytest.mark.parametrize(
    ("at_once", "loops"), [(None, 0), (5, 0), (3, 0), (2, 0), (1, 1)]
)
def test_tasks_at_once(at_once, loops):
    check(lambda task: task[0] * task[1], SIZES, at_once=at_once, loops=loops)


@pytest.mark.parametrize(
    ("work", "shape", "name"),
    [
        (lambda x: tf.cast(tf.size(tf.unique(x).y), x.dtype), [4], "Unique"),
        (
            lambda x: tf.reduce_max(x, tf.cast(x[0, 0] > 0, "int32")),
            [2, 2],
            "Max",
        ),
    ],
)
def test_unknown_operation_is_refused_and_own_rules_removed(work, shape, name):
    before = dict(pfor._pfor_converter_registry)
    with pytest.raises(ValueError, match=rf"has no form of {name} .*=loop"):
        total(task_axis.vectorized_sum, work, draw(TASKS, *shape))
    assert pfor._pfor_converter_registry == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dilations": 2}, "dilations"),
        ({"data_format": "NCHW"}, "data_format"),
        ({}, "channels of a kernel"),
    ],
)
def test_unknown_convolution_is_refused(options, said):
    kernels = draw(TASKS, 2, 2, 4 if options else 2, 2)
    images = draw(TASKS, 1, 4, 4, 4)
    run = tf.function(
        lambda tasks: task_axis.vectorized_sum(
            lambda x: tf.nn.conv2d(*x, 1, "VALID", **options), tasks, 0.0
        ),
        autograph=False,
    )
    with pytest.raises(ValueError, match=f"with {said} .*=loop"):
        run.get_concrete_function((images, kernels))


def test_unknown_number_of_tasks_is_refused():
    run = tf.function(
        lambda x: task_axis.vectorized_sum(lambda x: x, x, 0.0),
        input_signature=[tf.TensorSpec([None])],
    )
    with pytest.raises(ValueError, match=r"number of tasks .*=loop"):
        run.get_concrete_function()
