"""Read what a traced function computes off its graph."""

import operator
from collections.abc import Iterable

_FUNCTIONS = operator.attrgetter("library.function")


def functions(graph) -> dict:
    """Return {name: FunctionDef} of the functions that a GraphDef calls."""
    return {f.signature.name: f for f in _FUNCTIONS(graph)}


def needed(nodes, results) -> Iterable:
    """Return the nodes that results, "name:..." or "^name", come from."""
    known = {node.name: node for node in nodes}
    found, waiting = {}, list(results)
    while waiting:
        name = waiting.pop().removeprefix("^").split(":")[0]
        if name in known and name not in found:
            found[name] = known[name]
            waiting += known[name].input
    return found.values()
