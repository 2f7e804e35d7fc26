"""What the table consists of: settings, lines, commands that make a line."""

import dataclasses
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tf_metagan.evaluation import progress, systems, tabulate
from tf_metagan.evaluation.protocol import QUICK
from tf_metagan.evaluation.systems import Entry
from tf_metagan.fields import check_all, setting
from tf_metagan.registry import suggest

TABLE_FILE = "table.md"
JSON_FILE = "table.json"

_SECTION = "Table"
_BUDGET = "Budget of each training"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Every setting of the table."""

    runs_dir: str = setting(
        "runs/table",
        "Folder of all runs, each in DATASET_ROW; what is trained there is "
        f"used. {TABLE_FILE} and {JSON_FILE} are written here.",
        section=_SECTION,
        path=True,
    )
    rows: tuple[str, ...] = setting(
        tuple(row.key for row in systems.ROWS),
        "Systems, besides real images.",
        section=_SECTION,
    )
    datasets: tuple[str, ...] = setting(
        systems.DATASETS, "Data sets.", section=_SECTION
    )
    shots: tuple[int, ...] = setting(
        (1, 5, 16),
        "Numbers of fixed support images; each adds a line for the systems of "
        "--shot_rows.",
        section=_SECTION,
        unit="images",
        interval="[1, inf)",
    )
    shot_rows: tuple[str, ...] = setting(
        ("ours",),
        "Systems that are also evaluated with few fixed support images.",
        section=_SECTION,
    )
    quick: bool = setting(
        False,
        "Evaluate "
        + ", ".join(f"{value} {name}" for name, value in QUICK.items())
        + " instead of the paper's numbers.",
        section=_SECTION,
    )
    tasks: int | None = setting(
        None,
        "Test tasks of each evaluation. None: the paper's 256.",
        section=_SECTION,
        unit="tasks",
        interval="[1, inf)",
    )
    samples: int | None = setting(
        None,
        "Images to draw for each test task. None: the paper's 4,096.",
        section=_SECTION,
        unit="images",
        interval="[2, inf)",
    )
    curves: bool = setting(
        True,
        "Also evaluate along steps and shots, see python -m "
        "tf_metagan.evaluate.",
        section=_SECTION,
    )
    train: bool = setting(
        True,
        "Train what is missing. Without it, rows that are not trained stay "
        "empty.",
        section=_SECTION,
    )
    dry_run: bool = setting(
        False,
        "Print the commands and exit.",
        section=_SECTION,
    )
    max_seconds: float | None = setting(
        None,
        "Training time of each run, over all its starts. None: no limit.",
        section=_BUDGET,
        unit="seconds",
        interval="(0, inf)",
    )
    meta_steps: int | None = setting(
        None,
        "Meta-steps of each run. None: those of its flags.",
        section=_BUDGET,
        unit="meta-steps",
        interval="[1, inf)",
    )
    data_dir: str | None = setting(
        None,
        "Folder of TensorFlow Datasets. None: TFDS_DATA_DIR, else "
        "~/tensorflow_datasets.",
        section=_SECTION,
        path=True,
    )

    def __post_init__(self) -> None:
        check_all(self)


def entries(config: TableConfig) -> list[Entry]:
    """Return the lines of the table that were asked for, in order.

    Raises:
      ValueError: a row that does not exist, or flags of no row at all.
    """
    known = {row.key: row for row in systems.ROWS}
    for name in ("rows", "shot_rows"):
        for key in getattr(config, name):
            if key not in known:
                raise ValueError(
                    f"--{name} names {key!r}, which is no row of the table. "
                    + suggest(key, known)
                )
    found = [
        Entry(known[key], dataset, shots, Path(config.runs_dir, folder))
        for dataset in config.datasets
        for key in config.rows
        for shots in (0, *(config.shots if key in config.shot_rows else ()))
        for folder in (f"{dataset}_{key}",)
    ]
    flags_there = any(os.path.exists(entry.flagfile) for entry in found)
    if config.train and not flags_there:
        raise ValueError(
            f"{found[0].flagfile if found else 'no row'} is not there, nor are "
            "the flags of any other row asked for; expected files relative to "
            "the folder of the repository. Start there, and name --rows and "
            "--datasets."
        )
    return found


def train_words(
    entry: Entry, config: TableConfig, *, spent: float = 0.0
) -> list[str]:
    """Return the training command of a line.

    Args:
      entry: the line.
      config: the settings.
      spent: seconds of its time that are used up.
    """
    words = [f"--flagfile={entry.flagfile}", f"--logdir={entry.run}"]
    if entry.start:
        words.append(f"--init_from={entry.start.run}")
    if config.data_dir:
        words.append(f"--data_dir={config.data_dir}")
    if config.meta_steps:
        words.append(f"--meta_steps={config.meta_steps}")
    if config.max_seconds:
        left = config.max_seconds - spent
        words.append(f"--max_seconds={max(1, round(left))}")
    return ["-m", "tf_metagan.train", *words]


def evaluate_words(entry: Entry, config: TableConfig) -> list[str]:
    """Return the evaluation command of a line."""
    words = [f"--run={entry.run}", f"--steps={entry.steps}"]
    if entry.shots:
        words.append(f"--shots={entry.shots}")
    if config.quick:
        words.append("--quick")
    for name in ("tasks", "samples"):
        if getattr(config, name) is not None:
            words.append(f"--{name}={getattr(config, name)}")
    if not config.curves or entry.shots:
        words.append("--curve_tasks=0")
    if config.data_dir:
        words.append(f"--data_dir={config.data_dir}")
    return ["-m", "tf_metagan.evaluate", *words]


def is_trained(entry: Entry, config: TableConfig) -> bool:
    """Tell whether a run has reached its goal or used up its time."""
    step, goal, seconds = progress.trained(entry.run)
    if step is None:
        return False
    if config.meta_steps and goal != 0:
        goal = config.meta_steps
    late = config.max_seconds is not None and seconds >= config.max_seconds
    return late or (goal is not None and step >= goal)


def steps_of_training(entry: Entry, config: TableConfig) -> list[Entry]:
    """Return what is still to be trained for a line, in order."""
    if not config.train or is_trained(entry, config):
        return []
    if not entry.start or progress.trained(entry.run).step is not None:
        return [entry]
    return [*steps_of_training(entry.start, config), entry]


def plan(config: TableConfig) -> Iterator[str]:
    """Yield what `make` would do, a line for each command."""
    planned = set()
    for entry in entries(config):
        name = f"# {entry.dataset}, {entry.system}"
        step, _, seconds = progress.trained(entry.run)
        if step is not None:
            name += f": {step} meta-steps in {tabulate.duration(seconds)}"
        yield name
        if not os.path.exists(entry.flagfile):
            yield f"# {entry.flagfile} is not there"
        elif entry.run in planned or is_trained(entry, config):
            yield "# trained"
        else:
            for run in steps_of_training(entry, config):
                spent = progress.trained(run.run).seconds
                words = train_words(run, config, spent=spent)
                yield shlex.join(["python", *words])
        planned.add(entry.run)
        yield shlex.join(["python", *evaluate_words(entry, config)])
