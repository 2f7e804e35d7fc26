"""The notebook does what it shows."""

import json
import subprocess
import sys

import pytest

from tests import runs
from tests.kit import commands

NOTEBOOK = runs.ROOT / "docs" / "first_steps.ipynb"
CELLS = [
    cell
    for cell in json.loads(NOTEBOOK.read_text())["cells"]
    if cell["cell_type"] == "code"
]
TRUE = "equal requests, equal answers: True"


def test_notebook_was_executed_from_its_beginning():
    assert [cell["execution_count"] for cell in CELLS] == [
        1 + place for place in range(len(CELLS))
    ]
    shown = [out for cell in CELLS for out in cell["outputs"]]
    assert {out["output_type"] for out in shown} <= {
        "execute_result",
        "stream",
    }
    assert sum("image/png" in out.get("data", {}) for out in shown) == 2
    assert TRUE in json.dumps(shown)


@pytest.mark.slow
def test_cells_run_one_after_the_other(tmp_path):
    program = "\n".join("".join(cell["source"]) for cell in CELLS)
    # In a notebook the last expression of a cell is shown; here it is not.
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=commands.environment(tmp_path, root=runs.ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert TRUE in done.stdout
