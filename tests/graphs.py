"""What a traced function computes, seen from its results."""

import collections


def operations(function) -> collections.Counter:
    """Count the operations that the results depend on.

    Those of loops and branches are counted once for every place that calls
    them; what nothing depends on, such as the graph of one task from which
    that of all was made, does not count.

    Args:
      function: a concrete function.
    """
    graph = function.graph.as_graph_def()
    functions = {f.signature.name: f for f in graph.library.function}

    def count(nodes, results):
        found = collections.Counter()
        for node in _needed(nodes, results):
            found[node.op] += 1
            for value in node.attr.values():
                if value.HasField("func"):
                    inner = functions[value.func.name]
                    found += count(inner.node_def, inner.ret.values())
        return found

    return count(graph.node, [x.op.name for x in function.graph.outputs])


def _needed(nodes, results):
    """Return the nodes that results, "name:..." or "^name", come from."""
    known = {node.name: node for node in nodes}
    found, waiting = {}, list(results)
    while waiting:
        name = waiting.pop().removeprefix("^").split(":")[0]
        if name in known and name not in found:
            found[name] = known[name]
            waiting += known[name].input
    return found.values()
