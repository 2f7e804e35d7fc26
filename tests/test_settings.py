"""Settings: reading, precedence, use, writing and loading."""

import dataclasses
import json
import os

import pytest
from absl import flags
from hypothesis import given
from hypothesis import strategies as st

from tf_metagan import config, fields, registry, setting_flags, settings

NUMBERS = registry.Table(
    "number",
    {"pi": "math:pi", "log": "math:log"},
    flag="number",
    families={"any:": "math:tau"},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One setting of each type."""

    number: str = fields.setting("pi", "A table.", section="A", choices=NUMBERS)
    colour: str = fields.setting(
        "red", "A choice.", section="A", choices=("red", "green")
    )
    text: str | None = fields.setting(None, "A text.", section="A")
    steps: int = fields.setting(
        1, "A count.", section="A", interval="[0, inf)", chosen_by="number"
    )
    limit: int | None = fields.setting(
        None, "A count or none.", section="B", interval="[1, 9]"
    )
    rate: float = fields.setting(
        0.1, "A rate.", section="B", interval="(0, inf)"
    )
    decay: float | None = fields.setting(
        None, "A decay.", section="B", interval="[0, 1)"
    )
    fast: bool = fields.setting(False, "A switch.", section="B")
    patterns: tuple[str, ...] = fields.setting(("*",), "Texts.", section="B")
    classes: tuple[int, ...] | None = fields.setting(
        None, "Ids.", section="B", interval="[0, inf)"
    )
    folder: str | None = fields.setting(
        None,
        "A folder.",
        section="B",
        alias="directory",
        environment="EXAMPLE_FOLDER",
        path=True,
    )

    def __post_init__(self):
        fields.check_all(self)


DESCRIBED = fields.describe(Example)


def read(*argv, environment=None):
    """Return the settings of a command line."""
    values = flags.FlagValues()
    setting_flags.define_flags(values, Example)
    assert values(["program", *argv]) == ["program"]
    return setting_flags.from_flags(
        values, Example, environment=environment or {}
    )


def given_settings(**values):
    return settings.Settings(Example, [(values, True)])


VALUES = {
    "number": st.sampled_from(["pi", "log", "any:x"]),
    "colour": st.sampled_from(["red", "green"]),
    "steps": st.integers(min_value=0),
    "limit": st.none() | st.integers(1, 9),
    "rate": st.floats(
        min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False
    ),
    "decay": st.none() | st.floats(0, 1, exclude_max=True),
    "fast": st.booleans(),
    "patterns": st.lists(
        st.text("abcxyz/*[]-", min_size=1).filter(str.strip)
    ).map(tuple),
    "classes": st.none()
    | st.lists(st.integers(min_value=0), min_size=1).map(tuple),
}


# Reading and writing single values.


@given(data=st.data(), name=st.sampled_from(sorted(VALUES)))
def test_parse_inverts_serialize(data, name):
    value = data.draw(VALUES[name])
    text = fields.serialize(DESCRIBED[name], value)
    again = fields.parse(DESCRIBED[name], text)
    assert again == value
    assert type(again) is type(value)


def test_float_round_trip_needs_all_digits():
    value = 0.1 + 0.2
    text = fields.serialize(DESCRIBED["rate"], value)
    assert fields.parse(DESCRIBED["rate"], text) == value
    assert fields.parse(DESCRIBED["rate"], f"{value:.15g}") != value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("classes", "0-3,8", (0, 1, 2, 3, 8)),
        ("classes", "5-5", (5,)),
        ("classes", " 1 , 2 ", (1, 2)),
        ("classes", "none", None),
        ("classes", "", None),
        ("patterns", "g/up-1/*,d/*", ("g/up-1/*", "d/*")),
        ("patterns", "", ()),
        ("fast", "True", True),
        ("fast", "0", False),
        ("rate", "1e-4", 1e-4),
        ("rate", "3", 3.0),
        ("text", "None", None),
    ],
)
def test_parse_reads(name, text, value):
    assert fields.parse(DESCRIBED[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("steps", "x", "--steps=x is not possible: expected a whole number"),
        ("steps", "1.0", "--steps=1.0 is not possible"),
        ("steps", "-1", r"whole number >= 0\. The default is --steps=1"),
        ("steps", "none", "--steps=none is not possible"),
        ("limit", "10", r"whole number in \[1, 9\], or none"),
        ("rate", "0", r"number > 0\. The default is --rate=0\.1"),
        ("rate", "nan", "--rate=nan is not possible"),
        ("rate", "inf", "--rate=inf is not possible"),
        ("decay", "1", r"number in \[0, 1\), or none"),
        ("fast", "maybe", "expected true or false"),
        ("colour", "gren", r"Known: red, green\. Did you mean 'green'\?"),
        ("number", "any:", "is not a known choice. Known: pi, log, any:NAME"),
        ("classes", "3-1", r"a list, separated by commas.*3-7 stands for"),
        ("classes", "1,x", "--classes=1,x is not possible"),
        ("classes", "-1", "--classes=-1 is not possible"),
        ("classes", "1,,2", "--classes=1,,2 is not possible"),
    ],
)
def test_parse_refuses(name, text, message):
    with pytest.raises(ValueError, match=message):
        fields.parse(DESCRIBED[name], text)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("steps", 1.0, TypeError),
        ("steps", True, TypeError),
        ("steps", "1", TypeError),
        ("steps", None, TypeError),
        ("patterns", "abc", TypeError),
        ("patterns", ("a,b",), ValueError),
        ("text", "two\nlines", ValueError),
        ("rate", float("inf"), ValueError),
    ],
)
def test_config_made_in_python_is_checked(name, value, error):
    with pytest.raises(error, match=f"--{name}="):
        Example(**{name: value})


def test_config_made_in_python_accepts_lists_and_whole_rates():
    made = Example(patterns=["a", "b"], rate=2)
    assert made.patterns == ("a", "b")
    assert isinstance(made.rate, float)


def test_home_is_expanded_in_folders_only():
    home = os.path.expanduser("~")
    assert read("--folder=~/x").config.folder == f"{home}/x"
    assert read("--text=~/x").config.text == "~/x"


# The command line.


def test_defaults_without_flags():
    found = read()
    assert found.config == Example()
    assert found.given == ()


def test_given_knows_explicit_flags_even_at_their_default():
    assert read("--steps=1", "--nofast").given == ("steps", "fast")


def test_flagfile_counts_as_given_and_later_flags_win(tmp_path):
    path = tmp_path / "some.flags"
    path.write_text("# comment\n--steps=5\n--rate=0.5\n")
    found = read(f"--flagfile={path}", "--steps=6")
    assert found.given == ("steps", "rate")
    assert (found.config.steps, found.config.rate) == (6, 0.5)
    assert read("--steps=6", f"--flagfile={path}").config.steps == 5


def test_unknown_flag_is_refused_by_absl():
    with pytest.raises(flags.UnrecognizedFlagError, match="stepz"):
        read("--stepz=1")


def test_bad_value_is_refused_with_our_words():
    with pytest.raises(flags.IllegalFlagValueError, match="whole number >= 0"):
        read("--steps=-4")


def test_alias_sets_the_setting():
    found = read("--directory=/a")
    assert found.config.folder == "/a"
    assert found.given == ("folder",)


def test_alias_that_disagrees_is_refused():
    with pytest.raises(ValueError, match=r"--folder=/a and --directory=/b are"):
        read("--folder=/a", "--directory=/b")
    assert read("--folder=/a", "--directory=/a").config.folder == "/a"


# Precedence.


def test_environment_replaces_the_default_but_is_not_given():
    found = read(environment={"EXAMPLE_FOLDER": "/e"})
    assert found.config.folder == "/e"
    assert found.given == ()
    assert (
        read("--folder=/f", environment={"EXAMPLE_FOLDER": "/e"}).config.folder
        == "/f"
    )


def test_precedence_is_flag_environment_first_defaults_field():
    found = read("--steps=9", environment={"EXAMPLE_FOLDER": "/e"})
    own = {"steps": 2, "folder": "/d", "rate": 0.2}
    other = {"rate": 0.3, "colour": "green"}
    made = found.with_defaults(own).with_defaults(other).config
    assert made == Example(steps=9, folder="/e", rate=0.2, colour="green")


def test_defaults_do_not_become_given():
    found = read("--steps=9").with_defaults({"rate": 0.5})
    assert found.given == ("steps",)


def test_defaults_with_unknown_name_are_refused():
    with pytest.raises(
        ValueError, match=r"'step' is not a setting\..*Did you mean 'steps'"
    ):
        read().with_defaults({"step": 3})


def test_defaults_with_bad_value_are_refused():
    with pytest.raises(ValueError, match="--rate=-1"):
        read().with_defaults({"rate": -1})


# Use.


def test_call_fills_keyword_only_parameters_by_name():
    def part(colour, *, steps, rate=99.0, other=7, **rest):
        return colour, steps, rate, other, rest

    found = read("--steps=3")
    assert found.call(part, "blue") == ("blue", 3, 0.1, 7, {})
    assert found.used == ("steps", "rate")


def test_call_leaves_what_the_caller_gives():
    def part(*, steps, rate):
        return steps, rate

    found = read("--steps=3")
    assert found.call(part, steps=5) == (5, 0.1)
    assert found.used == ("rate",)


def test_call_makes_objects():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Part:
        steps: int
        fast: bool = True

    assert read("--steps=3").call(Part) == Part(steps=3, fast=False)


def test_call_with_prefix_fills_positional_and_ignores_underscores():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Outer:
        outer_rate: float = fields.setting(0.1, "R.", section="A")
        outer_beta1: float = fields.setting(0.5, "B.", section="A")
        rate: float = fields.setting(0.7, "R.", section="A")

    def optimizer(scale, rate, beta_1=0.9, beta_2=0.99):
        return scale, rate, beta_1, beta_2

    found = settings.Settings(Outer)
    assert found.call_with_prefix("outer_", optimizer, 2) == (
        2,
        0.1,
        0.5,
        0.99,
    )
    assert found.used == ("outer_rate", "outer_beta1")
    assert found.call_with_prefix("outer_", optimizer, 2, rate=1.0)[1] == 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", {"momentum": 0.25}),
        ("rmsprop", {"momentum": 0.25, "rho": 0.8, "epsilon": 1e-3}),
        ("adam", {"beta_1": 0.1, "beta_2": 0.2, "epsilon": 1e-3}),
        ("adamw", {"beta_1": 0.1, "beta_2": 0.2, "epsilon": 1e-3}),
        ("nadam", {"beta_1": 0.1, "beta_2": 0.2, "epsilon": 1e-3}),
        ("lion", {"beta_1": 0.1, "beta_2": 0.2}),
        ("lamb", {"beta_1": 0.1, "beta_2": 0.2, "epsilon": 1e-3}),
    ],
)
def test_keras_optimizers_get_the_outer_settings(name, expected):
    chosen = {
        "outer_optimizer": name,
        "outer_momentum": 0.25,
        "outer_rho": 0.8,
        "outer_beta1": 0.1,
        "outer_beta2": 0.2,
        "outer_epsilon": 1e-3,
        "outer_clip_norm": 1.0,
        "outer_clip_value": 1.0,
    }
    found = settings.Settings(config.Config, [(chosen, True)])
    made = found.call_with_prefix(
        "outer_", found.part("outer_optimizer"), learning_rate=0.5
    )
    values = made.get_config()
    assert {key: values[key] for key in expected} == expected
    # Clipping is not Keras's: it would clip each replica's share.
    assert made.clipnorm is made.clipvalue is made.global_clipnorm is None
    assert len(found.used) == 1 + len(expected)


def test_part_finds_in_the_table_and_counts_as_use():
    import math

    found = read("--number=log")
    assert found.part("number") is math.log
    assert found.used == ("number",)


def test_unused_given_setting_is_refused_by_name():
    found = read("--steps=3", "--colour=green", "--fast")
    found.take("colour")
    with pytest.raises(
        ValueError,
        match=r"--steps=3 has no effect with --number=pi\. Remove it, or "
        r"choose another --number\. --fast=true has no effect here\.",
    ):
        found.check_all_used()
    assert not found.built


def test_unused_defaults_are_allowed():
    found = read().with_defaults({"steps": 3})
    found.check_all_used()
    assert found.built


def test_reading_the_config_is_not_use():
    found = read("--steps=3")
    assert found.config.steps == 3
    with pytest.raises(ValueError, match="--steps=3 has no effect"):
        found.check_all_used()


def test_use_is_shared_with_settings_of_other_defaults():
    found = read("--steps=3")
    other = found.with_defaults({"rate": 0.5})
    other.take("steps")
    assert not found.built
    other.check_all_used()
    assert found.built


# Saving and loading.


def save(found, folder):
    for name in DESCRIBED:
        found.take(name)
    found.save(str(folder), command="some.module", devices=["/CPU:0"])


@given(data=st.data())
def test_run_flags_and_config_json_reload_exactly(tmp_path_factory, data):
    chosen = {name: data.draw(kind) for name, kind in VALUES.items()}
    found = given_settings(**chosen)
    folder = tmp_path_factory.mktemp("run")
    save(found, folder)
    assert read(f"--flagfile={folder}/run.flags").config == found.config
    assert settings.load(str(folder), Example).config == found.config


def test_run_flags_hold_what_had_an_effect_and_nothing_else(tmp_path):
    found = read("--fast")
    found.take("decay")
    found.save(str(tmp_path), command="some.module")
    lines = (tmp_path / "run.flags").read_text().splitlines()
    assert lines[1:] == ["--decay=none", "--fast=true"]
    assert lines[0] == (
        "# Repeats the run: python -m some.module "
        f"--flagfile={tmp_path}/run.flags"
    )


def test_config_json_records_everything(tmp_path):
    found = read("--steps=3").with_defaults({"rate": 0.5})
    save(found, tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["settings"]["steps"] == 3
    assert record["settings"]["rate"] == 0.5
    assert record["settings"]["patterns"] == ["*"]
    assert record["given"] == ["steps"]
    assert record["used"] == list(DESCRIBED)
    assert record["devices"] == ["/CPU:0"]
    assert record["command"] == "some.module"
    assert {"python", "tensorflow", "keras", "tf-metagan"} <= set(
        record["versions"]
    )
    assert "commit" in record


def test_loaded_values_withstand_defaults_and_are_not_given(tmp_path):
    save(read("--steps=3"), tmp_path)
    loaded = settings.load(str(tmp_path), Example)
    assert loaded.given == ()
    assert loaded.with_defaults({"steps": 7, "rate": 0.9}).config == Example(
        steps=3
    )


def test_load_gives_new_settings_their_default(tmp_path):
    save(read("--steps=3"), tmp_path)
    path = tmp_path / "config.json"
    record = json.loads(path.read_text())
    del record["settings"]["fast"]
    path.write_text(json.dumps(record))
    assert settings.load(str(tmp_path), Example).config == Example(steps=3)


def test_load_of_another_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a run"):
        settings.load(str(tmp_path), Example)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"settings": 3}',
        '{"settings": {"stepz": 3}}',
        '{"settings": {"steps": -3}}',
        '{"settings": {"steps": "3"}}',
    ],
)
def test_load_of_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    said = r"config\.json cannot be used: .*[^.]\. Expected the file"
    with pytest.raises(ValueError, match=said):
        settings.load(str(tmp_path), Example)


# The settings of training.


def test_flags_of_training_have_no_clash():
    values = flags.FlagValues()
    setting_flags.define_flags(values, config.Config)
    assert len(values) == len(fields.describe(config.Config)) + 1  # workdir
