"""What a traced function computes, seen from its results."""

import collections

from benchmarks import graphs


def operations(function) -> collections.Counter:
    """Count the operations that the results depend on.

    Those of loops and branches are counted once for every place that calls
    them; what nothing depends on, such as the graph of one task from which
    that of all was made, does not count.

    Args:
      function: a concrete function.
    """
    graph = function.graph.as_graph_def()
    functions = graphs.functions(graph)

    def count(nodes, results):
        found = collections.Counter()
        for node in graphs.needed(nodes, results):
            found[node.op] += 1
            for value in node.attr.values():
                if value.HasField("func"):
                    inner = functions[value.func.name]
                    found += count(inner.node_def, inner.ret.values())
        return found

    return count(graph.node, [x.op.name for x in function.graph.outputs])
