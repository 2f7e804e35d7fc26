"""Memory of second-order gradients does not grow with the inner steps."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.algorithms import peak_memory

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(),
    reason="peaks are read from /proc, which Linux has",
)


def peak(steps, inner_loop="while"):
    """Return MB; freed memory goes back to the system at once."""
    done = subprocess.run(
        [sys.executable, "-m", peak_memory.__name__, str(steps), inner_loop],
        cwd=ROOT,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "MALLOC_MMAP_THRESHOLD_": str(2**16),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout)


def check(many, few):
    """Activations of one step dominate; states are a tenth at k = 50."""
    assert many < 2.0 * few


def test_fifty_steps_of_maml_need_the_memory_of_five():
    few = peak(5)
    assert few > 10.0  # else little more than noise is compared
    check(peak(50), few)
    with pytest.raises(AssertionError):
        check(peak(6, "unrolled"), few)
