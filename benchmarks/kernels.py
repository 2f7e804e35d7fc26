"""Convolutions and matrix products of the meta-step, each run alone.

What a meta-step needs is read off its graph, what each of them takes is
measured by itself, on one thread, at the step's own shapes. The sum says how
much of the meta-step its kernels are, and how near to the speed of one large
matrix product any step made of these kernels can come.

Seconds are those of the processor, and minima over rounds: one thread does all
the work, and what else the machine does counts little.
"""

import collections
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import Workload, counts, graphs, library_meta_step
from benchmarks.figures import Figure
from benchmarks.processes import Worker

ALGOS = ("fomaml", "maml")
_MATRIX_PRODUCT = "matrix_product"
_STRIDES = [1, 2, 2, 1]
_NAMES = {
    "Conv2D": "convolution",
    "Conv2DBackpropInput": "its gradient to input",
    "Conv2DBackpropFilter": "its gradient to kernel",
    "MatMul": "product",
}
_ENOUGH = 1.5e9  # operations of one measurement: about 10 ms
_FEWEST, _MOST = 8, 64


class Kernel(NamedTuple):
    """One convolution of stride 2, or derivative of one, or matrix product.

    Attributes:
      op: of TensorFlow, one of `_NAMES`.
      first: shape of its first tensor: images [n, H, W, c], the gradient of
        the output [n, H / 2, W / 2, f] where the images are the result, or the
        left matrix.
      second: shape of the other: kernel [4, 4, c, f], the gradient of the
        output where the kernel is the result, or the right matrix.
      result: shape.
      transposed: which of two matrices are.
    """

    op: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    result: tuple[int, ...]
    transposed: tuple[bool, bool] = (False, False)

    @property
    def flops(self) -> int:
        """Two for each multiplication and addition, padding included."""
        if self.op == "MatMul":
            inner = self.first[0 if self.transposed[0] else 1]
            return 2 * inner * math.prod(self.result)
        by_kernel = self.op == "Conv2DBackpropFilter"
        kernel = self.result if by_kernel else self.second
        output = {
            "Conv2D": self.result,
            "Conv2DBackpropInput": self.first,
            "Conv2DBackpropFilter": self.second,
        }[self.op]
        return 2 * math.prod(output) * math.prod(kernel[:3])

    @property
    def name(self) -> str:
        """What it is called in the report.

        >>> Kernel("Conv2D", (9, 4, 4, 1), (4, 4, 1, 8), (9, 2, 2, 8)).name
        'convolution 4x4x1 to 2x2x8'
        >>> Kernel("MatMul", (8, 1), (9, 1), (8, 9), (False, True)).name
        'product 8x1 by 1x9'
        """
        what = _NAMES[self.op]
        if self.op == "MatMul":
            pairs = zip((self.first, self.second), self.transposed, strict=True)
            left, right = (x[::-1] if t else x for x, t in pairs)
            return f"{what} {_by(left)} by {_by(right)}"
        image, output = {
            "Conv2D": (self.first, self.result),
            "Conv2DBackpropInput": (self.result, self.first),
            "Conv2DBackpropFilter": (self.first, self.second),
        }[self.op]
        convolution = f"convolution {_by(image[1:])} to {_by(output[1:])}"
        return convolution if self.op == "Conv2D" else f"{what}, {convolution}"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


# ------------------------------------------------------- read off the graph


def of(function, *, rounds: Sequence[int]) -> collections.Counter:
    """Count the kernels that a meta-step executes.

    Args:
      function: concrete function of a meta-step.
      rounds: how often loops run, the outermost first: tasks, steps.

    Returns:
      {Kernel: how often}, of those that the results depend on.

    Raises:
      ValueError: a kernel is of an unknown kind, or stands in more loops.
    """
    graph = function.graph.as_graph_def(add_shapes=True)
    bodies = graphs.functions(graph)
    found: collections.Counter = collections.Counter()

    def visit(nodes, results, shapes, loops):
        shapes = shapes | {x.name: _shapes(x.attr) for x in nodes}
        for node in graphs.needed(nodes, results):
            if node.op in _NAMES:
                if loops > len(rounds):
                    raise ValueError(
                        f"{node.name} stands in {loops} loops, expected at "
                        f"most {len(rounds)}. Give the rounds of all of them."
                    )
                times = math.prod(rounds[:loops])
                found[_kernel(node, shapes)] += times
            elif "Conv" in node.op or "MatMul" in node.op:
                raise ValueError(
                    f"{node.name} is a {node.op}; known are "
                    f"{', '.join(_NAMES)}. Teach benchmarks.kernels to run it."
                )
            for value in node.attr.values():
                if value.HasField("func"):
                    body = bodies[value.func.name]
                    arguments = {
                        x.name: _shapes(body.arg_attr[i].attr)
                        for i, x in enumerate(body.signature.input_arg)
                    }
                    visit(
                        body.node_def,
                        body.ret.values(),
                        arguments,
                        loops + node.op.endswith("While"),
                    )

    visit(graph.node, [x.op.name for x in function.graph.outputs], {}, 0)
    return found


def _shapes(attributes) -> list[tuple[int, ...]]:
    shapes = attributes["_output_shapes"].list.shape
    return [tuple(axis.size for axis in shape.dim) for shape in shapes]


