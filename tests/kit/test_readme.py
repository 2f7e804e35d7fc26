"""The commands of export/README.md, as they stand there, in their order."""

import re
import shutil
import subprocess

import PIL.Image
import pytest

from tests import runs
from tests.kit import commands

README = runs.ROOT / "export" / "README.md"
ADDONS = runs.ROOT / ".venv-addons"

# Neither is at hand: the files that they are given must exist.
STUB = """#!/bin/sh
for word; do
    case "$word" in *export/*) test -e "${word#*=}" || exit 1 ;; esac
done
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Copy the kit beside a folder of pictures: (folder, environment)."""
    folder = tmp_path_factory.mktemp("readme")
    ignored = shutil.ignore_patterns("models", "adapt", "__pycache__")
    shutil.copytree(runs.ROOT / "export", folder / "export", ignore=ignored)
    if ADDONS.exists():
        (folder / ADDONS.name).symlink_to(ADDONS)
    pictures = runs.write_pictures(folder / "FOLDER", 3, size=32)
    for path in pictures:
        with PIL.Image.open(path) as picture:
            picture.save(path.with_suffix(".pgm"))
    stubs = folder / "stubs"
    stubs.mkdir()
    for name in ("docker", "kubectl"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    return folder, commands.environment(folder, root=runs.ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("step", commands.steps(README.read_text()), ids=str)
def test_command_does_what_it_says(workspace, step):
    folder, environment = workspace
    command = step.command
    if command == "make addons":
        pytest.skip("CI does it before the tests: .ci/run")
    if ".venv-addons" in command and not ADDONS.exists():
        pytest.skip("no .venv-addons: make addons (Python 3.11)")
    if "export/c" in command and not shutil.which("cc"):
        pytest.skip("no C compiler: apt install gcc make")
    commands.run(step, folder, environment)
    written = re.search(r"--output=(\S+)|\smore\.pgm", command)
    if written:
        path = folder / (written[1] or "more.pgm")
        assert path.is_dir() or path.stat().st_size > 500
        if path.is_file():
            path.unlink()


def test_stub_notices_a_file_that_is_not_there(workspace):
    folder, environment = workspace
    for name, code in (("models.config", 0), ("absent.config", 1)):
        word = f"--from-file=export/tf_serving/{name}"
        done = subprocess.run(
            ["kubectl", word], cwd=folder, env=environment, check=False
        )
        assert done.returncode == code


def test_table_names_every_folder_of_the_kit():
    named = re.findall(r"^\| `(\w+)/` \|", README.read_text(), re.M)
    found = {path.name for path in (runs.ROOT / "export").iterdir()}
    assert found - {"models", "README.md"} <= set(named)


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README.read_text()):
        assert (README.parent / link).exists()
