"""Kernels of the meta-step: read off its graph, run alone, summed up."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import Workload, counts, kernels, library_meta_step
from benchmarks.kernels import Kernel
from tf_metagan.gan import layers

DOWN = Kernel("Conv2D", (2, 8, 8, 3), (4, 4, 3, 5), (2, 4, 4, 5))
UP = Kernel("Conv2DBackpropInput", (2, 4, 4, 5), (4, 4, 3, 5), (2, 8, 8, 3))
BY_KERNEL = Kernel(
    "Conv2DBackpropFilter", (2, 8, 8, 3), (2, 4, 4, 5), (4, 4, 3, 5)
)
PRODUCT = Kernel("MatMul", (4, 2), (7, 4), (2, 7), (True, True))


def draw(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape))


def traced(step, *, loops):
    """Return the concrete function of a step in as many loops."""

    def looped(x, left):
        if not left:
            return step(x)
        return tf.while_loop(
            lambda i, x: i < 3,
            lambda i, x: (i + 1, looped(x, left - 1)),
            (0, x),
        )[1]

    x = draw(*DOWN.first)
    function = tf.function(lambda x: looped(x, loops), autograph=False)
    return function.get_concrete_function(x)


def convolve(x):
    """Go down and up again; one more convolution is of no use to anyone."""
    kernel = draw(*DOWN.second)
    tf.nn.conv2d(x, kernel, 1, "VALID")
    y = tf.nn.conv2d(x, kernel, 2, "SAME")
    return tf.nn.conv2d_transpose(y, kernel, x.shape, 2, "SAME")


@pytest.mark.parametrize("loops", [0, 1, 2])
def test_kernels_count_as_often_as_their_loops_run(loops):
    function = traced(convolve, loops=loops)
    times = (1, 5, 35)[loops]
    assert kernels.of(function, rounds=(5, 7)) == {DOWN: times, UP: times}


def test_matrices_are_known_with_their_transposes():
    a, b = draw(4, 2), draw(7, 4)
    product = tf.function(
        lambda: tf.matmul(a, b, transpose_a=True, transpose_b=True),
        autograph=False,
    )
    found = kernels.of(product.get_concrete_function(), rounds=())
    assert found == {PRODUCT: 1}


def test_kernel_in_a_loop_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="in 2 loops, expected at most 1"):
        kernels.of(traced(convolve, loops=2), rounds=(5,))


def test_unknown_kind_of_kernel_is_refused():
    def depthwise(x):
        return tf.nn.depthwise_conv2d(x, draw(3, 3, 3, 1), [1, 1, 1, 1], "SAME")

    with pytest.raises(ValueError, match="is a DepthwiseConv2dNative; known"):
        kernels.of(traced(depthwise, loops=0), rounds=())


def test_operations_are_those_counted_by_hand():
    taps = 2 * 4 * 4 * 2 * 16 * 3 * 5
    assert {x.flops for x in (DOWN, UP, BY_KERNEL)} == {taps}
    assert PRODUCT.flops == 2 * 2 * 4 * 7


def test_names_tell_kernels_apart():
    assert [x.name for x in (DOWN, UP, BY_KERNEL, PRODUCT)] == [
        "convolution 8x8x3 to 4x4x5",
        "its gradient to input, convolution 8x8x3 to 4x4x5",
        "its gradient to kernel, convolution 8x8x3 to 4x4x5",
        "product 2x4 by 4x7",
    ]


def test_kernels_run_alone_are_those_of_the_step():
    x, w, y = draw(*DOWN.first), draw(*DOWN.second), draw(*DOWN.result)
    with tf.GradientTape() as tape:
        tape.watch((x, w))
        down = tf.nn.conv2d(x, w, 2, "SAME")
    to_x, to_w = tape.gradient(down, (x, w), output_gradients=y)
    a, b = draw(*PRODUCT.first), draw(*PRODUCT.second)
    for kernel, tensors, expected in (
        (DOWN, (x, w), down),
        (UP, (y, w), to_x),
        (BY_KERNEL, (x, y), to_w),
        (PRODUCT, (a, b), tf.transpose(tf.matmul(b, a))),
    ):
        found = kernels._result(kernel, *tensors)
        assert found.shape == kernel.result
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert kernels.alone(kernel)() > 0.0


def share_of_count():
    """Return the operations of fomaml's graph over those counted by hand."""
    work = Workload("fomaml")
    found = kernels.of(
        library_meta_step.concrete(work), rounds=(work.tasks, work.steps)
    )
    done = sum(kernel.flops * n for kernel, n in found.items())
    return done / counts.flops(work)


def test_library_executes_what_was_counted(monkeypatch):
    """Not counted: that no gradient is taken to images and latents."""
    assert 0.98 < share_of_count() < 1.0
    # Keras's own passes zeros back where a gradient is differentiated again.
    monkeypatch.setattr(layers, "LeakyReLU", keras.layers.LeakyReLU)
    assert share_of_count() > 1.1


class Fake:
    """A worker of which processor seconds and answers are known."""

    def __init__(self, cpu, **answer):
        self.turns = [
            {"cpu": 9.0},
            {"cpu": cpu, **answer},
            {"cpu": 2 * cpu, **answer},
        ]


def workers(**seconds):
    """Return a race of kernels a, of 4 Mflop, and b, of 1 Mflop."""
    times = {"fomaml": {"a": 10, "b": 20}, "maml": {"a": 30, "b": 40}}
    answer = {"flops": {"a": 4e6, "b": 1e6}, "times": times}
    return {
        "matrix_product": Fake(0.5),
        "kernels": Fake(1.0, kernels=seconds, **answer),
        "fomaml": Fake(0.5),
        "maml": Fake(1.0),
    }


def test_figures_are_sums_over_the_meta_step():
    found = kernels.figures(workers(a=0.02, b=0.01), product_flops=1e8)
    values = {x.name: x.value for x in found}
    assert values["fomaml: kernels alone / meta-step"] == pytest.approx(0.8)
    assert values["maml: kernels alone / meta-step"] == pytest.approx(1.0)
    floor = counts.flops(Workload("maml")) / 2e8
    name = "kernels alone, share of matrix product speed"
    assert values[f"maml: {name}"] == pytest.approx(floor / 1.0)
    name = "meta-step on one thread, share of matrix product speed"
    assert values[f"maml: {name}"] == pytest.approx(floor / 1.0)
    assert values["a: share of matrix product speed"] == pytest.approx(1.0)
    assert values["b: share of matrix product speed"] == pytest.approx(0.5)
    assert list(values)[-2:] == [
        f"{x}: share of matrix product speed" for x in "ab"
    ]
