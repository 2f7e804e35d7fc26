"""Time the library's meta-step beside the same step in eager PyTorch.

    python -m benchmarks.meta_step --quick
    python -m benchmarks.meta_step --algos=fomaml,maml --output=FILE.json

Each contestant lives in a fresh process of its own. They take turns, one
meta-step each, so that whatever slows the machine down slows them all.
This process imports neither TensorFlow nor PyTorch.
"""

import argparse
import functools
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import Workload, facts, processes
from benchmarks.meta_step_contestants import (
    TORCH,
    Case,
    step_of,
    tensorflow_case,
    torch_case,
    torch_labels,
    torch_options,
)
from benchmarks.meta_step_report import Row, compared, markdown

FORMAT = 1
ALGOS = ("fomaml", "maml", "metasgd", "reptile")
RESULTS = pathlib.Path(__file__).parent / "results" / "meta_step.json"


def _start(case: Case, cores: int) -> processes.Worker:
    return processes.Worker(
        f"{case.side} ({case.label})",
        "benchmarks.meta_step",
        [f"--worker={json.dumps(case)}"],
        cores=cores,
        environment=case.environment(),
    )


def _row(case: Case, worker: processes.Worker, *, cores: int) -> Row:
    first, *timed = worker.turns
    walls = [x["wall"] for x in timed]
    return Row(
        side=case.side,
        label=case.label,
        threads=case.threads,
        algo=case.workload.algo,
        steps=case.workload.steps,
        turns=len(timed),
        median_s=statistics.median(walls),
        min_s=min(walls),
        cpu_s=statistics.median(x["cpu"] for x in timed) / cores,
        first_s=first["wall"],
        baseline_mb=worker.baseline,
        growth_mb=worker.growth(),
        others=worker.others(),
        wait=statistics.median(x["wait"] / x["wall"] for x in timed)
        if "wait" in first
        else None,
    )


def race(
    cases: Sequence[Case], *, rounds: int, cores: int, seconds: float
) -> list[Row]:
    """Let the cases take turns, A B C A B C ..., and sum up.

    Args:
      cases: contestants; all their processes are alive at the same time.
      rounds: meta-steps of each besides the first.
      cores: cores they may use.
      seconds: a case sits out once its meta-steps have taken this long; it
        has at least two.

    Returns:
      A row for each case.
    """
    workers = processes.take_turns(
        [functools.partial(_start, case, cores) for case in cases],
        rounds=rounds,
        seconds=seconds,
    )
    return [
        _row(case, worker, cores=cores)
        for case, worker in zip(cases, workers, strict=True)
    ]


class Plan(NamedTuple):
    """How much is measured; pairs are (meta-steps, seconds at most).

    Attributes:
      main: of each contestant of the main comparison.
      tryouts: of each PyTorch variant before it; None takes `_FAVOURITES`.
      unrolled: race the unrolled form too.
      growth: of each contestant and number of inner steps.
      growth_steps: numbers of inner steps; none leaves this out.
    """

    main: tuple[int, float]
    tryouts: tuple[int, float] | None
    unrolled: bool
    growth: tuple[int, float]
    growth_steps: tuple[int, ...]


_FAVOURITES = tuple(TORCH)[-3:]
FULL = Plan((10, 40.0), (3, 10.0), True, (4, 8.0), (1, 5, 10, 20, 50))
QUICK = Plan((3, 8.0), None, False, (2, 2.0), (1, 5))


def measure(
    sizes: Workload,
    algos: Sequence[str],
    plan: Plan,
    *,
    cores: int,
    torch: bool,
    say: Callable[[str], None],
) -> list[dict]:
    """Run every race.

    Args:
      sizes: the workload; its `algo` is replaced by each of `algos`.
      algos: what to race.
      plan: how much.
      cores: cores to use.
      torch: whether PyTorch takes part.
      say: called with what is about to happen.

    Returns:
      Sections for `markdown`: {"title", "note", "rows": [Row]}.
    """
    tried: list[Row] = []
    main: list[Row] = []
    growth: list[Row] = []
    fed: list[Row] = []

    def run(cases, amount):
        rounds, seconds = amount
        return race(cases, rounds=rounds, cores=cores, seconds=seconds)

    for algo in algos:
        work = sizes._replace(algo=algo)
        best = _FAVOURITES if torch else ()
        if torch and plan.tryouts:
            labels = torch_labels(algo)
            say(f"{algo}: {len(labels)} ways to write it in PyTorch")
            cases = [torch_case(work, label, cores=cores) for label in labels]
            found = run(cases, plan.tryouts)
            tried += compared(found)
            best = _best_of_each(found)
        say(f"{algo}: the library beside PyTorch")
        cases = _main_cases(work, best, unrolled=plan.unrolled, cores=cores)
        found = run(cases, plan.main)
        main += compared(found)
        leader = _fastest_torch(cases, found)
        say(f"{algo}: fed by the input pipeline")
        fed += run([tensorflow_case(work, pipeline=True)], plan.main)
        for steps in plan.growth_steps:
            say(f"{algo}: {steps} inner steps")
            cases = [tensorflow_case(work, threads=(cores, 1)), *leader]
            cases = [
                x._replace(workload=work._replace(steps=steps)) for x in cases
            ]
            growth += compared(run(cases, plan.growth))
    return [
        {"title": title, "note": note, "rows": rows}
        for title, note, rows in (
            ("The meta-step", _MAIN, main),
            ("Growth with the number of inner steps", _GROWING, growth),
            ("Share of the input pipeline", _FED, fed),
            (_WAYS, _TRIED + _who_is_absent(), tried),
        )
        if rows
    ]


