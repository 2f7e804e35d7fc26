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
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import (
    Workload,
    contestants,
    counts,
    facts,
    forms,
    latent_step,
    meta_step,
    processes,
    serving_latency,
)
from benchmarks.figures import Figure, comparison, moves, table
from benchmarks.serving_contestants import Request

FORMAT = 1
RESULTS = pathlib.Path(__file__).parent / "results" / "suite.json"
PARTS = ("meta_step", "tasks", "rules", "latent", "serving", *forms.PARTS)

_RULES = {
    "fomaml": {"algo": "fomaml"},
    "maml": {"algo": "maml"},
    "reptile": {"algo": "reptile"},
    "metasgd": {"algo": "metasgd"},
    "joint": {"algo": "joint", "architecture": "exemplar"},
    "internal": {
        "algo": "internal",
        "dataset": "landscapes",
        "num_classes": 8,
        "embedding": "small",
        "image_size": 32,
    },
}
_SMALL = {"width": 16, "num_classes": 20}
_JUDGED = 256
_SGEMM = "matrix_product"
_TASKS = (1, 4, 16)


def start(
    kind: str, given: dict, *, cores: int, intra: int = 1
) -> processes.Worker:
    """Start the process of one of `contestants.KINDS`."""
    return processes.Worker(
        f"{kind} {given}",
        "benchmarks",
        [f"--worker={json.dumps([kind, given])}"],
        cores=cores,
        environment={
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TF_NUM_INTEROP_THREADS": str(cores),
            "TF_NUM_INTRAOP_THREADS": str(intra),
        },
    )


def race(cases: dict[str, tuple], *, rounds: int, cores: int) -> dict:
    """Let {name: (kind, settings[, threads])} take turns: {name: Worker}."""
    workers = processes.take_turns(
        [functools.partial(_start, case, cores) for case in cases.values()],
        rounds=rounds,
        seconds=60.0,
    )
    return dict(zip(cases, workers, strict=True))


def _silent(kind: str, given: dict) -> Callable[[], None]:
    """Return the step of a contestant without its answer."""
    step = contestants.KINDS[kind](**given)

    def run() -> None:
        step()

    return run


def _start(case: tuple, cores: int) -> processes.Worker:
    kind, given, *intra = case
    return start(kind, given, cores=cores, intra=intra[0] if intra else 1)


def seconds(worker: processes.Worker) -> float:
    """Return the median of its turns, without the first."""
    return statistics.median(turn["wall"] for turn in worker.turns[1:])


# ------------------------------------------------------------------ parts


def measure_meta_step(plan, *, cores, torch, say) -> list[Figure]:
    """Race the plain workload against PyTorch; see `meta_step`."""
    sizes = Workload("")
    sections = meta_step.measure(
        sizes, meta_step.ALGOS, plan, cores=cores, torch=torch, say=say
    )
    rows = {section["title"]: section["rows"] for section in sections}
    peak = race({_SGEMM: (_SGEMM, {}, cores)}, rounds=5, cores=cores)[_SGEMM]
    speed = contestants.SGEMM_FLOPS / min(t["wall"] for t in peak.turns[1:])
    found = []
    for row in rows["The meta-step"]:
        if (
            row.side == "library"
            and row.label == "while"
            and row.threads.endswith("/1")
        ):
            found += _of_row(row, sizes, speed)
    growth = [
        row
        for row in rows["Growth with the number of inner steps"]
        if row.side == "library"
    ]
    for algo in meta_step.ALGOS:
        own = [row for row in growth if row.algo == algo]
        few, many = own[0], own[-1]
        found.append(
            Figure(
                "Inner steps",
                f"{algo}: time per step, k = {many.steps} / k = {few.steps}",
                (many.median_s / many.steps) / (few.median_s / few.steps),
                "ratio",
                "lower",
                max(few.others, many.others),
            )
        )
        by_steps = {row.steps: row.growth_mb for row in own}
        if by_steps.get(5) and by_steps.get(50):
            found.append(
                Figure(
                    "Inner steps",
                    f"{algo}: peak memory, k = 50 / k = 5",
                    by_steps[50] / by_steps[5],
                    "ratio",
                    "lower",
                )
            )
    found += [
        Figure(
            "Input pipeline",
            f"{row.algo}: waiting",
            row.wait,
            "share",
            "lower",
            row.others,
        )
        for row in rows["Share of the input pipeline"]
    ]
    return found


