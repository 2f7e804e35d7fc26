"""What may stand in an exported graph, checked on the file that was written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDefLibrary
from tensorflow.core.protobuf import saved_model_pb2

GRAPH_FILE = "saved_model.pb"
_FINGERPRINT = "fingerprint.pb"

# They run Python, which a server does not have.
_PYTHON_OPS = frozenset(
    {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}
)
# They have a state, so that equal requests would have different answers.
_RANDOM_OPS = frozenset(
    {
        "Multinomial",
        "ParameterizedTruncatedNormal",
        "RandomGamma",
        "RandomPoissonV2",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "StatefulRandomBinomial",
        "StatefulStandardNormalV2",
        "StatefulUniform",
        "StatefulUniformFullInt",
        "StatefulUniformInt",
        "TruncatedNormal",
    }
)
# Servers are started with XLA disabled and refuse what must be compiled.
_COMPILE = ("_XlaMustCompile", "_XlaCompile")

# What gradient code of newer TensorFlows leaves on its operations; TensorFlow
# 2.15 logs a line for each, and none of them changes a number.
_UNKNOWN_TO_OLD = {
    "MatMul": ("grad_a", "grad_b"),
    "BatchMatMulV2": ("grad_x", "grad_y"),
}

# The name of a gradient that is registered in this process only. Without it
# whoever differentiates the loaded graph gets the gradient of the operations
# inside, which is the same.
_CUSTOM_GRADIENT = "_gradient_op_type"


def refine(folder: Path) -> None:
    """Check the graph in a SavedModel and remove what only its writer knows.

    Args:
      folder: of the SavedModel; its graph file is written again, and the
        fingerprint, which is one of the former file, is removed.

    Raises:
      ValueError: an operation cannot be served.
    """
    path = folder / GRAPH_FILE
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    problems = sorted(set(_problems(model)))
    if problems:
        raise ValueError(
            f"the graph cannot be served: {'; '.join(problems)}. Expected "
            "operations of TensorFlow alone, without compilation by XLA and "
            "without a state. Look at the layers of the networks: Keras "
            "compiles convolutions with groups, for example."
        )
    for node in _nodes(model):
        for name in _UNKNOWN_TO_OLD.get(node.op, ()):
            node.attr.pop(name, None)
        node.attr.pop(_CUSTOM_GRADIENT, None)
    path.write_bytes(model.SerializeToString(deterministic=True))
    (folder / _FINGERPRINT).unlink(missing_ok=True)


def _problems(model: Any) -> Iterator[str]:
    found = [f for g in model.meta_graphs for f in functions(g.graph_def)]
    own = {function.signature.name for function in found}
    for function in found:
        yield from _compiled(function.attr, function.signature.name)
    for node in _nodes(model):
        if node.op not in own:
            yield from _unfit(node)


def _unfit(node: Any) -> Iterator[str]:
    if node.op in _PYTHON_OPS:
        yield f"{node.op} calls Python"
    elif node.op in _RANDOM_OPS:
        yield f"{node.op} answers differently each time"
    elif ">" in node.op or not hasattr(tf.raw_ops, node.op):
        yield f"{node.op} is no operation of TensorFlow itself"
    yield from _compiled(node.attr, node.op)


def _compiled(attributes: Any, owner: str) -> Iterator[str]:
    for name in _COMPILE:
        if name in attributes and attributes[name].b:
            yield f"{owner} is compiled by XLA"


def nodes(graph: Any) -> Iterator[Any]:
    """Yield the NodeDefs of a GraphDef, those of its functions too."""
    yield from graph.node
    for function in functions(graph):
        yield from function.node_def


def functions(graph: Any) -> Iterator[Any]:
    """Yield the FunctionDefs of a GraphDef."""
    for field, value in graph.ListFields():
        if field.message_type == FunctionDefLibrary.DESCRIPTOR:
            yield from value.function


def _nodes(model: Any) -> Iterator[Any]:
    for graph in model.meta_graphs:
        yield from nodes(graph.graph_def)
