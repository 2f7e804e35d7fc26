"""Guide, README and the other pages, followed literally one after the other."""

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
OTHERS = (
    "demo",
    "evaluation",
    "export",
    "serving",
    "latent",
    "internal",
    "results",
    "python",
)
DOCUMENTS = [
    *(GUIDE / f"{page}.md" for page in PAGES),
    runs.ROOT / "README.md",
    *(runs.ROOT / "docs" / f"{page}.md" for page in OTHERS),
]
STEPS: dict[commands.Step, str] = {}  # {step: where it stands first}
for document in DOCUMENTS:
    for found in commands.steps(document.read_text()):
        STEPS.setdefault(found, document.stem)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Copy the repository to a folder of its own: (folder, environment)."""
    folder = tmp_path_factory.mktemp("guide")
    ignored = shutil.ignore_patterns("pretrained", "__pycache__")
    for name in ("tf_metagan", "tests", "benchmarks", "docs"):
        shutil.copytree(runs.ROOT / name, folder / name, ignore=ignored)
    pretrained = runs.ROOT / "tf_metagan/pretrained"
    (folder / "tf_metagan/pretrained").symlink_to(pretrained)
    (folder / "flags").symlink_to(runs.ROOT / "flags")
    # The documents' names of what their reader has.
    (folder / "MY_CLASSES").symlink_to("MY_IMAGES")
    runs.write_pictures(folder / "FOLDER", 3, size=32)
    photographs = runs.write_pictures(
        folder / "PHOTOS", 11, mode="RGB", size=32
    )
    (folder / "MY_PHOTOS").symlink_to("PHOTOS")
    for name, path in zip(("a.jpg", "b.jpg"), photographs, strict=False):
        (folder / name).symlink_to(path)
    return folder, commands.environment(folder, root=folder)


@pytest.fixture(scope="module")
def servers():
    """Yield the servers that the documents started; the last one answers."""
    running = []
    yield running
    for started in running:
        commands.stop(started)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [pytest.param(s, id=f"{page}: {s}") for s, page in STEPS.items()]
)
def test_step_works(workspace, servers, step):
    folder, environment = workspace
    if obstacle := commands.obstacle(step.command or step.text):
        pytest.skip(obstacle)
    if "--listen=" in step.command:  # at the address of an earlier one
        for earlier in servers:
            commands.stop(earlier)
    if started := commands.run(step, folder, environment):
        servers.append(started)
    if written := re.search(r"--(?:output|logdir)=(\S+)", step.command):
        path = folder / written[1]
        assert path.is_dir() or path.stat().st_size > 500


def test_every_page_is_followed():
    assert {path.stem for path in GUIDE.glob("*.md")} == set(PAGES)
    others = {
        path.stem
        for path in (runs.ROOT / "docs").glob("*.md")
        if commands.steps(path.read_text())
    }
    assert others == set(OTHERS)


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
    text = "".join(map(str, STEPS))
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
