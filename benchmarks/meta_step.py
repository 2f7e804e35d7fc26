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

import numpy as np

import benchmarks
from benchmarks import Workload, facts, processes

FORMAT = 1
ALGOS = ("fomaml", "maml", "reptile")
RESULTS = pathlib.Path(__file__).parent / "results" / "meta_step.json"

_FAST = {"conv": "adjoint", "leaky": "function"}
_KEEP = {**_FAST, "malloc": True}
_BEST = {**_KEEP, "layout": "channels_last", "joined": True}

# What is tried in PyTorch: {label: fields of torch_meta_step.Variant}.
TORCH = {
    "plain": {"shared": False},
    "shared": {},
    "adjoint": _FAST,
    "adjoint, malloc": _KEEP,
    "adjoint, malloc, joined": {**_KEEP, "joined": True},
    "adjoint, malloc, channels_last": {**_KEEP, "layout": "channels_last"},
    "adjoint, malloc, joined, channels_last": _BEST,
    "adjoint, malloc, joined, tasks": {**_KEEP, "joined": True, "workers": 2},
    "adjoint, malloc, joined, channels_last, tasks": {**_BEST, "workers": 2},
}


class Case(NamedTuple):
    """One contestant.

    Attributes:
      side: "library" or "torch".
      label: what is special about it.
      workload: sizes.
      options: library: {"inner_loop": ..., "pipeline": bool}; torch: fields
        of `torch_meta_step.Variant`.
      inter: TF_NUM_INTEROP_THREADS, or Python threads of torch; None is
        TensorFlow's own choice.
      intra: TF_NUM_INTRAOP_THREADS or OMP_NUM_THREADS; None as above.
    """

    side: str
    label: str
    workload: Workload
    options: dict
    inter: int | None
    intra: int | None

    @property
    def threads(self) -> str:
        """Operations at a time / threads of one operation."""
        return f"{self.inter}/{self.intra}" if self.inter else "default"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its process."""
        given = {"TF_CPP_MIN_LOG_LEVEL": "2"}
        if self.side == "torch":
            given["OMP_NUM_THREADS"] = str(self.intra)
            return given | (
                processes.MALLOC if self.options.get("malloc") else {}
            )
        if self.inter:
            given["TF_NUM_INTEROP_THREADS"] = str(self.inter)
            given["TF_NUM_INTRAOP_THREADS"] = str(self.intra)
        return given


# ------------------------------------------------------- the library's side


def networks(width: int, dtype: str) -> dict:
    """Build the two players as Keras models; see `benchmarks`."""
    import keras

    from tf_metagan.gan import layers

    def leaky(name):
        return keras.layers.LeakyReLU(benchmarks.SLOPE, name=name, dtype=dtype)

    side = benchmarks.IMAGE_SIZE
    d = [
        keras.Input([side, side, 1], dtype=dtype),
        layers.Down(width, name="down1", dtype=dtype),
        leaky("down1_act"),
        layers.Down(2 * width, name="down2", dtype=dtype),
        leaky("down2_act"),
        keras.layers.Flatten(name="flat", dtype=dtype),
        keras.layers.Dense(1, name="head", dtype=dtype),
    ]
    g = [
        keras.Input([benchmarks.LATENT_SIZE], dtype=dtype),
        keras.layers.Dense(7 * 7 * 2 * width, name="project", dtype=dtype),
        leaky("project_act"),
        keras.layers.Reshape([7, 7, 2 * width], name="grid", dtype=dtype),
        layers.Up(width, name="up1", dtype=dtype),
        leaky("up1_act"),
        layers.Up(1, activation="tanh", name="up2", dtype=dtype),
    ]
    return {
        "d": keras.Sequential(d, name="d"),
        "g": keras.Sequential(g, name="g"),
    }


def algorithm(workload: Workload, *, inner_loop: str = "while"):
    """Build the library's algorithm for a workload."""
    from tf_metagan.algorithms import fomaml, maml, reptile
    from tf_metagan.core import inner, optim, rollout
    from tf_metagan.gan import game, losses, penalties

    two = game.two_player(
        networks(workload.width, workload.dtype),
        loss=losses.wasserstein(),
        penalty=penalties.gradient(
            penalty_weight=benchmarks.PENALTY_WEIGHT, penalty_norm="sample"
        ),
    )
    rule = inner.InnerRule(
        optim.rmsprop(
            inner_rho=benchmarks.INNER_RHO,
            inner_epsilon=benchmarks.INNER_EPSILON,
            epsilon_placement="inside",
            statistics_gradient="full",
        ),
        benchmarks.INNER_RATE,
        steps=workload.steps,
    )
    loop = rollout.Rollout(
        two, {"d": rule, "g": rule}, (rollout.Turn(("d", "g")),)
    )
    kinds = {
        "fomaml": fomaml.Fomaml,
        "maml": maml.Maml,
        "reptile": reptile.Reptile,
    }
    return kinds[workload.algo](
        loop,
        inner_steps=workload.steps,
        inner_loop=inner_loop,
        parallel_tasks=2,
    )


