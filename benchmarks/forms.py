"""Two forms of one computation beside each other: time, memory, first call.

Bounded and unrolled second-order gradients, and tasks in a loop or as one more
tensor axis. Both forms of a pair train on the same drawn images and take turns.
"""

import statistics
from collections.abc import Iterable

from benchmarks.figures import Figure
from benchmarks.processes import Worker

_SMALL = {"width": 16, "num_classes": 20}

# {part: (setting, its two values, {label: other settings})}; figures are the
# first value's over the second's.
PARTS = {
    "inner_loop": (
        "inner_loop",
        ("while", "unrolled"),
        {
            f"maml, k = {k}": {"algo": "maml", "inner_steps": k}
            for k in (5, 10, 20)
        },
    ),
    "task_mapping": (
        "task_mapping",
        ("vectorized", "loop"),
        {
            f"{algo}, N = {n}": {
                "algo": algo,
                "inner_steps": 5,
                "meta_batch": n,
            }
            for algo, n in (("fomaml", 4), ("maml", 4), ("fomaml", 16))
        },
    ),
}


def labels(part: str, *, quick: bool) -> list[str]:
    """Return the pairs of a part, one in a quick run."""
    found = list(PARTS[part][2])
    return found[:1] if quick else found


def cases(part: str, label: str) -> dict[str, tuple]:
    """Return {value: (kind, settings)} of a pair, for `suite.race`."""
    setting, values, others = PARTS[part]
    return {
        value: ("training", {**_SMALL, **others[label], setting: value})
        for value in values
    }


def figures(
    part: str, label: str, found: dict[str, Worker]
) -> Iterable[Figure]:
    """Return what a race of `cases` says."""
    setting, values, _ = PARTS[part]
    first, second = (found[value] for value in values)
    measures = {
        "meta-step": _seconds,
        "first meta-step": lambda worker: worker.turns[0]["wall"],
        "peak memory": lambda worker: worker.growth() or 1.0,
    }
    for name, measure in measures.items():
        yield Figure(
            f"--{setting}",
            f"{label}: {name}, {' / '.join(values)}",
            measure(first) / measure(second),
            "ratio",
            "lower",
            max(first.others(), second.others()),
        )


def _seconds(worker: Worker) -> float:
    return statistics.median(turn["wall"] for turn in worker.turns[1:])
