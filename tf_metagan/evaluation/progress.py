"""How far a run has come, read from its folder without TensorFlow."""

import json
from pathlib import Path
from typing import NamedTuple


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
    path = run / "metrics.jsonl"
    if not path.exists():
        return 0.0
    total = before = 0.0
    with open(path, encoding="utf-8") as file:
        for line in file:
            now = json.loads(line)["seconds"]
            if now < before:
                total += before
            before = now
    return total + before
