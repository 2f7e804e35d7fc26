"""Make the table of the paper again: python -m tf_metagan.table

Trains what is missing, evaluates, and writes numbers beside the published
ones. Every row is a line of evaluation/systems.py and one file of flags per
data set; the commands are the ordinary ones, so that every cell can be
repeated by hand.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from absl import logging

from tf_metagan import cli, evaluate, subcommand, table_plan
from tf_metagan.data import atomic
from tf_metagan.evaluation import losses, progress, store, tabulate
from tf_metagan.evaluation.protocol import QUICK
from tf_metagan.evaluation.systems import Entry
from tf_metagan.settings import Settings
from tf_metagan.table_plan import TableConfig

LOSSES_FILE = "losses_{dataset}.png"


def make(config: TableConfig, *, command: str) -> int:
    """Train, evaluate and write the table after every line.

    Args:
      config: the settings.
      command: the command line, for the record.

    Returns:
      Exit code: that of the first command that failed, else 0.
    """
    cells: dict[Entry, tabulate.Cell] = {}
    lines = table_plan.entries(config)
    failure = cli.EXIT_OK
    try:
        for entry in lines:
            problem, code = _fill(entry, config)
            failure = failure or code
            if problem:
                logging.warning(
                    "%s on %s: %s", entry.system, entry.dataset, problem
                )
            cells[entry] = cell(entry, config, problem)
            write(config, lines, cells, command=command)
    except subcommand.Terminated:
        return cli.EXIT_PREEMPTED
    logging.info("table: %s", Path(config.runs_dir, table_plan.TABLE_FILE))
    return failure


def _fill(entry: Entry, config: TableConfig) -> tuple[str, int]:
    """Train and evaluate a line: (what went wrong or "", exit code)."""
    problem, code = "", cli.EXIT_OK
    for run in table_plan.steps_of_training(entry, config):
        if not os.path.exists(run.flagfile):
            return f"{run.flagfile} is not there", code
        try:
            spent = progress.trained(run.run).seconds
            subcommand.run(
                table_plan.train_words(run, config, spent=spent), _log(run)
            )
        except subcommand.Failed as error:
            problem, code = f"training failed: {error}", error.code
            break
    if progress.trained(entry.run).step is None:
        return problem or "not trained", code
    try:
        subcommand.run(table_plan.evaluate_words(entry, config), _log(entry))
    except subcommand.Failed as error:
        return f"evaluation failed: {error}", code or error.code
    return problem, code


def _log(entry: Entry) -> Path:
    return entry.run.with_name(f"{entry.run.name}.log")


def cell(entry: Entry, config: TableConfig, problem: str) -> tabulate.Cell:
    """Collect what is known of a line.

    Args:
      entry: the line.
      config: the settings.
      problem: what went wrong, or "".
    """
    facts: dict[str, Any] = {
        "run": str(entry.run),
        "steps": entry.steps,
        "shots": entry.shots,
        "train": shlex.join(["python", *table_plan.train_words(entry, config)]),
        "evaluate": shlex.join(
            ["python", *table_plan.evaluate_words(entry, config)]
        ),
        "budget": {
            "max_seconds": config.max_seconds,
            "meta_steps": config.meta_steps or progress.trained(entry.run).goal,
        },
    }
    if (entry.run / "config.json").exists():
        record = json.loads((entry.run / "config.json").read_text())
        facts["training_seconds"] = sum(
            progress.training_seconds(run.run) or 0.0
            for run in (entry.start, entry)
            if run
        )
        if entry.start:
            words = table_plan.train_words(entry.start, config)
            facts["train_start"] = shlex.join(["python", *words])
        facts["training_commit"] = record["commit"]
        facts["seed"] = record["settings"]["seed"]
    results = results_of(entry, config)
    values: dict[str, Any] = {}
    if results is not None and not problem.startswith("evaluation"):
        values = tabulate.values_of(results)
        facts |= {
            "meta_step": results["subject"]["meta_step"],
            "weights": results["subject"]["weights"],
            "protocol": results["protocol"]["name"],
            "critic": results["critic"]["name"],
            "evaluation_commit": results["commit"],
            "evaluation_seconds": results["seconds"],
        }
    return tabulate.Cell(
        entry.row.key,
        entry.system,
        entry.dataset,
        values,
        facts,
        problem,
    )


def results_of(entry: Entry, config: TableConfig) -> dict[str, Any] | None:
    """Return what the evaluation of a line wrote, if it has."""
    values: dict[str, Any] = dict(QUICK) if config.quick else {}
    for name in ("tasks", "samples"):
        if getattr(config, name) is not None:
            values[name] = getattr(config, name)
    protocol = evaluate.protocol_of(
        evaluate.EvaluateConfig(steps=entry.steps, shots=entry.shots, **values)
    )
    folder = entry.run / evaluate.RESULTS / protocol.name
    if not (folder / store.RESULTS_FILE).exists():
        return None
    return store.read_results(folder)


def write(
    config: TableConfig,
    lines: list[Entry],
    cells: dict[Entry, tabulate.Cell],
    *,
    command: str,
) -> None:
    """Write the table and loss curves; lines still to come are empty."""
    every: list[tabulate.Cell] = []
    critics: dict[str, Any] = {}
    for dataset in config.datasets:
        own = [entry for entry in lines if entry.dataset == dataset]
        losses.write(
            Path(config.runs_dir, LOSSES_FILE.format(dataset=dataset)),
            {entry.row.system: entry.run for entry in own},
        )
        for entry in own:
            if entry in cells and cells[entry].values:
                results = results_of(entry, config)
                assert results is not None
                critics[dataset] = results["critic"]
                every += tabulate.real_cells(dataset, results)
                break
        every += [
            cells.get(entry) or cell(entry, config, "still to come")
            for entry in own
        ]
    text = tabulate.markdown(every, critics, command=command)
    with atomic.replacement(
        Path(config.runs_dir, table_plan.TABLE_FILE)
    ) as temporary:
        temporary.write_text(text, encoding="utf-8")
    content = {
        "command": command,
        "critics": critics,
        "cells": [c.as_dict() for c in every],
    }
    store.write_json(Path(config.runs_dir, table_plan.JSON_FILE), content)


def main(settings: Settings[TableConfig]) -> int:
    """Print the plan or make the table."""
    for name in vars(settings.config):
        settings.take(name)
    config = settings.config
    table_plan.entries(config)
    settings.check_all_used()
    if config.dry_run:
        sys.stdout.write("\n".join(table_plan.plan(config)) + "\n")
        return cli.EXIT_OK
    words = [settings.as_flag(name) for name in settings.given]
    return make(
        config, command=shlex.join(["python", "-m", "tf_metagan.table", *words])
    )


COMMAND = cli.Command(
    module="tf_metagan.table",
    purpose="Train and evaluate every system of the paper's table, and write "
    "its numbers beside the published ones. What is there already is used; an "
    "interrupted table goes on.",
    examples=(
        "python -m tf_metagan.table --dry_run",
        "python -m tf_metagan.table --max_seconds=1800",
        "python -m tf_metagan.table --rows=maml,ours --datasets=mnist --quick",
    ),
    settings=TableConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