def tensorflow_inputs(workload: Workload, *, seed: int):
    """Return (Vars, TaskBatch) that hold the arrays of `benchmarks`."""
    import tensorflow as tf

    from tf_metagan.types import TaskBatch, Vars

    arrays = benchmarks.arrays(workload, seed=seed)
    variables = Vars(
        params={
            player: {leaf: tf.constant(x) for leaf, x in leaves.items()}
            for player, leaves in arrays.weights.items()
        },
        state={"d": {}, "g": {}},
        inner={},
    )
    roots = np.random.default_rng(seed).integers(2**31, size=workload.tasks * 2)
    tasks = TaskBatch(
        support=tf.constant(arrays.support),
        query=tf.constant(arrays.query),
        others=None,
        label=tf.zeros([workload.tasks], tf.int64),
        seed=tf.constant(roots.reshape(-1, 2), tf.int64),
    )
    return variables, tasks


def make_tensorflow_step(case: Case, *, seed: int) -> Callable[[], dict]:
    """Return a function that runs one meta-step with fresh random draws."""
    import tensorflow as tf

    rule = algorithm(
        case.workload, inner_loop=case.options.get("inner_loop", "while")
    )
    variables, fixed = tensorflow_inputs(case.workload, seed=seed)
    gradients = tf.function(rule.meta_gradients, autograph=False)
    counter = iter(range(sys.maxsize))
    feed = _feed(case.workload) if case.options.get("pipeline") else None

    def step() -> dict:
        number = next(counter)
        start = time.perf_counter()
        tasks = next(feed) if feed else fixed._replace(seed=fixed.seed + number)
        wait = time.perf_counter() - start
        found = gradients(variables, tasks, tf.constant(number, tf.int64))
        tf.nest.map_structure(lambda x: x.numpy(), found.grads.params)
        return {"wait": wait} if feed else {}

    return step


def _feed(workload: Workload):
    """Iterate over the tasks of an EpisodeSampler on random images."""
    from tf_metagan.data import base, episodes

    classes, images_each = 100, 20
    side = benchmarks.IMAGE_SIZE
    rng = np.random.default_rng(0)
    images = rng.integers(
        256, size=(classes * images_each, side, side, 1), dtype=np.uint8
    )
    sampler = episodes.EpisodeSampler(
        base.group(images, np.repeat(np.arange(classes), images_each)),
        classes=range(classes),
        meta_batch=workload.tasks,
        inner_batch_size=workload.batch,
        inner_steps=workload.steps,
    )
    return iter(sampler.dataset())


# ------------------------------------------------------------ inside a worker


def step_of(case: Case) -> Callable[[], dict | None]:
    """Return a function that runs one meta-step of a contestant."""
    if case.side == "library":
        return make_tensorflow_step(case, seed=0)
    return _torch_step(case)


def _torch_step(case: Case):
    import torch

    from benchmarks import torch_meta_step

    torch.set_num_threads(case.intra)
    torch.set_flush_denormal(True)  # TensorFlow always does
    variant = torch_meta_step.Variant(**case.options)
    return torch_meta_step.make_step(case.workload, variant, seed=0)


# ------------------------------------------------------------- the race


