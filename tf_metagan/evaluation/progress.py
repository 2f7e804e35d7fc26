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
    seconds = training_seconds(run) or 0.0
    return Trained(max(steps, default=None), goal, seconds)


def training_seconds(run: Path, clock: str = "seconds") -> float | None:
    """Return the time that training took, from metrics.jsonl.

    The clocks there begin anew with every start of a run.

    Args:
      run: its folder, which need not exist.
      clock: one of `stopwatch.CLOCKS`.

    Returns:
      Seconds; None if nothing is logged, or not by that clock.
    """
    rows = list(logged(run))
    if not rows or any(clock not in row for row in rows):
        return None
    total = before = 0.0
    for row in rows:
        now = row[clock]
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
