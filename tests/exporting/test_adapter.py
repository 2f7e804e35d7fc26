"""What an export answers, against the library it was made from."""

import numpy as np
import pytest
import tensorflow as tf

from tests.exporting.exports import images
from tf_metagan import sampling
from tf_metagan.core import rng
from tf_metagan.evaluation import subject
from tf_metagan.exporting.adapter import Adapter

SEED = np.array([5, 6], np.int64)
# Sums in another order, which the inner optimiser enlarges.
NEAR = {"rtol": 1e-3, "atol": 1e-4}


def library(export, support, *, steps, num_samples):
    """Adapt and draw by the library: (samples, losses of the last step)."""
    run = export.run

    @tf.function(autograph=False)
    def answer():
        adapted, log = run.algorithm.adapt(
            run.vars, tf.constant(support)[None], None, rng.fold(SEED, 0), steps
        )
        drawn = run.algorithm.game.sample(
            adapted, rng.fold(SEED, 1, 0), num_samples
        )
        return drawn, log["D_loss"][-1], log["G_loss"][-1]

    return [value.numpy() for value in answer()]


def ask(export, support, **inputs):
    answer = export.model.adapt_and_sample(support, seed=SEED, **inputs)
    return [value.numpy() for value in answer[:3]]


@pytest.mark.parametrize("number", [1, 3, 4])
def test_answers_are_those_of_the_library(toy, number):
    support = images(number)
    expected = library(toy, support, steps=3, num_samples=6)
    found = ask(toy, support, steps=3, num_samples=6)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **NEAR)
    fewer = ask(toy, support, steps=2, num_samples=6)
    assert np.abs(fewer[0] - expected[0]).max() > 1e-3


def test_answers_are_those_of_the_sample_command(toy):
    support = images(4)
    expected = sampling.draw(toy.run, support, num_samples=300, steps=2, seed=9)
    found = toy.model.adapt_and_sample(
        support, num_samples=300, steps=2, seed=rng.make_seed(9)
    ).samples
    np.testing.assert_allclose(found, expected, **NEAR)


