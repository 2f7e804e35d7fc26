"""Which part may import which, read from the source."""

import ast
import pathlib
import subprocess
import sys

import pytest

import tf_metagan
from tf_metagan import registry

ROOT = pathlib.Path(tf_metagan.__file__).parent

# {part: parts it may import, besides files of its own folder}. "core" stands
# for every file of the folder, "core.rng" for one file.
ALLOWED = {
    "__init__": (),
    "types": (),
    "registry": (),
    "versions": ("__init__",),
    "fields": ("registry",),
    "settings": ("fields", "registry", "versions"),
    "setting_flags": ("fields", "settings"),
    "config": ("fields", "registry"),
    "cli": ("fields", "setting_flags", "settings", "versions"),
    "core": ("types",),
    "gan": ("types", "core"),
    "architectures": ("gan", "core"),
    "algorithms": ("core", "types"),
    "data": ("core.rng", "types"),
    "metrics": ("core.numerics", "types"),
    "metrics.critic": ("data.atomic", "data.cache"),
    "metrics.critic_data": ("data.base",),
    "metrics.critic_training": ("core.rng", "data.warp"),
    "learner": ("core.tree", "types"),
    "checkpoints": ("learner",),
    "workers": ("cli",),
    "pictures": (),
    "stopwatch": (),
    "board": (),
    "report": ("core.tree", "types", "pictures", "board", "stopwatch"),
    "serve": ("serving",),
    "serving": (),
    "chart": (),
    "evaluation": (
        "types",
        "core.rng",
        "data",
        "metrics",
        "chart",
        "pictures",
        "versions",
        "config",
        "fields",
        "settings",
        "assembly",
        "trained_runs",
        "serve",
        "stopwatch",
    ),
    "demo_page": (
        "algorithms.base",
        "assembly",
        "photograph_loading",
        "trained_runs",
        "config",
        "core.functional",
        "core.rng",
        "core.rollout",
        "data.base",
        "data.picture_files",
        "data.pixels",
        "data.prepared",
        "exporting",
        "metrics.memorisation",
        "sampling",
        "serving",
        "settings",
        "types",
    ),
    "exporting": (
        "types",
        "photograph_loading",
        "core.rng",
        "data.base",
        "pictures",
        "versions",
        "config",
        "fields",
        "settings",
        "assembly",
        "trained_runs",
        "sampling",
        "evaluation.store",
        "evaluation.subject",
        "serve",
    ),
}

NO_TENSORFLOW = (
    "__init__",
    "registry",
    "versions",
    "settings",
    "setting_flags",
    "config",
    "cli",
)


def files():
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
    }


FILES = files()
PARTS = {
    place.split(":")[0].removeprefix("tf_metagan.")
    for table in vars(registry).values()
    if isinstance(table, registry.Table)
    for place in (*table.values(), *table.families.values())
    if place.startswith("tf_metagan.")
}


def imported(source, known):
    """Return our parts that a source imports, at its top or inside functions.

    Args:
      source: Python code.
      known: names of all our files, "core.rng".

    Returns:
      Set of such names; the package itself is "__init__".
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not any(name.endswith(".*") for name in names), "import *"
        else:
            continue
        for name in names:
            if name.split(".")[0] == "tf_metagan":
                found.add(_file_of(name.removeprefix("tf_metagan"), known))
    return found


def _file_of(name, known):
    words = name.strip(".").split(".")
    for end in range(len(words), 0, -1):
        candidate = ".".join(words[:end])
        if candidate in known:
            return candidate
        if f"{candidate}.__init__" in known:
            return f"{candidate}.__init__"
    return "__init__"


def folder(name):
    return name.rpartition(".")[0]


def forbidden(name, imports):
    """Return those of a file's imports that its rule in ALLOWED excludes."""
    rule = next((p for p in (name, folder(name)) if p in ALLOWED), None)
    if rule is None:
        return set()
    return {
        other
        for other in imports
        if not (folder(name) and folder(other) == folder(name))
        and other not in ALLOWED[rule]
        and folder(other) not in ALLOWED[rule]
    }


def bypassing(name, imports):
    """Return those of a file's imports that only the registry may make."""
    return {
        other
        for other in imports & PARTS
        if not (folder(name) and folder(other) == folder(name))
    }


@pytest.mark.parametrize("name", FILES)
def test_imports_go_in_the_allowed_direction(name):
    imports = imported(FILES[name].read_text(), FILES)
    assert forbidden(name, imports) == set()


@pytest.mark.parametrize("name", FILES)
def test_parts_are_reached_through_the_registry_only(name):
    imports = imported(FILES[name].read_text(), FILES)
    assert bypassing(name, imports) == set()


def test_every_folder_has_a_rule():
    folders = {folder(name) for name in FILES} - {""}
    assert folders <= set(ALLOWED)


def test_imports_have_no_cycle():
    graph = {
        name: imported(path.read_text(), FILES) - {name, "__init__"}
        for name, path in FILES.items()
    }
    done = set()
    while ready := {n for n in graph if n not in done and graph[n] <= done}:
        done |= ready
    assert set(graph) - done == set()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core.rng", "from tf_metagan.gan import losses"),
        ("core.rng", "import tf_metagan.gan.losses"),
        ("types", "from tf_metagan.core import tree"),
        ("serve", "def f():\n    from tf_metagan import settings"),
        ("serve", "import tf_metagan"),
        ("serving.model", "from tf_metagan import versions"),
        ("data.base", "from tf_metagan.core import tree"),
        ("algorithms.maml", "from tf_metagan.gan import game"),
        ("learner", "from tf_metagan.algorithms import base"),
    ],
)
def test_the_rule_of_directions_sees_violations(name, source):
    assert forbidden(name, imported(source, FILES))


def test_the_rule_of_the_registry_sees_violations():
    imports = imported("from tf_metagan.algorithms.maml import Maml", FILES)
    assert bypassing("train", imports) == {"algorithms.maml"}
    assert bypassing("algorithms.fomaml", imports) == set()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from . import tree", "relative import"),
        ("from tf_metagan.core import *", "import \\*"),
    ],
)
def test_relative_and_star_imports_are_refused(source, message):
    with pytest.raises(AssertionError, match=message):
        imported(source, FILES)


@pytest.mark.parametrize("name", NO_TENSORFLOW)
def test_configuration_does_not_import_tensorflow(name):
    module = "tf_metagan" if name == "__init__" else f"tf_metagan.{name}"
    assert "tensorflow" not in modules_after(f"import {module}")


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_public_names_are_lazy():
    assert "tensorflow" not in modules_after("from tf_metagan import Config")
    assert "tensorflow" in modules_after("from tf_metagan import TaskBatch")


def test_public_names_exist_and_are_listed():
    assert dir(tf_metagan) == sorted(tf_metagan.__all__)
    for name in tf_metagan.__all__:
        assert getattr(tf_metagan, name) is not None


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Maml'"):
        _ = tf_metagan.Maml
