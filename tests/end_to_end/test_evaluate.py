"""python -m tf_metagan.evaluate and table: glyphs, with a small critic."""

import hashlib
import json
import pathlib
import shutil
import signal
import time

import numpy as np
import pytest

from tests import runs
from tf_metagan import cli, evaluate, trained_runs
from tf_metagan.evaluation import subject

GLYPHS = runs.flags(**runs.GLYPHS, image_size=16, channels=1)
SMALL = ("--tasks=3", "--samples=8", "--curve_tasks=1", "--curve_samples=4")
NAME = "3tasks_8_10steps"


@pytest.fixture(scope="module")
def trained(whole, tmp_path_factory):
    """Copy a trained run, as others look at what training alone left."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(whole.logdir, folder)
    return whole._replace(logdir=str(folder))


@pytest.fixture(scope="module")
def judge(trained, tmp_path_factory):
    """Train a small critic of the classes of the run, in its own process."""
    assert trained.code == cli.EXIT_OK, trained.err
    folder = tmp_path_factory.mktemp("critic")
    code, _, err = runs.process(
        "tf_metagan.critic",
        *GLYPHS,
        "--widths=4,8,8,16",
        "--steps=60",
        "--batch_size=16",
        f"--output={folder}",
    )
    assert code == cli.EXIT_OK, err
    return folder


def contents(folder):
    """Return {path: hash} of every file below a folder."""
    root = pathlib.Path(folder)
    return {
        str(path.relative_to(root)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def evaluated(trained, judge):
    """Evaluate in a process: (before, after, stderr, folder of results)."""
    before = contents(trained.logdir)
    done = runs.process(
        "tf_metagan.evaluate",
        f"--run={trained.logdir}",
        f"--critic={judge}",
        *SMALL,
    )
    folder = pathlib.Path(trained.logdir, "eval", NAME)
    return before, contents(trained.logdir), done, folder


def test_process_leaves_results_and_changes_nothing_else(trained, evaluated):
    before, after, (code, out, err), folder = evaluated
    assert (code, out) == (cli.EXIT_OK, ""), err
    new = {name for name in after if name not in before}
    assert new == {
        f"eval/{NAME}/{name}"
        for name in (
            "results.json",
            "tasks.csv",
            "samples.png",
            "curve_steps.png",
            "curve_shots.png",
        )
    }
    assert {name: after[name] for name in before} == before
    results = json.loads((folder / "results.json").read_text())
    run = trained_runs.load_run(trained.logdir)
    assert results["subject"]["weights"] == subject.weights_hash(run.vars)
    assert results["subject"]["meta_step"] == run.meta_step
    assert results["test_classes"] == list(run.split.test)
    assert f"nll_{NAME}: " in err
    assert f"results: {folder / 'results.json'}" in err


def test_numbers_say_what_they_are(evaluated):
    *_, folder = evaluated
    results = json.loads((folder / "results.json").read_text())
    found = results["metrics"][f"accuracy_{NAME}"]
    assert 0 <= found["mean"] <= 1
    assert found["n"] == 3
    assert results["critic"]["name"].startswith("critic_glyphs_10way_")
    assert results["real"]["held_out"]["images"] == 2  # one of each class
    assert results["command"].startswith("python -m tf_metagan.evaluate --run=")
    # Glyphs has 8 images of a class: a note in the place of numbers.
    assert "8 real images" in results["left_out"]["fid per task"]
    assert results["curves"]["shots"]["adapted"]["x"] == [1, 5]


def test_same_numbers_in_this_process(
    here, trained, judge, evaluated, tmp_path
):
    *_, folder = evaluated
    code, _, err = here(
        evaluate.COMMAND,
        f"--run={trained.logdir}",
        f"--critic={judge}",
        *SMALL,
        f"--output={tmp_path}",
    )
    assert code == cli.EXIT_OK, err
    first, second = (
        json.loads((path / "results.json").read_text())["metrics"]
        for path in (folder, tmp_path)
    )
    assert sorted(first) == sorted(second)
    for name, found in first.items():
        # Other threads may add in another order.
        np.testing.assert_allclose(
            second[name]["mean"], found["mean"], rtol=2e-2, atol=2e-2
        )


def test_second_start_finds_the_results(
    here, trained, judge, evaluated, caplog
):
    words = (f"--run={trained.logdir}", f"--critic={judge}", *SMALL)
    before = contents(trained.logdir)
    with caplog.at_level("INFO", logger="absl"):
        code, _, err = here(evaluate.COMMAND, *words)
    assert code == cli.EXIT_OK, err
    assert "already evaluated" in caplog.text
    assert contents(trained.logdir) == before


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, cli.EXIT_INTERRUPTED),
        (signal.SIGTERM, cli.EXIT_PREEMPTED),
    ],
)
def test_signals_keep_finished_tasks(
    trained, judge, tmp_path, number, expected
):
    words = (
        f"--run={trained.logdir}",
        f"--critic={judge}",
        "--tasks=2000",
        "--samples=8",
        "--curve_tasks=0",
        f"--output={tmp_path}",
    )
    with runs.spawn("tf_metagan.evaluate", *words) as started:
        try:
            while started.poll() is None and (
                len(list(tmp_path.rglob("task_*.npz"))) < 3
            ):
                time.sleep(0.01)
            started.send_signal(number)
            _, err = started.communicate(timeout=100)
        finally:
            started.kill()
    assert started.returncode == expected, err
    lines = (tmp_path / "tasks.csv").read_text().splitlines()
    parts = list(tmp_path.rglob("task_*.npz"))
    assert lines[0].startswith("task,class,label,nll,accuracy")
    assert 3 <= len(lines) - 1 <= len(parts) <= len(lines)
    assert not (tmp_path / "results.json").exists()


# Errors.


def fails(here, *words):
    code, _, err = here(evaluate.COMMAND, *words)
    return code, err


def test_missing_run_is_said(here):
    code, err = fails(here)
    assert code == cli.EXIT_USAGE
    assert "--run is missing" in err


def test_folder_without_run_is_said(here, tmp_path):
    code, err = fails(here, f"--run={tmp_path}")
    assert code == cli.EXIT_DATA
    assert "is not the folder of a run" in err


def test_missing_critic_names_the_command(here, trained, tmp_path):
    code, err = fails(
        here, f"--run={trained.logdir}", f"--cache_dir={tmp_path}", *SMALL
    )
    assert code == cli.EXIT_DATA
    assert "python -m tf_metagan.critic --dataset=glyphs" in err


def test_too_many_shots_are_said(here, trained, judge):
    code, err = fails(
        here,
        f"--run={trained.logdir}",
        f"--critic={judge}",
        "--shots=8",
        *SMALL,
    )
    assert code == cli.EXIT_USAGE, err
    assert "--shots=8 needs 9 images" in err


def test_quick_gives_way_to_what_is_given(here, trained, judge, tmp_path):
    code, _, err = here(
        evaluate.COMMAND,
        f"--run={trained.logdir}",
        f"--critic={judge}",
        "--quick",
        "--tasks=2",
        "--curve_tasks=0",
        f"--output={tmp_path}",
    )
    assert code == cli.EXIT_OK, err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["protocol"]["name"] == "2tasks_256_10steps"
    assert results["curves"] == {}


# The table.


@pytest.mark.slow
def test_table_trains_and_evaluates(judge, tmp_path):
    """A table of one row on glyphs, by the real commands."""
    flags = tmp_path / "toy_glyphs.flags"
    flags.write_text("\n".join(runs.flags(**runs.TOY, meta_steps=3)) + "\n")
    cache = tmp_path / "cache"
    (cache / "tf_metagan" / "critics").mkdir(parents=True)
    (cache / "tf_metagan" / "critics" / "glyphs-small").symlink_to(judge)
    code = (
        "import sys; from tf_metagan import cli, table;"
        "from tf_metagan.evaluation import systems;"
        f"row = systems.Row('toy', 'Toy', {str(tmp_path)!r} + "
        "'/toy_{dataset}.flags', 1);"
        "systems.ROWS = (row,);"
        "sys.exit(cli.run(table.COMMAND, sys.argv[1:]))"
    )
    words = (
        "--rows=toy",
        "--datasets=glyphs",
        "--shot_rows=",
        "--quick",
        "--nocurves",
        f"--runs_dir={tmp_path}/runs",
    )
    for _ in range(2):  # the second finds everything
        code_, _, err = runs.process(
            "", *words, code=code, XDG_CACHE_HOME=str(cache)
        )
        assert code_ == cli.EXIT_OK, err
    content = json.loads((tmp_path / "runs" / "table.json").read_text())
    real, unseen, toy = content["cells"]
    assert real["row"] == unseen["row"] == "real"
    assert toy["facts"]["meta_step"] == 3
    assert toy["facts"]["protocol"] == "32tasks_256_1steps"
    assert 0 <= toy["values"]["accuracy"]["mean"] <= 1
    log = (tmp_path / "runs" / "glyphs_toy.log").read_text()
    assert log.count("meta-steps done") == 1
    assert "already evaluated" in log
    text = (tmp_path / "runs" / "table.md").read_text()
    assert "| Toy |" in text
    assert toy["problem"] == ""