def _of_row(row, sizes: Workload, speed: float) -> list[Figure]:
    work = sizes._replace(algo=row.algo)
    values = (
        ("torch / library", row.ratio, "ratio", "higher"),
        (
            "share of matrix product speed",
            counts.flops(work) / row.median_s / speed,
            "share",
            "higher",
        ),
        ("meta-step", row.median_s, "s", "lower"),
        ("first call", row.first_s, "s", "lower"),
        ("peak memory", row.growth_mb, "MB", "lower"),
    )
    return [
        Figure(
            "The meta-step", f"{row.algo}: {name}", x, unit, better, row.others
        )
        for name, x, unit, better in values
        if x is not None
    ]


def measure_tasks(*, rounds, cores) -> list[Figure]:
    """Race meta-batches of several sizes."""
    cases = {
        n: ("training", {**_SMALL, "algo": "fomaml", "meta_batch": n})
        for n in _TASKS
    }
    found = race(cases, rounds=rounds, cores=cores)
    first, *rest = _TASKS
    least = found[first].growth()
    figures = []
    for n in rest:
        figures.append(
            Figure(
                "Tasks of a meta-step",
                f"time per task, N = {n} / N = {first}",
                seconds(found[n]) / n / seconds(found[first]),
                "ratio",
                "lower",
                found[n].others(),
            )
        )
        peak = found[n].growth()
        if peak and least:
            figures.append(
                Figure(
                    "Tasks of a meta-step",
                    f"peak memory, N = {n} / N = {first}",
                    peak / least,
                    "ratio",
                    "lower",
                )
            )
    return figures


def measure_rules(*, rounds, cores) -> list[Figure]:
    """Race every rule, as users train, and judging of a shipped model."""
    cases = {
        name: ("training", {**_SMALL, **given})
        for name, given in _RULES.items()
    }
    cases["judging"] = ("judging", {"name": "mnist", "samples": _JUDGED})
    found = race(cases, rounds=rounds, cores=cores)
    base = seconds(found["fomaml"])
    figures = [
        Figure(
            "Rules as users train them",
            f"{name}: meta-step / fomaml's",
            seconds(found[name]) / base,
            "ratio",
            "lower",
            found[name].others(),
        )
        for name in cases
        if name not in ("fomaml", "judging")
    ]
    figures += [
        Figure(
            "Rules as users train them",
            f"{name}: first meta-step",
            found[name].turns[0]["wall"],
            "s",
            "lower",
            found[name].others(),
        )
        for name in _RULES
    ]
    figures.append(
        Figure(
            "Evaluation",
            f"one task: adapt, draw {_JUDGED}, judge",
            seconds(found["judging"]),
            "s",
            "lower",
            found["judging"].others(),
        )
    )
    return figures


def measure_latent(*, rounds) -> list[Figure]:
    """Race the latent family against PyTorch; CPU seconds of one thread."""
    sides = {
        side: cpu
        for side, _, cpu in latent_step.race(
            latent_step.Sizes(16, 5, 32), rounds
        )
    }
    return [
        Figure(
            "The meta-step",
            "latent: torch / library",
            sides["torch"] / sides["library"],
            "ratio",
            "higher",
        )
    ]


def measure_serving(*, quick, cores, torch, say) -> list[Figure]:
    """Race requests to an export; see `serving_latency`."""
    report = serving_latency.measure(
        "pretrained:mnist",
        Request(),
        rounds=5 if quick else 50,
        starts=1 if quick else 5,
        cores=cores,
        torch=torch,
        say=say,
    )
    figures = []
    for goal in report["goals"]:
        name, better, value = goal["what"], "lower", goal["found"]
        if goal["expected"].startswith(">="):
            better = "higher"
        unit = "ratio"
        if name.endswith(", ms"):
            name, value, unit = name.removesuffix(", ms"), value / 1e3, "s"
        if name.endswith(", s"):
            name, unit = name.removesuffix(", s"), "s"
        figures.append(Figure("Export", name, value, unit, better))
    return figures


# ----------------------------------------------------------------- command


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
            found += measure_meta_step(plan, cores=cores, torch=torch, say=say)
        elif part == "tasks":
            found += measure_tasks(rounds=rounds, cores=cores)
        elif part == "rules":
            found += measure_rules(rounds=rounds, cores=cores)
        elif part == "serving":
            found += measure_serving(
                quick=quick, cores=cores, torch=torch, say=say
            )
        elif part in forms.PARTS:
            for label in forms.labels(part, quick=quick):
                cases = forms.cases(part, label)
                workers = race(cases, rounds=rounds, cores=cores)
                found += forms.figures(part, label, workers)
        elif torch:
            found += measure_latent(rounds=rounds)
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
            functools.partial(_silent, kind, given), cores=cores
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
