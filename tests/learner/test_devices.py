"""A meta-step on several devices is the meta-step of one device."""

import json
import math
import os
import pathlib
import subprocess
import sys

import pytest

from tests.learner import several_devices

ROOT = pathlib.Path(__file__).parents[2]

# Sums in another order in double precision, then Adam's division.
TOLERANCE = 1e-12

FAST = ["fomaml@2", "reptile@2"]


def run(names, target):
    done = subprocess.run(
        [sys.executable, "-m", several_devices.__name__, str(target), *names],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(target.read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What several devices gave, for the cases that are fast."""
    target = tmp_path_factory.mktemp("devices") / "found.json"
    return run([*FAST, "local-mean@2"], target)


def check(case):
    """One, three and four tasks; every number that a step changes."""
    assert len(case["weights"]) == len(several_devices.TASKS)
    assert all(x < TOLERANCE for x in (*case["weights"], *case["metrics"]))


def check_copies(case):
    assert case["in_sync"] == [True] * len(several_devices.TASKS)
    assert case["copied"] > 8


@pytest.mark.parametrize("name", FAST)
def test_several_devices_equal_one(found, name):
    check(found[name])


def test_means_of_devices_are_noticed(found):
    """Three tasks on two devices, weighted 1/4, 1/2, 1/4, and one on two."""
    three, one, _ = found["local-mean@2"]["weights"]
    assert three > 1e-4
    assert math.isnan(one)
    with pytest.raises(AssertionError):
        check(found["local-mean@2"])


@pytest.mark.parametrize("name", FAST)
def test_copies_stay_the_same(found, name):
    check_copies(found[name])


@pytest.mark.parametrize("name", FAST)
def test_checkpoints_are_exchanged(found, name):
    assert found[name]["exchanged"] == [0.0] * 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maml@2", "reptile@4", "reptile-axis@2"])
def test_more_devices_and_second_order_equal_one(tmp_path, name):
    case = run([name], tmp_path / "found.json")[name]
    check(case)
    check_copies(case)
    assert case["exchanged"] == [0.0] * 4
