"""Which photographs a run takes, and in what shape."""

import types

import numpy as np
import PIL.Image
import pytest

from tf_metagan import photograph_loading, trained_runs
from tf_metagan.data import landscapes, photographs
from tf_metagan.exporting import photograph_terms

SIZE = 24


def run(*, one_task, known=True):
    """Return a run of photographs, as far as loading looks at it."""
    config = types.SimpleNamespace(image_size=SIZE, channels=3, algo="singan")
    game = types.SimpleNamespace(knows=lambda vars, image: known)
    return types.SimpleNamespace(
        settings=types.SimpleNamespace(config=config),
        algorithm=types.SimpleNamespace(game=game, one_task=one_task),
        vars=None,
    )


@pytest.fixture
def path(tmp_path):
    """Return a picture of an aspect that is not among those of training."""
    drawn = landscapes.draw(np.random.default_rng(0), 60)[:43]
    path = tmp_path / "odd.png"
    PIL.Image.fromarray(drawn).save(path)
    return path


def test_only_photograph_comes_as_it_was_trained_on(path):
    trained = photographs.load(
        image_size=SIZE,
        channels=3,
        image_folder=None,
        image=str(path),
        smallest_size=20,
    )

    def check(found):
        levels = (found.image + 1.0) * 127.5
        np.testing.assert_allclose(levels, trained.images[0], atol=1e-3)

    (own,) = photograph_loading.load(run(one_task=True), [str(path)])
    check(own)
    (other,) = photograph_loading.load(run(one_task=False), [str(path)])
    assert other.image.shape == (17, SIZE, 3)  # its own aspect
    with pytest.raises(AssertionError):
        check(other)


@pytest.mark.parametrize(
    ("one_task", "group"), [(True, "seen"), (False, "given")]
)
def test_photograph_of_training_is_seen_wherever_it_comes_from(
    path, one_task, group
):
    (found,) = photograph_loading.loaded_again(
        run(one_task=one_task), [str(path)]
    )
    assert (found.name, found.group) == ("odd.png", group)
    unknown = run(one_task=one_task, known=False)
    assert photograph_loading.loaded_again(unknown, [str(path)]) == []


def test_runs_of_one_photograph_are_told_from_others():
    trained_runs.require_any_photograph(run(one_task=False), "command")
    white = run(one_task=True, known=True)  # trained on a white photograph
    with pytest.raises(ValueError, match="command takes runs that model any"):
        trained_runs.require_any_photograph(white, "command")


@pytest.mark.parametrize("size", [(90, 10), (10, 90)])
def test_photograph_that_is_too_long_is_refused(tmp_path, size):
    path = tmp_path / "long.png"
    PIL.Image.new("RGB", size).save(path)
    sentence = f"long.png has {size[0]} x {size[1]} pixels; expected an aspect"
    for load in (photograph_loading.load, photograph_loading.loaded_again):
        with pytest.raises(ValueError, match=sentence):
            load(run(one_task=False), [str(path)])
        load(run(one_task=True), [str(path)])  # in an aspect of training
    PIL.Image.new("RGB", (80, 10)).save(path)
    photograph_loading.load(run(one_task=False), [str(path)])
    exported = photograph_terms.Limits().aspect
    assert exported == photograph_loading.MOST_ASPECT


@pytest.mark.parametrize("transparent", [False, True])
def test_mask_is_what_is_bright_and_opaque(tmp_path, transparent):
    mode, ground = ("RGBA", (255,) * 3 + (0,)) if transparent else ("L", 0)
    picture = PIL.Image.new(mode, (40, 20), ground)
    picture.paste("white", (20, 0, 40, 20))
    picture.save(tmp_path / "mask.png")
    found = photograph_loading.load_mask(str(tmp_path / "mask.png"), (10, 20))
    assert found.shape == (10, 20)
    assert not found[:, :10].any()
    assert found[:, 10:].all()


def test_mask_in_which_nothing_is_bright_is_refused(tmp_path):
    picture = PIL.Image.new("L", (400, 200))
    picture.paste(255, (100, 100, 102, 102))  # lost when it shrinks
    picture.save(tmp_path / "mask.png")
    with pytest.raises(
        ValueError, match=r"--mask=.*mask\.png is dark everywhere in 20 x 10"
    ):
        photograph_loading.load_mask(str(tmp_path / "mask.png"), (10, 20))
