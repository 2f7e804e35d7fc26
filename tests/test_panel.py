"""The picture of a run, drawn by an algorithm whose answers are known."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests import runs
from tf_metagan import assembly, panel, pictures, training
from tf_metagan.core import rng
from tf_metagan.types import TaskBatch

NAMES = ["alpha", "beta"]
SIZE = 16


class Painter:
    """Weights are one grey value; each step of adaptation adds a tenth.

    The value that `init` draws is -0.5. What a sample shows besides its grey
    is the seed it was drawn with, in the first pixel.
    """

    def __init__(self, *, breaks_from_scratch=False):
        self.game = types.SimpleNamespace(sample=self.sample, model=None)
        self.breaks = breaks_from_scratch
        self.seeds = []

    def init(self, seed):
        self.seeds.append(seed)
        return {"grey": tf.constant(-0.5)}

    def adapt(self, vars, support, others, seed, steps):
        assert others is None
        assert support.shape == (1, 3, SIZE, SIZE, 1)
        grey = vars["grey"] + 0.1 * steps
        if self.breaks:
            grey = tf.where(vars["grey"] < 0, np.nan, grey)
        return {"grey": grey}, {}

    def sample(self, vars, seed, n):
        images = tf.fill([n, SIZE, SIZE, 1], vars["grey"])
        mark = rng.uniform(seed, [n, 1, 1, 1], tf.float32)
        corner = (
            tf.one_hot(0, SIZE)[:, None, None] * tf.one_hot(0, SIZE)[:, None]
        )
        return images + 0.4 * mark * corner


def make(painter, **changes):
    noise = tf.random.stateless_uniform(
        [2, 1, 3, SIZE, SIZE, 1], [1, 2], -1.0, 1.0
    )
    tasks = TaskBatch(
        support=noise,
        query=noise,
        others=None,
        label=tf.constant([4, 7], tf.int64),
        seed=tf.constant([[1, 2], [3, 4]], tf.int64),
    )
    options = {"steps": 3, "samples": 4, "seed": 9, **changes}
    return panel.Panel(painter, tasks, NAMES, **options), tasks


@pytest.fixture
def blocks(monkeypatch):
    """The columns and captions of each picture, as `pictures.grid` got them."""
    seen = []

    def grid(columns, captions, **options):
        seen.append((columns, captions))
        return real(columns, captions, **options)

    real = pictures.grid
    monkeypatch.setattr(pictures, "grid", grid)
    return seen


def body(images):
    """The grey of images without the pixel that tells the seed."""
    values = np.unique(images[..., 1:, 1:, :])
    assert len(values) == 1
    return values[0]


def corners(images):
    return images[..., 0, 0, 0].ravel().tolist()


def test_columns_are_support_prior_adapted_and_scratch(blocks):
    view, tasks = make(Painter())
    picture = view.picture({"grey": tf.constant(0.1)})
    ((columns, captions),) = blocks
    assert list(columns) == [
        "support (unseen classes)",
        "prior (no adaptation)",
        "adapted, 3 steps",
        "from scratch, 3 steps",
    ]
    assert captions == NAMES
    support, prior, adapted, scratch = columns.values()
    np.testing.assert_array_equal(support, tasks.support[:, 0])
    assert body(prior) == pytest.approx(0.1)
    assert body(adapted) == pytest.approx(0.1 + 0.3)
    assert body(scratch) == pytest.approx(-0.5 + 0.3)
    assert prior.shape == adapted.shape == scratch.shape == (2, 4, 16, 16, 1)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


def test_no_two_images_share_their_latents(blocks):
    view, _ = make(Painter())
    view.picture({"grey": tf.constant(0.1)})
    _, prior, adapted, _ = blocks[0][0].values()
    marks = corners(prior - 0.1) + corners(adapted - 0.4)
    assert len(set(np.round(marks, 5))) == 16


def test_scratch_is_drawn_once_and_does_not_change(blocks):
    painter = Painter()
    view, _ = make(painter)
    for grey in (0.1, 0.3):
        view.picture({"grey": tf.constant(grey)})
    before, after = (list(columns.values()) for columns, _ in blocks)
    assert painter.seeds == [9]
    np.testing.assert_array_equal(before[3], after[3])
    assert body(after[1]) == pytest.approx(0.3)
    # Latents stay: what differs is due to the weights.
    np.testing.assert_allclose(after[1] - before[1], 0.2, atol=1e-6)


def test_equal_weights_give_an_equal_picture():
    view, _ = make(Painter())
    a, b = (view.picture({"grey": tf.constant(0.1)}) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_support_is_cut_to_the_number_of_samples(blocks):
    view, _ = make(Painter(), samples=2)
    view.picture({"grey": tf.constant(0.1)})
    assert [x.shape[1] for x in blocks[0][0].values()] == [2, 2, 2, 2]


def test_diverged_images_are_blank_and_counted(blocks):
    view, _ = make(Painter(breaks_from_scratch=True))
    view.picture({"grey": tf.constant(0.1)})
    columns = blocks[0][0]
    *_, adapted, scratch = columns
    assert adapted == "adapted, 3 steps"
    assert scratch == "from scratch, 3 steps, 8 of 8 diverged"
    np.testing.assert_array_equal(columns[scratch], 1.0)


def test_panel_of_a_run_shows_its_meta_test_classes():
    settings = runs.settings(panel_tasks=5, adapt_steps=7)
    images = assembly.load_images(settings)
    split = assembly.make_split(settings, images)
    sampler = assembly.make_sampler(
        settings,
        images,
        classes=split.test,
        stream=training.PANEL_STREAM,
        meta_batch=5,
    )

    class Recorder:
        def init(self, seed):
            return seed

        def adapt(self, vars, support, others, seed, steps):
            return steps, {}

        game = types.SimpleNamespace(
            model=None, sample=lambda vars, seed, n: tf.fill([n, 1, 1, 1], vars)
        )

    view = training.make_panel(settings.config, Recorder(), sampler)
    known = {images.name[label] for label in split.test}
    assert len(view._names) == 5
    assert set(view._names) <= known
    # Seven steps each, as adapt_steps says.
    np.testing.assert_array_equal(view._scratch, np.full([5, 8, 1, 1, 1], 7))