def test_equal_requests_have_equal_answers_and_seeds_differ(toy):
    support = images(6)
    first = ask(toy, support, num_samples=3, steps=2)
    for a, b in zip(
        first, ask(toy, support, num_samples=3, steps=2), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    other = toy.model.adapt_and_sample(
        support, num_samples=3, steps=2, seed=(5, 7)
    )
    assert np.abs(other.samples - first[0]).max() > 1e-2


def test_fewer_samples_are_the_first_of_more(toy):
    support = images(3)
    more, *_ = ask(toy, support, num_samples=300)
    assert more.shape == (300, 16, 16, 1)
    for number in (1, 5, 256, 257):
        fewer, *_ = ask(toy, support, num_samples=number)
        # The logarithm of a number may round otherwise in a vector.
        np.testing.assert_allclose(fewer, more[:number], atol=1e-5)
    # Another chunk is not the first one again.
    assert np.abs(more[256:] - more[: 300 - 256]).max() > 1e-2


def test_no_steps_draw_from_the_prior(toy):
    prior = toy.model.sample_prior(num_samples=4, seed=SEED)
    found, d_loss, g_loss = ask(toy, images(2), steps=0, num_samples=4)
    np.testing.assert_array_equal(found, prior)
    # The losses are those of the meta-weights, as before a first step.
    assert np.isfinite([d_loss, g_loss]).all()
    np.testing.assert_allclose(
        np.sign(d_loss), np.sign(ask(toy, images(2), steps=1)[1])
    )


def test_defaults_are_those_of_the_export(toy):
    support = images(3)
    full = toy.model.adapt_and_sample(
        support, num_samples=5, steps=2, seed=(0, 0)
    )
    alone = toy.model.signatures["serving_default"](images=tf.constant(support))
    assert list(alone) == ["samples"]
    np.testing.assert_array_equal(alone["samples"], full.samples)
    short = toy.model.adapt_and_sample(support)
    np.testing.assert_array_equal(short.samples, full.samples)


@pytest.mark.parametrize(
    ("number", "steps", "samples"), [(1, 0, 1), (4, 3, 2), (8, 1, 270)]
)
def test_one_graph_serves_all_numbers(toy, number, steps, samples):
    found, *losses = ask(toy, images(number), steps=steps, num_samples=samples)
    assert found.shape == (samples, 16, 16, 1)
    assert np.abs(found).max() <= 1
    assert np.isfinite(losses).all()


def test_weights_and_samples_of_them_are_the_answer_in_two_parts(toy):
    support = images(4)
    whole, d_loss, g_loss = ask(toy, support, steps=2, num_samples=6)
    adapted = toy.model.adapt(support[None], steps=2, seed=SEED)
    drawn = toy.model.sample_adapted(adapted, num_samples=6, seed=SEED)
    np.testing.assert_allclose(drawn, whole, atol=1e-6)
    assert float(adapted.d_loss) == pytest.approx(float(d_loss), rel=1e-6)
    assert float(adapted.g_loss) == pytest.approx(float(g_loss), rel=1e-6)
    assert adapted.weights.shape == [
        sum(np.prod(row["shape"]) for row in toy.model.info["weights"])
    ]


def test_batches_of_their_own_for_each_step(toy):
    two = np.stack([images(4, seed=1), images(4, seed=2)])
    run = toy.run
    ours = subject.WeightsSubject(
        run.algorithm, run.vars, {}, image_shape=(16, 16, 1)
    )
    expected = ours.sample(ours.adapt(two, seed=SEED, steps=3), seed=SEED, n=8)
    found = toy.model.sample_adapted(
        toy.model.adapt(two, seed=SEED, steps=3), seed=SEED, num_samples=8
    )
    np.testing.assert_allclose(found, expected, **NEAR)


def test_files_are_answered_as_their_pixels_are(toy):
    levels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    files = [tf.io.encode_png(x).numpy() for x in levels]
    expected, d_loss, _ = ask(
        toy, (levels - np.float32(127.5)) / 127.5, num_samples=2
    )
    found = toy.model.adapt_and_sample_bytes(files, num_samples=2, seed=SEED)
    decoded = np.stack([tf.io.decode_png(x) for x in found.samples.numpy()])
    np.testing.assert_allclose(decoded / 127.5 - 1, expected, atol=0.6 / 127.5)
    assert float(found.d_loss) == pytest.approx(float(d_loss), rel=1e-4)


def test_rows_of_a_batch_are_answered_as_alone(toy):
    support = np.stack([images(4, seed=1), images(4, seed=2), images(4)])
    found = toy.model.adapt_and_sample_batch(
        support,
        num_images=[0, 2, 4],
        num_samples=[3, 1, 2],
        steps=[2, 0, 1],
        seed=[SEED, SEED, (1, 1)],
    )
    assert found.samples.shape == (3, 3, 16, 16, 1)
    assert found.error.numpy().tolist() == [b""] * 3
    for row, (number, samples, steps, seed) in enumerate(
        [(4, 3, 2, SEED), (2, 1, 0, SEED), (4, 2, 1, (1, 1))]
    ):
        alone = toy.model.adapt_and_sample(
            support[row, :number], num_samples=3, steps=steps, seed=seed
        )
        np.testing.assert_array_equal(
            found.samples[row, :samples], alone.samples[:samples]
        )
        assert float(found.d_loss[row]) == float(alone.d_loss)


def test_a_bad_row_costs_the_others_nothing(toy):
    support = np.stack([images(4, seed=1)] * 4)
    support[1, 2] = np.nan
    found = toy.model.adapt_and_sample_batch(
        support, num_samples=[2, 2, 151, 2], num_images=[0, 0, 0, 5], seed=SEED
    )
    errors = [text.decode() for text in found.error.numpy()]
    assert errors == [
        "",
        "images holds NaN or infinite values; expected numbers in [-1, 1]",
        "num_samples is 151; expected 1 to 150",
        "num_images is 5; expected 0 (all) to the 4 that came",
    ]
    alone, *_ = ask(toy, support[0], num_samples=2)
    np.testing.assert_array_equal(found.samples[0], alone)
    assert not found.samples.numpy()[1:].any()


def test_methods_work_in_a_pipeline(toy):
    support = images(6)
    dataset = tf.data.Dataset.from_tensor_slices(support).batch(3)
    drawn = dataset.map(
        lambda x: toy.model.adapt_and_sample(x, num_samples=2).samples
    )
    for found, given in zip(drawn, (support[:3], support[3:]), strict=True):
        alone = toy.model.adapt_and_sample(given, num_samples=2).samples
        # A pipeline's graph is optimised in another way than an eager call.
        np.testing.assert_allclose(found, alone, **NEAR)


# Players that see the task.


def test_players_that_see_the_task_remember_all_images(exemplar):
    support = images(4)
    expected = library(exemplar, support, steps=2, num_samples=6)
    found = ask(exemplar, support, steps=2, num_samples=6)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **NEAR)
    adapted = exemplar.model.adapt(support[None], steps=2, seed=SEED)
    drawn = exemplar.model.sample_adapted(adapted, num_samples=6, seed=SEED)
    np.testing.assert_allclose(drawn, found[0], atol=1e-5)
    # Every image counts, also of more than a step looks at.
    many = images(8)
    eight, *_ = ask(exemplar, many, steps=0, num_samples=40)
    four, *_ = ask(exemplar, many[:4], steps=0, num_samples=40)
    assert np.abs(eight - four).max() > 1e-2


def test_one_image_is_not_compared_with_itself(exemplar):
    one = images(1)
    found, *losses = ask(exemplar, one, steps=5, num_samples=6)
    conditioned, *_ = ask(exemplar, one, steps=0, num_samples=6)
    np.testing.assert_array_equal(found, conditioned)
    assert np.isfinite(losses).all()
    prior = exemplar.model.sample_prior(num_samples=6, seed=SEED)
    assert np.abs(found - prior).max() > 1e-2


# Weights of half the size.


@pytest.mark.parametrize(
    ("weights", "near"), [("float16", 2e-3), ("bfloat16", 2e-2)]
)
def test_half_weights_draw_nearly_the_same(toy, weights, near):
    half = Adapter(
        toy.run.algorithm, toy.run.vars, toy.terms._replace(weights=weights)
    )
    kinds = {v.name.split("/")[0]: v.dtype for v in half.weights}
    assert kinds == {"params": tf.as_dtype(weights), "inner": tf.float32}
    found = half.sample_prior(tf.constant(8), tf.constant(SEED))["samples"]
    full = toy.model.sample_prior(num_samples=8, seed=SEED)
    gap = np.abs(found - full).max()
    assert 0 < gap < near


def test_weights_that_do_not_fit_are_refused(toy):
    vars = toy.run.vars
    kernel = "hidden/kernel"
    large = {
        **vars.params["g"],
        kernel: 1e6 * tf.ones_like(vars.params["g"][kernel]),
    }
    vars = vars._replace(params={**vars.params, "g": large})
    terms = toy.terms._replace(weights="float16")
    with pytest.raises(ValueError, match="params/g/hidden/kernel is not"):
        Adapter(toy.run.algorithm, vars, terms)
