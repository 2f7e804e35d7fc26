"""Sums over tasks: one task after the other, or with one more tensor axis.

TensorFlow's `tf.vectorized_map` traces the work on one task and then replaces
every operation by one that does it for all tasks. It has no such rule for a
convolution whose kernels differ between tasks, nor for random numbers from
seeds that do; `core.task_rules` has. Since they replace operations, those of
derivatives of every order among them, neither networks nor algorithms know.

The rules are handed to TensorFlow through the table in which it keeps its own.
That table is no part of its public interface, and there is no other way in; it
is as it was once the graph is built.
"""

import contextlib
import re
from collections.abc import Callable

import tensorflow as tf

from tf_metagan.core import tree

# No rule, or none for an input that differs between tasks.
_NO_RULE = re.compile(
    r"No pfor vectorization defined for (\w+)"
    r"|Input \S+ of op '(\w+)' expected to be loop invariant"
)


def loop_sum(work: Callable, tasks, zero, *, at_once: int | None = None):
    """Return zero + sum of work(task), in a loop over the tasks.

    Args:
      work: (tree of one task's tensors) -> tree of tensors; a pure function.
      tasks: tree of tensors [N, ...].
      zero: tree like the result of `work`.
      at_once: tasks that may be worked on at the same time; None: two.
    """
    number = tf.shape(tf.nest.flatten(tasks)[0])[0]

    def body(place, total):
        task = tf.nest.map_structure(lambda x: tf.gather(x, place), tasks)
        return place + 1, tree.add(total, work(task))

    _, total = tf.while_loop(
        lambda place, total: place < number,
        body,
        (tf.constant(0), zero),
        parallel_iterations=at_once or 2,
    )
    return total


def vectorized_sum(work: Callable, tasks, zero, *, at_once: int | None = None):
    """Return zero + sum of work(task), with an axis of tasks in all tensors.

    Args:
      work: (tree of one task's tensors) -> tree of tensors; a pure function.
      tasks: tree of tensors [N, ...], N known when the graph is built.
      zero: tree like the result of `work`.
      at_once: length of the axis; the rest waits in a loop. None: N.

    Raises:
      ValueError: N is not known, or `work` has an operation for which there is
        no rule.
    """
    number = tf.nest.flatten(tasks)[0].shape[0]
    if number is None:
        raise ValueError(
            "--task_mapping=vectorized needs the number of tasks when the "
            "graph is built, got tensors of an unknown first axis. Use "
            "--task_mapping=loop."
        )
    if number == 0:
        return zero
    size = min(at_once or number, number)
    full = number - number % size

    def together(part):
        found = _map(work, part)
        return tf.nest.map_structure(lambda x: tf.reduce_sum(x, 0), found)

    def some(first, end):
        return tf.nest.map_structure(lambda x: x[first:end], tasks)

    if full == size:
        total = tree.add(zero, together(some(0, size)))
    else:
        parts = tf.nest.map_structure(
            lambda x: tf.reshape(x, [-1, size, *x.shape[1:]]), some(0, full)
        )
        total = loop_sum(together, parts, zero, at_once=1)
    if full < number:
        total = tree.add(total, together(some(full, number)))
    return total


def _map(work: Callable, tasks):
    """Return work(task) for all tasks, [N, ...], without a loop over them."""
    number = tf.nest.flatten(tasks)[0].shape[0]
    try:
        with _own_rules(number):
            return tf.vectorized_map(work, tasks, fallback_to_while_loop=False)
    except ValueError as error:
        found = _NO_RULE.search(str(error))
        if found is None:
            raise
        operation = found[1] or found[2]
        raise ValueError(
            f"--task_mapping=vectorized has no form of {operation} with one "
            "more axis for the tasks, and something here uses it. Use "
            "--task_mapping=loop."
        ) from error


@contextlib.contextmanager
def _own_rules(number: int):
    """Let TensorFlow use `task_rules` for this number of tasks."""
    # Not at the top: what else the package does is to work with a TensorFlow
    # in which this is somewhere else.
    from tensorflow.python.ops.parallel_for import pfor

    from tf_metagan.core import task_rules

    table = pfor._pfor_converter_registry
    before = dict(table)
    table.update(task_rules.with_rules(before, number))
    try:
        yield
    finally:
        table.clear()
        table.update(before)
