"""What the suite measures: each part races some contestants."""

import functools
import json
import statistics

from benchmarks import (
    Workload,
    contestants,
    counts,
    internal_step,
    kernels,
    latent_step,
    meta_step,
    one_thread,
    processes,
    serving_latency,
)
from benchmarks.figures import Figure
from benchmarks.serving_contestants import Request

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
ON_ONE_THREAD = {"latent": latent_step, "internal": internal_step}
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


def _start(case: tuple, cores: int) -> processes.Worker:
    kind, given, *intra = case
    return start(kind, given, cores=cores, intra=intra[0] if intra else 1)


def seconds(worker: processes.Worker) -> float:
    """Return the median of its turns, without the first."""
    return statistics.median(turn["wall"] for turn in worker.turns[1:])


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


def measure_on_one_thread(rule: str, *, rounds) -> list[Figure]:
    """Race one of `ON_ONE_THREAD` against PyTorch; CPU seconds."""
    module = ON_ONE_THREAD[rule]
    sides = {
        side: cpu
        for side, _, cpu in one_thread.race(
            module.__name__, module.Sizes(), module.SIDES, rounds
        )
    }
    library = sides.pop("library")
    return [
        Figure(
            "The meta-step",
            f"{rule}: torch / library",
            min(sides.values()) / library,
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


def measure_kernels(*, rounds) -> list[Figure]:
    """Race the kernels of a meta-step alone; see `kernels`."""
    found = race(kernels.cases(), rounds=rounds, cores=1)
    return kernels.figures(found, product_flops=contestants.SGEMM_FLOPS)