def _kernel(node, shapes) -> Kernel:
    """Make the Kernel of a node; inputs are called NAME or NAME:...:INDEX."""

    def shape(name):
        name, *_, index = [*name.split(":"), "0"][:3]
        return shapes[name][int(index)]

    inputs = list(node.input)
    if node.op == "Conv2DBackpropInput":
        first, second = inputs[2], inputs[1]
    elif node.op == "Conv2DBackpropFilter":
        first, second = inputs[0], inputs[2]
    else:
        first, second = inputs[:2]
    transposed = (node.attr["transpose_a"].b, node.attr["transpose_b"].b)
    return Kernel(
        node.op, shape(first), shape(second), shape(node.name), transposed
    )


# ------------------------------------------------------------ inside a worker


def alone(kernel: Kernel) -> Callable[[], float]:
    """Return a function that runs a kernel alone: processor seconds of one.

    The same kernel runs on several tensors in one call, so that neither the
    call counts nor one result serves for all.
    """
    import tensorflow as tf

    draw = np.random.default_rng(0)
    copies = int(np.clip(_ENOUGH / kernel.flops, _FEWEST, _MOST))
    first = [
        tf.constant(draw.normal(size=kernel.first), tf.float32)
        for _ in range(copies)
    ]
    second = tf.constant(draw.normal(size=kernel.second), tf.float32)

    @tf.function(autograph=False)
    def run(first, second):
        return [_result(kernel, x, second) for x in first]

    run(first, second)

    def measure() -> float:
        start = time.process_time()
        run(first, second)
        return (time.process_time() - start) / copies

    return measure


def _result(kernel: Kernel, first, second):
    """Return the result of a kernel for its two tensors."""
    import tensorflow as tf

    raw, geometry = tf.raw_ops, {"strides": _STRIDES, "padding": "SAME"}
    if kernel.op == "MatMul":
        left, right = kernel.transposed
        return tf.matmul(first, second, transpose_a=left, transpose_b=right)
    if kernel.op == "Conv2D":
        return raw.Conv2D(input=first, filter=second, **geometry)
    if kernel.op == "Conv2DBackpropInput":
        return raw.Conv2DBackpropInput(
            input_sizes=kernel.result,
            filter=second,
            out_backprop=first,
            **geometry,
        )
    return raw.Conv2DBackpropFilter(
        input=first,
        filter_sizes=kernel.result,
        out_backprop=second,
        **geometry,
    )


def contestant() -> Callable[[], dict]:
    """Return a step that runs each kernel of `ALGOS` alone.

    Its answer is {"kernels": {name: seconds}, "flops": {name: operations},
    "times": {algorithm: {name: how often in a meta-step}}}.
    """
    known: dict[str, Kernel] = {}
    times = {}
    for algo in ALGOS:
        work = Workload(algo)
        found = of(
            library_meta_step.concrete(work), rounds=(work.tasks, work.steps)
        )
        times[algo] = {kernel.name: n for kernel, n in found.items()}
        known |= {kernel.name: kernel for kernel in found}
    measures = {name: alone(kernel) for name, kernel in known.items()}
    flops = {name: kernel.flops for name, kernel in known.items()}

    def step() -> dict:
        seconds = {name: measure() for name, measure in measures.items()}
        return {"kernels": seconds, "flops": flops, "times": times}

    return step


def meta_step(*, algo: str) -> Callable[[], dict]:
    """Return the library's meta-step of the plain workload."""
    return library_meta_step.make_step(Workload(algo), seed=0)


# ------------------------------------------------------------- the parent's end


def cases() -> dict[str, tuple]:
    """Return {name: (kind, settings)} for a race on one core."""
    return {
        _MATRIX_PRODUCT: (_MATRIX_PRODUCT, {}),
        "kernels": ("kernels", {}),
        **{algo: ("meta_step", {"algo": algo}) for algo in ALGOS},
    }


def figures(found: dict[str, Worker], *, product_flops: float) -> list[Figure]:
    """Return what a race of `cases` says.

    Args:
      found: {name: worker}.
      product_flops: operations of the matrix product that speeds are compared
        with.
    """
    speed = product_flops / _least(found[_MATRIX_PRODUCT])
    turns = found["kernels"].turns[1:]
    seconds = {
        name: min(turn["kernels"][name] for turn in turns)
        for name in turns[0]["kernels"]
    }
    figures = []
    for algo in ALGOS:
        executions = turns[0]["times"][algo]
        together = sum(n * seconds[name] for name, n in executions.items())
        operations = counts.flops(Workload(algo))
        figures += [
            _figure(
                f"{algo}: kernels alone / meta-step",
                together / _least(found[algo]),
            ),
            _figure(
                f"{algo}: kernels alone, share of matrix product speed",
                operations / together / speed,
            ),
            _figure(
                f"{algo}: meta-step on one thread, share of matrix product "
                "speed",
                operations / _least(found[algo]) / speed,
            ),
        ]
    flops = turns[0]["flops"]
    figures += [
        _figure(
            f"{name}: share of matrix product speed", flops[name] / x / speed
        )
        for name, x in sorted(seconds.items(), key=lambda x: -flops[x[0]])
    ]
    return figures


def _figure(name: str, value: float) -> Figure:
    return Figure("Kernels alone", name, value, "share", "higher")


def _least(worker: Worker) -> float:
    """Return the least processor seconds of its turns, without the first."""
    return min(turn["cpu"] for turn in worker.turns[1:])
