"""Tables of parts and their lazy import."""

import importlib.util
import subprocess
import sys

import pytest

from tf_metagan import config, fields, registry

TABLES = {
    name: value
    for name, value in vars(registry).items()
    if isinstance(value, registry.Table)
}


def make_table():
    return registry.Table(
        "number",
        {"pi": "math:pi", "log": "math:log"},
        flag="number",
        families={"any:": "math:tau"},
    )


def test_find_returns_the_object_that_the_table_names():
    import math

    assert registry.find(make_table(), "log") is math.log
    assert registry.find(make_table(), "any:thing") == math.tau


def test_find_unknown_name_lists_known_ones_and_the_nearest():
    with pytest.raises(
        ValueError,
        match=r"--number=lgo is not the name of a known number\. "
        r"Known: pi, log, any:NAME\. Did you mean 'log'\?",
    ):
        registry.find(make_table(), "lgo")


def test_find_far_name_suggests_nothing():
    with pytest.raises(ValueError, match=r"Known: pi, log, any:NAME\.$"):
        registry.find(make_table(), "qqqqqqq")


@pytest.mark.parametrize("name", ["any:", "any", "", "PI", "xany:thing"])
def test_family_needs_its_prefix_and_a_name(name):
    assert name not in make_table()
    with pytest.raises(ValueError, match="is not the name of a known number"):
        registry.find(make_table(), name)


def test_iteration_gives_names_in_written_order_without_families():
    assert list(make_table()) == ["pi", "log"]
    assert len(make_table()) == 2


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_belongs_to_a_setting(table):
    setting = fields.describe(config.Config)[table.flag]
    assert setting.choices is table
    assert setting.default in table


ENTRIES = [(table, name) for table in TABLES.values() for name in table]


@pytest.mark.parametrize(
    ("table", "name"), ENTRIES, ids=[f"{t.flag}-{n}" for t, n in ENTRIES]
)
def test_every_entry_can_be_found_and_called(table, name):
    assert callable(registry.find(table, name))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_families_can_be_found(table):
    for prefix in table.families:
        assert callable(registry.find(table, f"{prefix}anything"))


def test_reading_the_tables_imports_nothing_heavy():
    code = (
        "import sys; from tf_metagan import registry; "
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    # The names above are those of modules that exist.
    assert importlib.util.find_spec("tensorflow")
    assert importlib.util.find_spec("keras")
