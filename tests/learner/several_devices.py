"""Meta-steps on one and on several devices, in a process of their own.

A failed collective operation leaves a process unusable, and logical devices
must be made before TensorFlow starts; hence not a test file. Writes what it
found as JSON to the file named on its command line.
"""

import functools
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from tests import problems
from tf_metagan import checkpoints
from tf_metagan.core import tree
from tf_metagan.learner import Learner

TASKS = (3, 1, 4)
MOST_DEVICES = 4


class LocalMean(Learner):
    """The wrong twin: means of replicas, averaged."""

    def _mean_over_tasks(self, total, tasks):
        count = tf.cast(tf.shape(tasks.label)[0], tasks.support.dtype)
        n = self.strategy.num_replicas_in_sync
        return tree.scale(
            self._sum_over_replicas(tree.scale(total, 1.0 / count)), 1.0 / n
        )


CASES = {
    # name: (algorithm, options of the algorithm, options of the learner)
    "fomaml": (
        "fomaml",
        {"inner": "rmsprop", "statistics": "carried"},
        {"outer_clip_norm": 0.5},
    ),
    "reptile": ("reptile", {}, {"outer_clip_value": 0.05}),
    "maml": ("maml", {"learned_rates": "layer_step"}, {}),
    "reptile-axis": ("reptile", {"task_mapping": "vectorized"}, {}),
    "local-mean": ("reptile", {}, {"kind": LocalMean}),
}


def optimizer():
    return keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)


def learner(name, strategy=None):
    """Build the learner of a case."""
    algo, options, learner_options = CASES[name]
    algorithm = problems.build(algo, inner_steps=1, **options)
    return problems.learner(
        algorithm, optimizer, strategy=strategy, **learner_options
    )


def everything(learner):
    """Return all that a step changes, and what evaluation would use."""
    arrays = [np.asarray(x) for x in learner.snapshot().values()]
    numbers = [x.astype(float) for x in arrays if x.dtype.kind in "fi"]
    return [*numbers, *tf.nest.flatten(learner.averaged())]


def distance(one, two):
    """Return the largest distance of two structures of arrays.

    Each array's is relative to its largest entry, or to 1 if that is less.
    """
    found = [
        np.max(np.abs(np.subtract(a, b)))
        / np.max(np.abs(np.asarray(b)), initial=1.0)
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True)
    ]
    return float(np.max(found))  # not a number if any is not


def in_sync(learner):
    """Say whether all copies of every variable are the same."""
    devices = learner.strategy.num_replicas_in_sync
    return all(
        len(copies) == devices
        and all(np.array_equal(copies[0], x) for x in copies[1:])
        for variable in learner.items().values()
        if hasattr(variable, "values")
        for copies in [[x.numpy() for x in variable.values]]
    )


@functools.cache
def mirror(devices):
    """Return the strategy of the first devices.

    There is one of each in a process: two count their collective operations
    alike, which TensorFlow then takes for the same.
    """
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(devices)]
    )
    assert strategy.num_replicas_in_sync == devices
    return strategy


def run(case, folder):
    """Compare one case, "name@devices", on one and on several devices."""
    name, devices = case.split("@")
    strategy = mirror(int(devices))
    single = learner(name)
    mirrored = learner(name, strategy)
    found = {"weights": [], "metrics": [], "in_sync": []}
    for number, count in enumerate(TASKS):
        batch = problems.tasks(single.algorithm, count, seed=number)
        tf.config.run_functions_eagerly(True)
        metrics = [single.step(batch)]
        tf.config.run_functions_eagerly(False)
        metrics.append(mirrored.step(batch))
        found["weights"].append(distance(*map(everything, (single, mirrored))))
        found["metrics"].append(distance(*metrics))
        found["in_sync"].append(in_sync(mirrored))
    found["copied"] = sum(
        hasattr(x, "values") for x in mirrored.items().values()
    )
    paths = [
        checkpoints.save(x, f"{folder}/{case}{i}", keep=1)
        for i, x in enumerate((single, mirrored))
    ]
    found["exchanged"] = []
    for source, path in zip((single, mirrored), paths, strict=True):
        for other in (learner(name), learner(name, strategy)):
            checkpoints.restore(other, path)
            found["exchanged"].append(
                distance(everything(other), everything(source))
            )
    return found


def main(cases, target):
    """Run the cases and write what they gave."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * MOST_DEVICES
    )
    folder = target.removesuffix(".json")
    found = {case: run(case, folder) for case in cases}
    with open(target, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[2:], sys.argv[1])
