"""Show that a long training stays as it is: memory, speed, number of files.

    python -m benchmarks.soak
    nice -n 10 python -m benchmarks.soak --meta_steps=2000

Runs `tf_metagan.train` on a toy with checkpoints, summaries and pictures of
unseen tasks, looks at it in regular intervals, and prints a Markdown table.
Exits with 1 if in its second half memory grew by more than 2 %, a meta-step by
more than a tenth, or checkpoints were not removed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks import facts, processes

_SETTINGS = {
    "architecture": "toy",
    "width": 4,
    "latent_size": 8,
    "image_size": 16,
    "channels": 1,
    "num_classes": 10,
    "images_per_class": 8,
    "inner_steps": 2,
    "inner_batch_size": 4,
    "meta_batch": 2,
    "panel_tasks": 2,
    "log_every": 20,
    "inter_op_threads": 1,
    "intra_op_threads": 1,
    "verbosity": -1,
}
_PARTS = 20  # lines of the table
_KEPT = 3  # checkpoints, the default
_SLACK = {"memory": 1.02, "time": 1.1}


class Moment(NamedTuple):
    """A line of the table.

    Attributes:
      step: meta-steps done.
      memory_mb: resident.
      step_ms: CPU milliseconds of a meta-step since the line before.
      files: in the run folder.
      checkpoints: among them.
      folder_mb: size of the run folder.
    """

    step: int
    memory_mb: float
    step_ms: float
    files: int
    checkpoints: int
    folder_mb: float


def watch(process, logdir: pathlib.Path, every: int) -> Iterator[Moment]:
    """Yield a moment whenever `every` more meta-steps are done."""
    seen, cpu, due = 0, 0.0, every
    while process.poll() is None:
        time.sleep(0.2)
        step = _last_step(logdir / "metrics.jsonl")
        if step < due:
            continue
        now = processes.cpu_seconds(process.pid)
        memory = processes.memory_mb("VmRSS", process.pid)
        if memory is None:
            return
        found = sizes(logdir)
        yield Moment(
            step,
            memory,
            1e3 * (now - cpu) / (step - seen),
            len(found),
            sum(name.endswith(".index") for name in found),
            sum(found.values()) / 1e6,
        )
        seen, cpu, due = step, now, step - step % every + every


def sizes(folder: pathlib.Path) -> dict[str, int]:
    """Return {path: bytes} of the files below a folder.

    Those that are removed meanwhile, as old checkpoints are, are left out.
    """
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with contextlib.suppress(FileNotFoundError):
                found[path] = os.stat(path).st_size
    return found


def _last_step(path: pathlib.Path) -> int:
    if not path.exists():
        return 0
    whole, _, _ = path.read_text().rpartition("\n")
    lines = whole.splitlines()
    return json.loads(lines[-1])["step"] if lines else 0


def faults(moments: Sequence[Moment]) -> list[str]:
    """Return what is not flat in the second half of a run."""
    half = moments[len(moments) // 2 :]
    third = max(1, len(half) // 3)
    wrong = []
    for name, field in (("memory", "memory_mb"), ("time", "step_ms")):
        first, last = (
            statistics.median(getattr(x, field) for x in part)
            for part in (half[:third], half[-third:])
        )
        if last > first * _SLACK[name]:
            wrong.append(f"{name} grew from {first:.4g} to {last:.4g}")
    most = max(x.checkpoints for x in half)
    if most > _KEPT + 1:  # one may be on its way
        wrong.append(f"{most} checkpoints were there at a time")
    return wrong


_COLUMNS = (
    ("meta-step", lambda row: str(row.step)),
    ("memory MB", lambda row: f"{row.memory_mb:.1f}"),
    ("CPU ms / meta-step", lambda row: facts.number(row.step_ms)),
    ("files", lambda row: str(row.files)),
    ("checkpoints", lambda row: str(row.checkpoints)),
    ("folder MB", lambda row: facts.number(row.folder_mb)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--meta_steps", type=int, default=20_000, help="default: %(default)s"
    )
    steps = parser.parse_args(argv).meta_steps
    if steps < 2 * _PARTS:
        parser.error(
            f"--meta_steps={steps} is too short to look at {_PARTS} times; "
            f"expected at least {2 * _PARTS}."
        )
    every = steps // _PARTS
    settings = {
        **_SETTINGS,
        "meta_steps": steps,
        "checkpoint_every": max(1, steps // 40),
        "image_every": max(1, steps // 20),
        "log_every": min(_SETTINGS["log_every"], every),
    }
    with tempfile.TemporaryDirectory() as name:
        logdir = pathlib.Path(name, "run")
        words = [f"--{x}={value}" for x, value in settings.items()]
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tf_metagan.train",
                f"--logdir={logdir}",
                *words,
            ],
            cwd=pathlib.Path(__file__).parents[1],
        ) as process:
            moments = []
            for moment in watch(process, logdir, every):
                print(*moment, file=sys.stderr, flush=True)
                moments.append(moment)
        if process.returncode:
            raise RuntimeError(f"training ended with {process.returncode}")
    if not moments:
        raise RuntimeError(
            f"training ended before it was looked at; expected {_PARTS} looks. "
            "Use a greater --meta_steps."
        )
    print(facts.table(_COLUMNS, moments))
    wrong = faults(moments)
    print("Not flat: " + "; ".join(wrong) if wrong else "Flat.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
