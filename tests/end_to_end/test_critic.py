"""python -m tf_metagan.critic: trained once, found afterwards."""

import functools
import json
import pathlib

import numpy as np
import pytest

from tests import runs
from tf_metagan import cli, critic
from tf_metagan.data import base, glyphs
from tf_metagan.metrics import critic as critics

SMALL = {
    "dataset": "glyphs",
    "num_classes": 4,
    "images_per_class": 40,
    "image_size": 16,
    "widths": "8,8,16,16",
    "steps": 100,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """Folder of caches that the tests of this file share."""
    return tmp_path_factory.mktemp("critics")


@pytest.fixture(scope="module")
def trained(cache_dir):
    """Return a critic that a fresh process trained: (process, critic)."""
    done = runs.process(
        critic.COMMAND.module, *runs.flags(**SMALL, cache_dir=cache_dir)
    )
    assert done[0] == cli.EXIT_OK, done[2]
    return done, load(cache_dir)


def load(cache_dir, **changes):
    given = {"dataset": "glyphs", "image_size": 16, **changes}
    return critics.load(cache_dir=str(cache_dir), **given)


def files(folder):
    """Return when each file of the critics was last written."""
    return {p: p.stat().st_mtime_ns for p in pathlib.Path(folder).rglob("*.*")}


def images(cache_dir):
    return glyphs.load(
        image_size=16,
        channels=1,
        num_classes=4,
        images_per_class=40,
        cache_dir=str(cache_dir),
    )


def test_process_says_what_it_made(trained):
    (_, out, err), made = trained
    assert out == ""
    assert "INFO:absl:4 classes, 144 images to learn from, 16 held out" in err
    last = err.splitlines()[-1]
    share = 100 * made.held_out_accuracy
    assert last.startswith(
        f"INFO:absl:{made.name}: {share:.2f} % of 16 held-out images right, NLL"
    )


def test_critic_knows_more_than_chance(trained, cache_dir):
    _, made = trained
    # Of 16 images guessed at with chance 1/4, eleven are right in 5 of 10,000.
    assert made.held_out_accuracy >= 11 / 16
    assert made.classes == (0, 1, 2, 3)


def test_card_holds_for_the_files(trained, cache_dir):
    _, made = trained
    source = images(cache_dir)
    held = [
        base.images_of(source, label)[index]
        for label, index in made.held_out.items()
    ]
    accuracy, nll = critics.examine(
        made,
        base.to_range(np.concatenate(held)),
        np.repeat(np.arange(4), [len(h) for h in held]),
    )
    assert accuracy == made.held_out_accuracy
    assert nll == pytest.approx(made.card.held_out_nll, rel=1e-3)


def test_card_records_what_trained_it(trained):
    _, made = trained
    recorded = made.card.settings
    assert {name: recorded[name] for name in ("steps", "batch_size")} == {
        "steps": 100,
        "batch_size": 16,
    }
    assert recorded["num_classes"] == 4
    assert recorded["channels"] == 1
    assert "cache_dir" not in recorded
    assert made.card.versions["tensorflow"]


@pytest.mark.parametrize("given", [SMALL, {"dataset": "glyphs"}])
def test_a_critic_that_is_there_is_not_trained_again(
    trained, cache_dir, here, caplog, given
):
    before = files(cache_dir)
    words = runs.flags(**{**given, "image_size": 16}, cache_dir=cache_dir)
    code, _, err = here(critic.COMMAND, *words)
    assert code == cli.EXIT_OK, err
    assert trained[1].name in caplog.text
    assert "It was there; --retrain makes a new one." in caplog.text
    assert files(cache_dir) == before


def test_another_setting_trains_another(trained, cache_dir, here):
    before = files(cache_dir)
    quick = {**SMALL, "steps": 2}
    code, _, err = here(
        critic.COMMAND, *runs.flags(**quick, cache_dir=cache_dir)
    )
    assert code == cli.EXIT_OK, err
    after = files(cache_dir)
    assert {p: after[p] for p in before} == before
    (new,) = (p.parent for p in set(after) - set(before) if p.suffix == ".json")
    assert critics.read(new).card.settings["steps"] == 2
    code, _, err = here(
        critic.COMMAND, *runs.flags(**quick, cache_dir=cache_dir), "--retrain"
    )
    assert code == cli.EXIT_OK, err
    again = files(cache_dir)
    assert again.keys() == after.keys()
    assert {p for p in again if again[p] != after[p]} == set(new.iterdir())
    for path in new.iterdir():
        path.unlink()
    new.rmdir()


def test_output_is_a_folder_of_ones_own(cache_dir, here, caplog, tmp_path):
    words = runs.flags(**{**SMALL, "steps": 1}, cache_dir=cache_dir)
    output = tmp_path / "mine"
    code, _, err = here(critic.COMMAND, *words, f"--output={output}")
    assert code == cli.EXIT_OK, err
    card = json.loads((output / "critic.json").read_text())
    assert "output" not in card["settings"]
    made = load(cache_dir, folder=str(output))
    assert made.name in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset=mnits"], "--dataset=mnits is not a known choice"),
        (["--classes=1"], "--classes=1 cannot be told apart"),
        (["--examine_on=test_split"], "Use --examine_on=share."),
        (["--data_dir=x"], "--data_dir=x has no effect with --dataset=glyphs"),
        (["--batch_size=1000"], "--batch_size=1000 is more than the 144"),
        (["--images_per_class=1"], "expected at least 2, one to learn from"),
    ],
)
def test_mistakes_are_told_in_one_line(
    cache_dir, here, tmp_path, words, message
):
    given = runs.flags(**SMALL, cache_dir=cache_dir, output=tmp_path / "no")
    code, _, err = here(critic.COMMAND, *given, *words)
    assert code == cli.EXIT_USAGE
    last, hint = err.splitlines()[-2:]
    assert last.startswith("tf_metagan.critic: ")
    assert message in last
    assert hint == "Settings: python -m tf_metagan.critic --help"
    assert not (tmp_path / "no").exists()


def test_share_of_a_test_split_is_refused(here, caplog, tmp_path, monkeypatch):
    plain = glyphs.load

    @functools.wraps(plain)
    def with_test_split(**given):
        source = plain(**given)
        return source._replace(test_images=np.full(len(source.label), 3))

    monkeypatch.setattr(glyphs, "load", with_test_split)
    words = runs.flags(**{**SMALL, "steps": 1}, cache_dir=tmp_path)
    code, _, err = here(critic.COMMAND, *words, "--held_out=0.2")
    assert code == cli.EXIT_USAGE
    assert "--held_out=0.2 has no effect with --examine_on=auto" in err
    code, _, err = here(critic.COMMAND, *words)
    assert code == cli.EXIT_OK, err
    assert "148 images to learn from, 12 held out" in caplog.text


def test_help_does_not_import_tensorflow():
    code, out, err = runs.process(
        "",
        code="import sys, runpy\n"
        "sys.argv = ['critic', '--help']\n"
        "try:\n"
        "    runpy.run_module('tf_metagan.critic', run_name='__main__')\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules\n",
    )
    assert (code, err) == (cli.EXIT_OK, "")
    assert "usage: python -m tf_metagan.critic" in out
    assert "--learn_along=false" in out
