"""How operations are done for all tasks at once; see `core.task_axis`.

A rule gets an operation of one task's graph, its inputs already converted, and
the number of tasks. An input is *stacked*, with a leading axis of tasks, where
it differs between tasks. What a rule returns is stacked.
"""

import itertools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from tf_metagan.core import task_conv

# Operations whose result does not depend on the values of their inputs.
_OF_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


def with_rules(table: dict[str, Callable], number: int) -> dict[str, Callable]:
    """Return TensorFlow's table of rules with ours in it.

    Args:
      table: {name of an operation: rule}.
      number: of tasks.
    """
    own = {name: _of_values(rule, number) for name, rule in _RULES.items()}
    for name, (operands, rule) in _CONVOLUTIONS.items():
        own[name] = _where_first(
            table[name], operands, _of_values(rule, number)
        )
    for name in ("While", "StatelessWhile"):
        own[name] = _loop(table[name], number)
    return {
        **table,
        **{
            name: tf.autograph.experimental.do_not_convert(rule)
            for name, rule in own.items()
        },
    }


def _of_values(rule: Callable, number: int):
    """Return a rule that sees shapes, which loops forget."""

    def convert(op):
        for x, one in zip(op.inputs, op.op.inputs, strict=True):
            if x.is_stacked:
                x.t.set_shape([number, *one.shape])
        return pfor.wrap(rule(op), True)

    return convert


def _where_first(usual: Callable, operands: tuple[int, int], rule: Callable):
    """Return a rule for the case that the first operand is stacked.

    It sees both stacked. TensorFlow knows the case that it is not.
    """

    def convert(op):
        if not op.input(operands[0]).is_stacked:
            return usual(op)
        op.stack_inputs(operands)
        return rule(op)

    return convert


# ------------------------------------------------------------- convolutions


def _conv2d(op):
    images, kernels = op.stacked_input(0), op.stacked_input(1)
    window = _window(op, images.shape[1:], kernels.shape[1:])
    return task_conv.convolve(images, kernels, window)


def _conv2d_backprop_filter(op):
    images, slopes = op.stacked_input(0), op.stacked_input(2)
    window = _window(op, images.shape[1:], op.output(0).shape)
    return task_conv.kernel_gradient(images, slopes, window)


def _conv2d_backprop_input(op):
    kernels, slopes = op.stacked_input(1), op.stacked_input(2)
    images = op.output(0).shape
    window = _window(op, images, kernels.shape[1:])
    size = images[1], images[2]
    return task_conv.image_gradient(kernels, slopes, window, size)


def _window(op, images, kernels) -> task_conv.Window:
    """Return the Window of a convolution; refuse what `task_conv` lacks.

    Args:
      op: the convolution or one of its gradients.
      images: shape of one task's images.
      kernels: shape of one task's kernels.
    """
    known = {
        "data_format": (op.get_attr("data_format"), b"NHWC"),
        "dilations": (list(op.get_attr("dilations")), [1, 1, 1, 1]),
        "channels of a kernel": (kernels[2], images[3]),
    }
    for what, (found, needed) in known.items():
        if found != needed:
            raise ValueError(
                f"--task_mapping=vectorized knows convolutions with {what} "
                f"{needed}, got {found}. Use --task_mapping=loop."
            )
    size, strides = tuple(kernels[:2]), tuple(op.get_attr("strides")[1:3])
    if op.get_attr("padding") == b"SAME":
        return task_conv.same(size, strides, tuple(images[1:3]))
    pads = op.get_attr("explicit_paddings") or [0] * 8
    before, after = (pads[2], pads[4]), (pads[3], pads[5])
    return task_conv.Window(size, strides, before, after)


# --------------------------------------------------------- other operations


def _random_bits(op):
    """Draw for one task after the other; each is a small operation."""
    keys, counters = (
        tf.unstack(x.t) if x.is_stacked else itertools.repeat(x.t)
        for x in (op.input(1), op.input(2))
    )
    drawn = [
        tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=op.unstacked_input(0),
            key=key,
            counter=counter,
            alg=op.unstacked_input(3),
            dtype=op.get_attr("dtype"),
        )
        for key, counter in zip(keys, counters, strict=False)
    ]
    return tf.stack(drawn)


def _half_of_squares(op):
    x = op.stacked_input(0)
    axes = list(range(1, x.shape.rank))
    return 0.5 * tf.reduce_sum(tf.square(x), axes)


