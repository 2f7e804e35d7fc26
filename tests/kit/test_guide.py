"""The guide, followed literally from page to page, and the README."""

import re
import shutil

import pytest

from tests import runs
from tests.kit import commands

GUIDE = runs.ROOT / "docs" / "guide"
PAGES = (
    "own_images",
    "algorithms",
    "evaluate",
    "serve",
    "new_algorithm",
)
DOCUMENTS = [*(GUIDE / f"{page}.md" for page in PAGES), runs.ROOT / "README.md"]
STEPS = [
    pytest.param(step, id=f"{page.stem}: {step}")
    for page in DOCUMENTS
    for step in commands.steps(page.read_text())
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Copy the package to a folder of its own: (folder, environment)."""
    folder = tmp_path_factory.mktemp("guide")
    ignored = shutil.ignore_patterns("pretrained", "__pycache__")
    package = folder / "tf_metagan"
    shutil.copytree(runs.ROOT / "tf_metagan", package, ignore=ignored)
    (package / "pretrained").symlink_to(runs.ROOT / "tf_metagan/pretrained")
    (folder / "flags").symlink_to(runs.ROOT / "flags")
    # The README's names of what its reader has.
    (folder / "MY_CLASSES").symlink_to("MY_IMAGES")
    runs.write_pictures(folder / "FOLDER", 3, size=32)
    return folder, commands.environment(folder, root=folder)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_step_of_the_guide_works(workspace, step):
    folder, environment = workspace
    if obstacle := commands.obstacle(step.command):
        pytest.skip(obstacle)
    commands.run(step, folder, environment)
    if written := re.search(r"--(?:output|logdir)=(\S+)", step.command):
        path = folder / written[1]
        assert path.is_dir() or path.stat().st_size > 500


def test_every_page_is_followed():
    assert {path.stem for path in GUIDE.glob("*.md")} == set(PAGES)


@pytest.mark.parametrize(
    "page",
    sorted(
        [*(runs.ROOT / "docs").rglob("*.md"), runs.ROOT / "README.md"],
    ),
    ids=lambda path: str(path.relative_to(runs.ROOT)),
)
def test_links_of_documents_lead_somewhere(page):
    links = r"(?:\]\(|src=\"|srcset=\")([^)#\"]+)"
    for link in re.findall(links, page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), link


def test_what_is_made_smaller_is_run_by_the_documents():
    text = "".join(path.read_text() for path in GUIDE.glob("*.md"))
    for program in commands.SMALLER:
        assert commands.smaller(f"python -m {program}") != program
        assert program in text


def test_comments_and_files_are_told_from_commands():
    text = """
```sh
one --a \\
  --b   # a comment

two
```
```python
# a/b.py

x = 1
```
```python
>>> x
```
"""
    assert [*map(str, commands.steps(text))] == ["one --a --b", "two", "a/b.py"]
    assert commands.steps(text)[2].text == "x = 1\n"


def test_failing_command_fails(tmp_path):
    environment = commands.environment(tmp_path, root=runs.ROOT)
    step = commands.Step("echo no such thing; exit 3")
    with pytest.raises(AssertionError, match="no such thing"):
        commands.run(step, tmp_path, environment)
