"""Measure what users wait for, as ratios in one run.

    python -m benchmarks --quick
    python -m benchmarks --compare=benchmarks/results/suite.json --output=FILE

Time and memory of the meta-step beside the fastest eager PyTorch, for several
rules, numbers of inner steps and of tasks; waiting for the input pipeline;
requests to an export; adaptation and judging; the share of the machine's
matrix products that the meta-step reaches. Contestants of a race live in
processes of their own and take turns, so that ratios hold on a busy machine;
seconds want an idle one.
"""

import argparse
import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import (
    contestants,
    facts,
    forms,
    meta_step,
    processes,
    suite_parts,
)
from benchmarks.figures import Figure, comparison, moves, table

FORMAT = 1
RESULTS = pathlib.Path(__file__).parent / "results" / "suite.json"
PARTS = (
    "meta_step",
    "kernels",
    "tasks",
    "rules",
    *suite_parts.ON_ONE_THREAD,
    "serving",
    *forms.PARTS,
)


def _numbers(kind: str, given: dict) -> Callable[[], dict | None]:
    """Return the step of a contestant; of answers only numbers are kept."""
    step = contestants.KINDS[kind](**given)

    def run() -> dict | None:
        answer = step()
        return answer if isinstance(answer, dict) else None

    return run


def measure(
    parts: Sequence[str],
    *,
    quick: bool,
    cores: int,
    torch: bool,
    say: Callable[[str], None],
) -> list[Figure]:
    """Measure some of `PARTS`, in their order."""
    plan = meta_step.QUICK if quick else meta_step.FULL
    rounds = 3 if quick else 10
    found: list[Figure] = []
    for part in parts:
        say(part)
        if part == "meta_step":
            found += suite_parts.measure_meta_step(
                plan, cores=cores, torch=torch, say=say
            )
        elif part == "tasks":
            found += suite_parts.measure_tasks(rounds=rounds, cores=cores)
        elif part == "rules":
            found += suite_parts.measure_rules(rounds=rounds, cores=cores)
        elif part == "kernels":
            found += suite_parts.measure_kernels(rounds=rounds)
        elif part == "serving":
            found += suite_parts.measure_serving(
                quick=quick, cores=cores, torch=torch, say=say
            )
        elif part in forms.PARTS:
            for label in forms.labels(part, quick=quick):
                cases = forms.cases(part, label)
                workers = suite_parts.race(cases, rounds=rounds, cores=cores)
                found += forms.figures(part, label, workers)
        elif torch:
            found += suite_parts.measure_on_one_thread(part, rounds=rounds)
    return found


def markdown(report: dict) -> str:
    """Return a report as Markdown."""
    out = [
        "# The benchmark suite\n\n",
        f"`{report['command']}`\n\n",
        *facts.lines(report["machine"]),
        "\nA * marks figures during which other processes used more than "
        f"{100 * facts.BUSY:.0f} % of the cores: their seconds mean little, "
        "their ratios are of contestants that took turns.\n\n",
        table([Figure(**x) for x in report["figures"]]),
    ]
    if not report["machine"]["torch"]:
        out.append("PyTorch was not installed, so nothing was compared.\n")
    return "".join(out)


def load(path: pathlib.Path) -> dict:
    """Read a report.

    Raises:
      ValueError: it is none, or of another format.
    """
    try:
        report = json.loads(path.read_text())
        if report["format"] != FORMAT:
            raise ValueError(f"format is {report['format']}")
        [Figure(**x) for x in report["figures"]]
        report["machine"]["processor"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no report of the suite ({error}); expected JSON of "
            f"format {FORMAT}. Write one with --output={path}."
        ) from error
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run; see the docstring of the module.

    Returns:
      1 if a figure is worse than in the baseline, else 0.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    cores = min(args.cores, processes.usable_cores())
    if args.worker:
        kind, given = json.loads(args.worker)
        processes.answer_turns(
            functools.partial(_numbers, kind, given), cores=cores
        )
        return 0
    parts = args.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(
            f"--parts={args.parts} names {', '.join(unknown)}; known are "
            f"{', '.join(PARTS)}. Write --parts=tasks,rules."
        )
    baseline = None
    if args.compare:
        try:
            baseline = load(args.compare)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    known = facts.machine(cores)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr)

    found = measure(
        parts,
        quick=args.quick,
        cores=cores,
        torch=bool(known["torch"]),
        say=say,
    )
    words = argv if argv is not None else sys.argv[1:]
    report = {
        "format": FORMAT,
        "command": " ".join(["python -m benchmarks", *words]),
        "machine": known,
        "figures": [figure._asdict() for figure in found],
    }
    text = markdown(report)
    worse = False
    if baseline:
        before = [Figure(**x) for x in baseline["figures"]]
        same = baseline["machine"]["processor"] == known["processor"]
        text += "\n" + comparison(before, found, same_machine=same)
        worse = any(
            move.verdict == "worse"
            for move in moves(before, found, same_machine=same)
        )
    facts.save(report, text, args.output)
    print(text)
    return int(worse)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help="default: %(default)s")
    add("--cores", type=int, default=2, help="to use at most, default 2")
    add("--quick", action="store_true", help="fewer rounds and sizes")
    add(
        "--compare",
        type=pathlib.Path,
        metavar="BASELINE.json",
        help="say which figures moved; exit code 1 if one is worse",
    )
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        metavar="FILE.json",
        help="a .md is written beside it; default: benchmarks/results/",
    )
    add("--worker", help=argparse.SUPPRESS)
    return parser