# -------------------------------------------------------------------- loops


def _loop(usual: Callable, number: int):
    """Return the rule of a loop that all tasks leave at the same time.

    TensorFlow's own rule converts the body five times, forgets the number of
    tasks and asks in every turn which of them go on.
    """

    def convert(op):
        condition, body = (
            op.op.graph._get_function(op.get_attr(name).name).graph
            for name in ("cond", "body")
        )
        stacked = _stacked(op, body)
        if _depends(condition, stacked)[0]:
            return usual(op)
        pairs = enumerate(zip(op.inputs, stacked, strict=True))
        missing = [i for i, (x, after) in pairs if after and not x.is_stacked]
        op.stack_inputs(missing, tile_variants=True)
        found = _run(op, condition, body, stacked, number)
        return [pfor.wrap(x, s) for x, s in zip(found, stacked, strict=True)]

    return convert


def _run(op, condition, body, stacked: list[bool], number: int) -> list:
    """Return the values of a loop after its last turn, for all tasks.

    Args:
      op: the loop of one task.
      condition: graph that tells whether there is another turn.
      body: graph of a turn.
      stacked: which values differ between tasks.
      number: of tasks.
    """
    values = [x.t for x in op.inputs]
    pairs = enumerate(zip(body.inputs, body.outputs, strict=True))
    moves = [i for i, (before, after) in pairs if before is not after]

    def converter(graph, moving):
        now = list(values)
        for i, x in zip(moves, moving, strict=True):
            now[i] = x
        made = pfor.PFor(
            loop_var=op.pfor.loop_var,
            loop_len=tf.constant(number),
            pfor_ops=graph.get_operations(),
            fallback_to_while_loop=False,
            all_indices=op.pfor.all_indices,
            pfor_config=op.pfor.pfor_config,
        )
        for one, x, is_stacked in zip(graph.inputs, now, stacked, strict=True):
            made._add_conversion(one, pfor.wrap(x, is_stacked))
        return made

    def goes_on(*moving):
        asked = condition.outputs[0]
        return converter(condition, moving)._convert_helper(asked).t

    def turn(*moving):
        made = converter(body, moving)
        return [
            shaped(
                i,
                made.convert(body.outputs[i])
                if stacked[i]
                else made._convert_helper(body.outputs[i]).t,
            )
            for i in moves
        ]

    def shaped(i, x):
        if x.dtype != tf.variant:
            lead = [number] if stacked[i] else []
            x.set_shape([*lead, *op.output(i).shape])
        return x

    found = tf.while_loop(
        goes_on,
        turn,
        [shaped(i, values[i]) for i in moves],
        parallel_iterations=op.get_attr("parallel_iterations"),
    )
    for i, x in zip(moves, found, strict=True):
        values[i] = x
    return values


def _stacked(op, body) -> list[bool]:
    """Tell which values of a loop differ between tasks after some turn."""
    stacked = [x.is_stacked for x in op.inputs]
    while True:
        after = _depends(body, stacked)
        if all(a <= b for a, b in zip(after, stacked, strict=True)):
            return stacked
        stacked = [a or b for a, b in zip(after, stacked, strict=True)]


def _depends(graph, stacked: list[bool]) -> list[bool]:
    """Tell which outputs of a graph depend on its stacked inputs."""
    pairs = zip(graph.inputs, stacked, strict=True)
    found = {x.ref() for x, is_stacked in pairs if is_stacked}
    for op in graph.get_operations():
        # TensorFlow's rule for a new list always makes one for all tasks.
        is_list = op.type == "TensorListReserve"
        if is_list or (
            op.type not in _OF_SHAPES
            and any(x.ref() in found for x in op.inputs)
        ):
            found.update(x.ref() for x in op.outputs)
    return [x.ref() in found for x in graph.outputs]


# {operation: ((operand without a rule of TensorFlow's, the other one), rule)}.
_CONVOLUTIONS = {
    "Conv2D": ((1, 0), _conv2d),
    "Conv2DBackpropInput": ((1, 2), _conv2d_backprop_input),
    "Conv2DBackpropFilter": ((0, 2), _conv2d_backprop_filter),
}
_RULES = {
    "StatelessRandomUniformFullIntV2": _random_bits,
    "L2Loss": _half_of_squares,
}
