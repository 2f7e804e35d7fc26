"""Two ways to take a step, on one thread each, in turns.

Each side lives in a process of its own that takes a step for every line on its
standard input; CPU seconds of one thread are little disturbed by other work.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Sides = Mapping[str, Callable[[Any], Callable[[], None]]]
"""{name: sizes -> step}; whose name begins with "torch" uses PyTorch."""

_THREADS = {"TF_NUM_INTEROP_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "OMP_NUM_THREADS": "1"}


def race(
    module: str, sizes: Any, sides: Sides, rounds: int
) -> Iterator[tuple[str, float, float]]:
    """Yield (side, median wall, median CPU seconds) of steps in turns.

    Args:
      module: whose `main` calls `command`.
      sizes: NamedTuple of integers.
      sides: as there.
      rounds: steps of each side, besides a first that is not counted.
    """
    words = [f"--{name}={value}" for name, value in sizes._asdict().items()]
    found: dict[str, list] = {side: [] for side in sides}
    with contextlib.ExitStack() as stack:
        workers = {
            side: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", module, f"--work={side}", *words],
                    env={**os.environ, **_THREADS, **_QUIET},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for side in sides
        }
        for number in range(rounds + 1):
            for side, worker in workers.items():
                worker.stdin.write("\n")
                worker.stdin.flush()
                seconds = json.loads(worker.stdout.readline())
                if number:  # the first is tracing
                    found[side].append(seconds)
    for side, measured in found.items():
        yield side, *map(statistics.median, zip(*measured, strict=True))


def command(
    module: str, sizes: Any, sides: Sides, argv: Sequence[str] | None
) -> None:
    """Be the command line of a module: its flags are the fields of `sizes`.

    Args:
      module: its full name.
      sizes: the defaults.
      sides: as for `race`.
      argv: words of the command line; None for those of the process.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    for name, value in sizes._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--work", choices=sides, help=argparse.SUPPRESS)
    asked = vars(parser.parse_args(argv))
    side, rounds = asked.pop("work"), asked.pop("rounds")
    sizes = type(sizes)(**asked)
    if side:
        _work(side, sides[side], sizes)
        return
    for name, wall, cpu in race(module, sizes, sides, rounds):
        print(f"{name}: {wall:.3f} s wall, {cpu:.3f} s CPU per meta-step")


def _work(side: str, make: Callable, sizes: Any) -> None:
    """Take a step for every line on stdin, its seconds on stdout."""
    if side.startswith("torch"):
        import torch

        torch.set_num_threads(1)
    step = make(sizes)
    for _ in sys.stdin:
        begun = time.perf_counter(), time.process_time()
        step()
        seconds = (
            time.perf_counter() - begun[0],
            time.process_time() - begun[1],
        )
        print(json.dumps(seconds), flush=True)