def _main_cases(
    work: Workload, best: Sequence[str], *, unrolled: bool, cores: int
) -> list[Case]:
    """List the library's forms and the best of PyTorch, also on one core."""
    cases = [
        tensorflow_case(work, threads=(cores, 1)),
        tensorflow_case(work, threads=None),
    ]
    if unrolled and work.algo != "metasgd":  # which has no such form
        cases.append(
            tensorflow_case(work, inner_loop="unrolled", threads=(cores, 1))
        )
    cases += [torch_case(work, label, cores=cores) for label in best]
    alone = [label for label in best if "workers" not in torch_options(label)]
    return cases + [torch_case(work, label, cores=1) for label in alone]


def _fastest_torch(cases: Sequence[Case], rows: Sequence[Row]) -> list[Case]:
    """Return the case of the fastest torch row, in a list; empty without."""
    places = [i for i, row in enumerate(rows) if row.side == "torch"]
    places.sort(key=lambda i: rows[i].median_s)
    return [cases[i] for i in places[:1]]


def _best_of_each(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the fastest label for each way to use threads, fastest first."""
    best: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.median_s):
        best.setdefault(row.threads, row.label)
    return tuple(best.values())


def _who_is_absent() -> str:
    """Return a sentence about `higher` where it cannot take part."""
    if facts.version("higher"):
        return ""
    return (
        " higher is not installed and takes no part; "
        '"pip install higher" brings it.'
    )


_WAYS = "Ways to write it in PyTorch"
_MAIN = (
    "One meta-step: the meta-gradients of both players, without the outer "
    "optimiser. Contestants of one algorithm take turns."
)
_GROWING = (
    "The library's loop and the fastest PyTorch. Peaks include the activations "
    "of a step, which do not grow."
)
_FED = "Waiting is the time until the next TaskBatch is there."
_TRIED = (
    "The ratio is to the fastest of them. Shared: one backward pass through "
    "D(fake) serves both players, as in all that follow. Adjoint: derivatives "
    "of a convolution written as convolutions, those of leaky ReLU as one "
    "kernel. Malloc: glibc keeps freed memory. Joined: the critic sees real "
    "and fake images as one batch. Tasks: a Python thread for each task. "
    "torch.func: its grad and vjp, with vmap over the tasks or without. "
    "higher: the inner loop of that package."
)


# ----------------------------------------------------------------- command


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run; see the docstring of the module."""
    parser = _parser()
    args = parser.parse_args(argv)
    cores = min(args.cores, processes.usable_cores())
    if args.worker:
        side, label, workload, *rest = json.loads(args.worker)
        case = Case(side, label, Workload(*workload), *rest)
        processes.answer_turns(functools.partial(step_of, case), cores=cores)
        return
    algos = args.algos.split(",")
    if unknown := sorted(set(algos) - set(ALGOS)):
        parser.error(
            f"--algos={args.algos} names {', '.join(unknown)}; known are "
            f"{', '.join(ALGOS)}. Write --algos=fomaml,maml."
        )
    sizes = Workload("", args.steps, args.tasks, args.batch, args.width)
    if min(sizes[1:5]) < 1 or cores < 1:
        parser.error(
            "--steps, --tasks, --batch, --width and --cores count things; "
            f"got {args.steps}, {args.tasks}, {args.batch}, {args.width} and "
            f"{args.cores}, expected at least 1 of each."
        )
    known = facts.machine(cores)
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:4.0f} s] {text}", file=sys.stderr)

    if not known["torch"]:
        say('PyTorch is absent; "pip install torch" brings its rows')
    report = {
        "format": FORMAT,
        "command": " ".join(
            ["python -m benchmarks.meta_step", *(argv or sys.argv[1:])]
        ),
        "workload": sizes._asdict(),
        "machine": known,
        "sections": [],
    }
    sections = measure(
        sizes,
        algos,
        QUICK if args.quick else FULL,
        cores=cores,
        torch=bool(known["torch"]),
        say=say,
    )
    for section in sections:
        rows = [row._asdict() for row in section["rows"]]
        report["sections"].append({**section, "rows": rows})
    facts.save(report, markdown(report), args.output)
    print(markdown(report))
    say(f"written: {args.output} and {args.output.with_suffix('.md').name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.meta_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    sizes = Workload("")
    add = parser.add_argument
    add("--algos", default=",".join(ALGOS), help="default: %(default)s")
    for name, what in (
        ("steps", "inner steps of the main comparison"),
        ("tasks", "tasks of a meta-batch"),
        ("batch", "images of a batch"),
        ("width", "channels of the narrower convolutions"),
    ):
        add(
            f"--{name}",
            type=int,
            default=getattr(sizes, name),
            help=f"{what}, default %(default)s",
        )
    add("--cores", type=int, default=2, help="to use at most, default 2")
    add("--quick", action="store_true", help="three minutes, not fifteen")
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        metavar="FILE.json",
        help="a .md is written beside it; default: benchmarks/results/",
    )
    add("--worker", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
