"""What stands behind the page: a run, or an export."""

import math
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.demo.conftest import CHOOSING, LIMITS, model_of
from tests.exporting import exports
from tf_metagan import assembly, sampling
from tf_metagan.core import functional, rng
from tf_metagan.demo_page import run_model
from tf_metagan.demo_page.export_model import ExportModel
from tf_metagan.demo_page.model import check_time

IMAGES = exports.images(3)
ASKED = {"num_samples": 6, "seed": 4, "deadline": math.inf}

KINDS = {
    "plain": {"algo": "maml", "learned_rates": "layer_step"},
    "choosing": CHOOSING,
}


def unfolded(model, *, steps=2, images=IMAGES, **changes):
    return list(model.unfold(images, steps=steps, **{**ASKED, **changes}))


@pytest.mark.parametrize("kind", KINDS)
def test_last_frame_is_what_the_sample_command_draws(kind):
    run = exports.toy_run(**KINDS[kind])
    *_, last = unfolded(model_of(**KINDS[kind]))
    expected = sampling.draw(run, IMAGES, num_samples=6, steps=2, seed=4)
    np.testing.assert_allclose(last.samples, expected, atol=1e-5)
    other = sampling.draw(run, IMAGES, num_samples=6, steps=2, seed=5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(last.samples, other, atol=1e-5)


def test_every_step_is_where_an_adaptation_of_that_length_ends():
    model = model_of(**KINDS["plain"])
    frames = unfolded(model, steps=3)
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    for steps, frame in enumerate(frames):
        *_, alone = unfolded(model, steps=steps)
        np.testing.assert_allclose(frame.samples, alone.samples, atol=1e-5)
    assert frames[0].d_loss is None
    run = exports.toy_run(**KINDS["plain"])
    _, log = run.algorithm.adapt(
        run.vars,
        tf.constant(IMAGES[np.newaxis]),
        None,
        sampling.adaptation_seed(4),
        3,
    )
    losses = [(frame.d_loss, frame.g_loss) for frame in frames[1:]]
    expected = np.stack([log["D_loss"], log["G_loss"]], 1)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_candidates_are_chosen_in_the_end_only(choosing):
    frames = unfolded(choosing)
    assert [(f.step, f.chosen) for f in frames] == [
        (0, False),
        (1, False),
        (2, False),
        (2, True),
    ]
    assert not np.array_equal(frames[-1].samples, frames[-2].samples)


def test_one_image_is_too_few_for_steps_of_players_that_compare(choosing):
    frames = unfolded(choosing, images=IMAGES[:1])
    assert {frame.step for frame in frames} == {0}


def test_more_images_than_a_batch_all_count():
    model = model_of(**KINDS["plain"])
    assert exports.BATCH < 6
    *_, six = unfolded(model, images=exports.images(6), steps=3)
    *_, five = unfolded(model, images=exports.images(6)[:5], steps=3)
    assert not np.allclose(six.samples, five.samples)


def test_rules_with_more_than_steps_are_asked_anew():
    changes = {
        "architecture": "latent_dcgan",
        "game": "latent",
        "algo": "latent",
        "final_step": True,
        "kept_images": 4,
        "width": 2,
        "latent_size": 4,
    }
    run = exports.toy_run(**changes)
    assert not run_model._takes_plain_steps(run.algorithm)
    model = model_of(**changes)
    assert model.walk is None
    frames = unfolded(model)
    assert [frame.step for frame in frames] == [0, 1, 2]
    expected = sampling.draw(run, IMAGES, num_samples=6, steps=2, seed=4)
    np.testing.assert_allclose(frames[-1].samples, expected, atol=1e-4)


def test_scratch_knows_nothing_of_the_trained_weights(choosing):
    run = exports.toy_run(**CHOOSING)
    other = run._replace(vars=run.algorithm.init(99))
    untrained = run_model.RunModel(other, "other", limits=LIMITS)
    *_, a = unfolded(choosing, scratch=True)
    *_, b = unfolded(untrained, scratch=True)
    np.testing.assert_allclose(a.samples, b.samples, atol=1e-5)
    *_, adapted = unfolded(choosing)
    assert not np.allclose(a.samples, adapted.samples)


def test_prior_is_drawn_by_the_meta_weights():
    model = model_of(**KINDS["plain"])
    run = exports.toy_run(**KINDS["plain"])
    expected = run.algorithm.game.sample(run.vars, sampling.sample_seed(4), 6)
    np.testing.assert_allclose(model.prior(**ASKED), expected, atol=1e-5)


def test_walk_closes_and_begins_at_a_latent(choosing):
    request = {"seed": 4, "deadline": math.inf}
    drawn = choosing.walk(IMAGES, steps=2, frames=20, **request)
    steps = np.abs(drawn - np.roll(drawn, -1, 0)).mean((1, 2, 3))
    far = np.abs(drawn - np.roll(drawn, 10, 0)).mean((1, 2, 3))
    assert steps.max() < far.max()
    run = exports.toy_run(**CHOOSING)
    adapted, _ = run.algorithm.adapt(
        run.vars,
        tf.constant(IMAGES[np.newaxis]),
        None,
        sampling.adaptation_seed(4),
        2,
    )
    root = rng.fold(rng.make_seed(4), run_model._WALK)
    z = rng.normal(root, [1, run.settings.config.latent_size])
    generator = assembly.make_networks(run.settings)["g"]
    first, _ = functional.from_keras(generator).apply(
        adapted.params["g"], adapted.state["g"], [z, IMAGES[:1]], root
    )
    np.testing.assert_allclose(drawn[:1], first, atol=1e-5)


def test_circle_keeps_the_length_of_latents():
    corners = np.random.default_rng(0).normal(size=[4, 50])
    way = run_model.circle(corners, 40)
    np.testing.assert_allclose(way[::10], corners, atol=1e-6)
    lengths = np.linalg.norm(corners, axis=1)
    between = np.linalg.norm(way, axis=1)
    assert between.min() > lengths.min() - 1e-6
    assert between.max() < lengths.max() + 1e-6
    straight = (corners[0] + corners[1]) / 2
    assert np.linalg.norm(straight) < 0.9 * lengths.min()


def test_time_is_looked_at_between_steps(choosing, monkeypatch):
    frames = choosing.unfold(IMAGES, steps=8, **{**ASKED, "deadline": 0.0})
    assert next(frames).step == 0
    with pytest.raises(TimeoutError):
        next(frames)
    with pytest.raises(TimeoutError):
        choosing.prior(**{**ASKED, "deadline": time.monotonic() - 1})
    check_time(time.monotonic() + 60)


def test_what_diverges_is_said():
    run = exports.toy_run(**CHOOSING)
    broken = tf.nest.map_structure(lambda x: x * np.nan, run.vars.params)
    run = run._replace(vars=run.vars._replace(params=broken))
    model = run_model.RunModel(run, "broken", limits=LIMITS)
    with pytest.raises(FloatingPointError, match="after 0 steps the drawings"):
        unfolded(model)


def test_card_of_a_run_says_what_it_can(choosing):
    card = choosing.card
    assert card.image == (16, 16, 1)
    assert (card.best_of, card.least_images) == (3, 2)
    assert card.inputs == ("strokes", "files")
    assert choosing.walk is not None
    assert card.steps == 0  # as many as --algo=joint takes
    long = exports.toy_run(**{**CHOOSING, "adapt_steps": 7})
    assert run_model.RunModel(long, "long", limits=LIMITS).card.steps == 3
    plain = exports.toy_run(algo="maml", inner_steps=7)
    assert run_model.RunModel(plain, "plain", limits=LIMITS).card.steps == 7
    colour = model_of(algo="maml", channels=3)
    assert colour.card.inputs == ("files",)


# -------------------------------------------------------------------- exports


@pytest.fixture(scope="module")
def exported(toy):
    model = ExportModel(str(toy.folder), limits=LIMITS)
    yield model
    model.close()


def test_export_draws_what_its_signature_draws(exported, toy):
    frames = unfolded(exported, steps=4)
    assert [frame.step for frame in frames] == [0, 1, 2, 4]
    for frame in frames:
        expected = toy.model.adapt_and_sample(
            IMAGES, num_samples=6, steps=frame.step, seed=4
        )
        np.testing.assert_allclose(frame.samples, expected.samples, atol=1e-4)
    np.testing.assert_allclose(frames[-1].d_loss, expected.d_loss, rtol=1e-3)
    assert frames[0].d_loss is None
    prior = toy.model.sample_prior(num_samples=6, seed=4)
    np.testing.assert_allclose(exported.prior(**ASKED), prior, atol=1e-4)


def test_export_says_what_it_refuses(exported):
    with pytest.raises(ValueError, match="num_samples is 601; expected 1 to"):
        exported.prior(**{**ASKED, "num_samples": 601})
    with pytest.raises(TimeoutError):
        exported.prior(**{**ASKED, "deadline": time.monotonic()})


def test_card_of_an_export_has_its_limits(exported, toy):
    card = exported.card
    assert card.name == "toy, version 1"
    assert card.limits == LIMITS
    assert not card.scratch
    assert exported.walk is None
    assert exported.unseen == list(toy.run.split.test)
