"""How far a run has come, read from its folder without TensorFlow."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Trained(NamedTuple):
    """How far a run has come.

    Attributes:
      step: meta-steps of its newest checkpoint; None without one.
      goal: meta-steps at which it ends; None if unknown.
      seconds: time spent in training, over all starts.
    """

    step: int | None
    goal: int | None
    seconds: float


def trained(run: Path) -> Trained:
    """Look how far a run has come.

    Args:
      run: its folder, which need not exist.
    """
    steps = [
        int(path.stem.removeprefix("ckpt-"))
        for path in run.glob("ckpt/ckpt-*.index")
    ]
    goal = None
    if (run / "config.json").exists():
        stored = json.loads((run / "config.json").read_text())["settings"]
        goal = 0 if stored["algo"] == "scratch" else stored["meta_steps"]
    return Trained(max(steps, default=None), goal, training_seconds(run))


def training_seconds(run: Path) -> float:
    """Return the time that training took, from metrics.jsonl.

    The clock there begins anew with every start of a run.
    """
    total = before = 0.0
    for row in logged(run):
        now = row["seconds"]
        if now < before:
            total += before
        before = now
    return total + before


def logged(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of metrics.jsonl, but for one that was cut off.

    Args:
      run: its folder, which need not exist.
    """
    path = run / "metrics.jsonl"
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            # A run that was killed may leave a part of a line.
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)