class Row(NamedTuple):
    """What was measured of one contestant.

    Attributes:
      side: of the case.
      label: of the case.
      threads: of the case.
      algo: of the workload.
      steps: inner steps.
      turns: meta-steps timed, without the first.
      median_s: wall seconds of a meta-step.
      min_s: the fastest of them.
      cpu_s: median CPU seconds of a meta-step, divided by the cores.
      first_s: wall seconds of the first call, tracing included.
      baseline_mb: resident memory before the first call.
      growth_mb: peak resident memory above the baseline.
      others: median share of the cores that other processes took meanwhile.
      wait: median share of the meta-step spent waiting for data.
      ratio: best torch median over this median; above 1 is faster than torch.
    """

    side: str
    label: str
    threads: str
    algo: str
    steps: int
    turns: int
    median_s: float
    min_s: float
    cpu_s: float
    first_s: float
    baseline_mb: float | None
    growth_mb: float | None
    others: float
    wait: float | None = None
    ratio: float | None = None


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


# ----------------------------------------------------------- what is raced


def tensorflow_case(
    workload: Workload,
    *,
    inner_loop: str = "while",
    threads: tuple[int, int] | None = (2, 1),
    pipeline: bool = False,
) -> Case:
    """Make a contestant of the library; threads are (inter, intra)."""
    label = f"{inner_loop}, fed by EpisodeSampler" if pipeline else inner_loop
    options = {"inner_loop": inner_loop, "pipeline": pipeline}
    return Case("library", label, workload, options, *(threads or (None, None)))


def torch_case(workload: Workload, label: str, *, cores: int) -> Case:
    """Make a contestant of PyTorch that uses `cores` threads in all."""
    options = TORCH[label]
    workers = min(options.get("workers", 1), cores)
    options = {**options, "workers": workers}
    return Case("torch", label, workload, options, workers, cores // workers)


def compared(rows: Sequence[Row]) -> list[Row]:
    """Fill in `ratio`, best torch over library, within equal (algo, steps)."""

    def ratio(row):
        medians = [
            other.median_s
            for other in rows
            if other.side == "torch"
            and (other.algo, other.steps) == (row.algo, row.steps)
        ]
        return min(medians) / row.median_s if medians else None

    return [row._replace(ratio=ratio(row)) for row in rows]


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
            say(f"{algo}: {len(TORCH)} ways to write it in PyTorch")
            cases = [torch_case(work, label, cores=cores) for label in TORCH]
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
            ("Ways to write it in PyTorch", _TRIED, tried),
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
    if unrolled:
        cases.append(
            tensorflow_case(work, inner_loop="unrolled", threads=(cores, 1))
        )
    cases += [torch_case(work, label, cores=cores) for label in best]
    alone = [label for label in best if "workers" not in TORCH[label]]
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
    "and fake images as one batch. Tasks: a Python thread for each task."
)


# ------------------------------------------------------------------ report


_COLUMNS = (
    ("algorithm", lambda row: row.algo),
    ("k", lambda row: str(row.steps)),
    ("contestant", lambda row: f"{row.side}: {row.label}"),
    ("threads", lambda row: row.threads),
    (
        "median s",
        lambda row: facts.number(row.median_s) + facts.star(row.others),
    ),
    ("min s", lambda row: facts.number(row.min_s)),
    ("CPU s / cores", lambda row: facts.number(row.cpu_s)),
    ("first call s", lambda row: facts.number(row.first_s)),
    ("peak MB", lambda row: facts.number(row.growth_mb)),
    ("waiting", lambda row: facts.percent(row.wait)),
    ("torch / this", lambda row: facts.number(row.ratio)),
)


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table; columns in which nothing stands are left out."""
    return facts.table(_COLUMNS, rows)


def markdown(report: dict) -> str:
    """Return the whole report as Markdown."""
    sizes, known = report["workload"], report["machine"]
    out = [
        "# Speed of the meta-step\n\n",
        f"`{report['command']}`\n\n",
        f"{sizes['tasks']} tasks, {sizes['batch']} images of 28x28x1 in a "
        f"batch, width {sizes['width']}, {sizes['dtype']}; networks and losses "
        "as in `benchmarks/__init__.py`.\n\n",
        *facts.lines(known),
        "\nThreads are operations at a time / threads of one operation. The "
        "first call includes tracing. Peak MB is resident memory above that "
        "before the first call. CPU s / cores does not suffer from what else "
        f"the machine does; a * marks rows during which other processes used "
        f"more than {100 * facts.BUSY:.0f} % of it.\n",
    ]
    if not known["torch"]:
        out.append("\nPyTorch was not installed, so nothing was compared.\n")
    for section in report["sections"]:
        out.append(f"\n## {section['title']}\n\n{section['note']}\n\n")
        out.append(table([Row(**row) for row in section["rows"]]))
    return "".join(out)


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
