"""The critics that come with the package are as good as their cards say."""

import os
import pathlib

import numpy as np
import pytest

import tf_metagan
from tf_metagan import settings as settings_lib
from tf_metagan.critic import CriticConfig
from tf_metagan.data import base, tfds_images
from tf_metagan.metrics import critic as critics
from tf_metagan.metrics import critic_data

ROOT = pathlib.Path(tf_metagan.__file__).parents[1]
SHIPPED = ("mnist", "omniglot")
OMNIGLOT_TEST = range(964, 1623)

# What the paper's critics reach.
LEAST = {"mnist": 0.994, "omniglot": 0.817}


def test_every_critic_of_the_package_is_examined_here():
    assert sorted(p.name for p in critics._SHIPPED.iterdir()) == list(SHIPPED)


@pytest.fixture(scope="module", params=SHIPPED)
def critic(request, tmp_path_factory):
    """Each critic of the package, beside an empty cache."""
    cache_dir = str(tmp_path_factory.mktemp("cache"))
    return critics.load(dataset=request.param, cache_dir=cache_dir)


def test_classes_are_those_of_the_papers_table(critic):
    wanted = {"mnist": range(10), "omniglot": OMNIGLOT_TEST}
    assert critic.classes == tuple(wanted[critic.card.dataset])


def test_cards_reach_the_papers_accuracy(critic):
    assert critic.held_out_accuracy >= LEAST[critic.card.dataset]


def test_held_out_images_are_as_many_as_the_protocol_has(critic):
    wanted = {"mnist": 10_000, "omniglot": 1_318}
    assert critic.num_held_out == wanted[critic.card.dataset]
    assert tuple(critic.held_out) == critic.classes


def test_files_are_small(critic):
    folder = critics._SHIPPED / critic.card.dataset
    assert sum(p.stat().st_size for p in folder.iterdir()) < 1_500_000


def test_flag_files_repeat_the_cards(critic):
    path = ROOT / "flags" / f"critic_{critic.card.dataset}.flags"
    lines = path.read_text().splitlines()
    given = [line[2:] for line in lines if line.startswith("--")]
    flags = dict(word.partition("=")[::2] for word in given)
    described = settings_lib.fields.describe(CriticConfig)
    for name, text in flags.items():
        value = settings_lib.fields.parse(described[name], text or "true")
        assert critic.card.settings[name] == value, name
    default = CriticConfig()
    for name in set(critic.card.settings) - set(flags) - {"channels"}:
        stored = critic.card.settings[name]
        stored = tuple(stored) if isinstance(stored, list) else stored
        assert stored == getattr(default, name), name


# What follows reads real data.


@pytest.fixture(scope="module")
def source(critic):
    """Return the images of a critic's data set, or skip."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder:
        pytest.skip("real data: set TFDS_DATA_DIR to a folder that has them")
    return tfds_images.load(
        dataset=critic.card.dataset, image_size=32, channels=1
    )


def test_held_out_images_are_those_of_the_data_set(critic, source):
    rows = base.class_rows(source, critic.classes)
    sizes = np.diff(source.first)[rows]
    assert critic.card.num_images == tuple(sizes.tolist())
    settings = critic.card.settings
    on_split = critic_data.uses_test_split(source, settings["examine_on"])
    division = critic_data.divide(
        source,
        classes=settings["classes"],
        learn_along=settings["learn_along"],
        held_out=None if on_split else settings["held_out"],
        seed=settings["seed"],
    )
    assert division.held_out == critic.card.held_out
    assert on_split == (critic.card.dataset == "mnist")


def test_held_out_accuracy_is_reached(critic, source):
    held = [
        base.to_range(base.images_of(source, label)[index])
        for label, index in critic.held_out.items()
    ]
    column = np.repeat(np.arange(len(held)), [len(h) for h in held])
    images = np.concatenate(held)
    accuracy, nll = critics.examine(critic, images, column)
    # Another build may round one or two doubtful images to the other side.
    assert abs(accuracy - critic.held_out_accuracy) <= 2.5 / len(images)
    assert nll == pytest.approx(critic.card.held_out_nll, rel=0.01)
    twin, _ = critics.examine(critic, images, (column + 1) % len(held))
    assert twin < 0.05  # columns off by one class


def test_dark_strokes_on_a_bright_ground_are_not_known(critic, source):
    label = critic.classes[0]
    images = base.to_range(base.images_of(source, label))
    column = np.zeros(len(images), int)
    right, _ = critics.examine(critic, images, column)
    inverted, _ = critics.examine(critic, -images, column)
    assert inverted < right - 0.3
