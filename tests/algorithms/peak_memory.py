"""Print the peak memory of a meta-step of MAML, in a process of its own.

    python -m tests.algorithms.peak_memory 50 while

Words: number of inner steps, form of the inner loop. What is printed is the
growth of resident memory, in MB, from a meta-step on single images, which
builds the graph, to the peak of the same on many. Networks are tiny and batches
large, so that nearly all of it is what inner steps keep for their gradients.
"""

import sys

import tensorflow as tf

from benchmarks import processes
from tests import problems
from tf_metagan.types import TaskBatch

_IMAGES = 4000
_WIDTH = 64


def growth(steps: int, inner_loop: str) -> float:
    """Return peak resident MB above those of the same graph at rest."""
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    algorithm = problems.build(
        "maml",
        duel=problems.game(penalty="none", width=_WIDTH, dtype="float32"),
        inner="rmsprop",
        inner_steps=steps,
        inner_loop=inner_loop,
    )
    vars = algorithm.init(0)
    seed, label = tf.zeros([1, 2], tf.int64), tf.zeros([1], tf.int64)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([1, 1, None, 2, 2, 2])],
    )
    def meta_step(images):
        batch = TaskBatch(images, images, None, label, seed)
        return algorithm.meta_gradients(vars, batch, problems.STEP).grads

    def run(number):
        draw = tf.random.stateless_uniform([1, 1, number, 2, 2, 2], [0, 1])
        return tf.nest.map_structure(lambda x: x.numpy(), meta_step(draw))

    run(1)
    processes.forget_peak()
    rest = processes.memory_mb("VmRSS")
    run(_IMAGES)
    return processes.memory_mb("VmHWM") - rest


if __name__ == "__main__":
    print(growth(int(sys.argv[1]), sys.argv[2]))
