"""The graph of a meta-step does not grow with the number of inner steps."""

import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.exporting import audit


def count(algo, k, **options):
    """Count the operations of one meta-step, those of its loops included."""
    algorithm = problems.build(algo, inner_steps=k, **options)
    run = tf.function(algorithm.meta_gradients, autograph=False)
    graph = run.get_concrete_function(
        algorithm.init(0), problems.tasks(algorithm), problems.STEP
    ).graph.as_graph_def()
    return len(list(audit.nodes(graph)))


def check_constant(algo, few, many, **options):
    assert count(algo, few, **options) == count(algo, many, **options) > 100


@pytest.mark.parametrize(
    "algo", ["fomaml", "maml", pytest.param("reptile", marks=pytest.mark.slow)]
)
def test_graph_does_not_grow_with_the_steps(algo):
    """With many steps maml goes twice, see core/reverse.py."""
    check_constant(algo, 2, 16)
    check_constant(algo, 20, 60)


def test_growing_graph_is_noticed():
    with pytest.raises(AssertionError):
        check_constant("fomaml", 1, 2, inner_loop="unrolled")
