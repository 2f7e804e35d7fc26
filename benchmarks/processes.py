"""Contestants in processes of their own that take turns.

A B C A B C: whatever slows the machine down slows them all. What is here
imports neither TensorFlow nor PyTorch.
"""

import contextlib
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

_PAUSE = 0.02  # lets the threads of the last turn's process fall asleep

MALLOC = {  # glibc takes no threshold above 32 MB
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}


# ------------------------------------------------------------ inside a worker


def answer_turns(make: Callable[[], Callable], *, cores: int) -> None:
    """Be the process of one contestant: a step for every line on stdin.

    Args:
      make: () -> step; called once the process is pinned. A step does the
        work and may return a dict to be added to the reply.
      cores: of those it may use.
    """
    _pin(cores)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the replies
    step = make()
    gc.collect()
    baseline = memory_mb("VmRSS")
    forget_peak()
    resting = time.process_time()
    print(json.dumps({"baseline_mb": baseline}), file=replies, flush=True)
    for _ in sys.stdin:
        busy, cpu = _machine_seconds(), time.process_time()
        idle = cpu - resting
        start = time.perf_counter()
        extra = step() or {}
        wall = time.perf_counter() - start
        resting = time.process_time()
        reply = {
            "wall": wall,
            "cpu": resting - cpu,
            "idle_cpu": idle,
            "others_cpu": _machine_seconds() - busy - (resting - cpu),
            "peak_mb": memory_mb("VmHWM"),
            **extra,
        }
        print(json.dumps(reply), file=replies, flush=True)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pin(cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _machine_seconds() -> float:
    """CPU seconds all processes of the machine have used; 0 where unknown."""
    try:
        line = pathlib.Path("/proc/stat").read_text().partition("\n")[0]
    except FileNotFoundError:
        return 0.0
    user, nice, system, _, _, irq, softirq = map(int, line.split()[1:8])
    ticks = user + nice + system + irq + softirq
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(field: str, process: int | str = "self") -> float | None:
    """Return VmRSS, VmHWM, RssAnon, ... of a process; None if unknown."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return None
    if f"{field}:" not in status:  # it has ended
        return None
    (line,) = (x for x in status.splitlines() if x.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    text = pathlib.Path(f"/proc/{process}/stat").read_text()
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def forget_peak() -> None:
    """Let VmHWM start again, so that imports do not count."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        print(f"peaks include imports: {error}", file=sys.stderr)


# ------------------------------------------------------------- the parent's end


class Worker:
    """The parent's end of one contestant's process.

    Attributes:
      turns: replies so far, {"wall", "cpu", ...} in seconds and MB.
      seconds: wall seconds of all turns.
      baseline: resident MB before the first turn, None where unknown.
    """

    def __init__(
        self,
        name: str,
        module: str,
        words: Sequence[str],
        *,
        cores: int,
        environment: Mapping[str, str],
    ):
        """Start `python -m module words`; `turn` waits until it is ready.

        Args:
          name: for messages.
          module: whose command line ends in `answer_turns`.
          words: of that command line.
          cores: that it uses.
          environment: variables to change.
        """
        self.turns: list[dict] = []
        self.seconds = 0.0
        self.baseline: float | None = None
        self._name = name
        self._cores = cores
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, f"--cores={cores}", *words],
            cwd=pathlib.Path(__file__).parents[1],
            env=os.environ | dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ready(self) -> None:
        """Wait until everything but the first turn is done."""
        self.baseline = self._read()["baseline_mb"]

    def turn(self) -> None:
        """Let it do its work once."""
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process is dead, and _read says why
        self.turns.append(self._read())
        self.seconds += self.turns[-1]["wall"]

    def stop(self) -> None:
        """End the process, or bury it where it ended by itself."""
        with contextlib.suppress(BrokenPipeError):  # a turn it never read
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def growth(self) -> float | None:
        """Return peak resident MB above the baseline."""
        peak = max((x["peak_mb"] or 0.0 for x in self.turns), default=0.0)
        return peak - self.baseline if self.baseline else None

    def others(self) -> float:
        """Return the median share of the cores that others used meanwhile."""
        free = (os.cpu_count() or self._cores) - self._cores
        return statistics.median(
            max(0.0, x["others_cpu"] / x["wall"] - free) / self._cores
            for x in self.turns[1:]
        )

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        tail = "".join(self._errors.readlines()[-20:])
        raise RuntimeError(
            f"the process of {self._name} ended with "
            f"code {code} before it answered; expected one line for each "
            "turn. Mend what its last words say, or use smaller sizes "
            f"if there are none (killed for lack of memory?):\n{tail}"
        )


def take_turns(
    start: Sequence[Callable[[], Worker]], *, rounds: int, seconds: float
) -> list[Worker]:
    """Let contestants take turns, A B C A B C ..., and end them.

    Args:
      start: each starts the process of one; all are alive at the same time.
      rounds: turns of each besides the first.
      seconds: one sits out once its turns have taken this long; it has at
        least two.

    Returns:
      The workers with their `turns`, in order.
    """
    workers: list[Worker] = []
    try:
        for begin in start:
            workers.append(begin())
            workers[-1].ready()
        for number in range(rounds + 1):
            for worker in workers:
                if number < 2 or worker.seconds < seconds:
                    time.sleep(_PAUSE)
                    worker.turn()
        return workers
    finally:
        for worker in workers:
            worker.stop()
