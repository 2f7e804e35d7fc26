"""What the GAN of one photograph draws, a few images at a time."""

import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests.gan.test_singan import shaken
from tf_metagan.core import rng
from tf_metagan.gan import single_image


@pytest.fixture
def model():
    game = small.singan()
    vars = shaken(small.at_scale(game, 2))
    image = small.photographs(small.tasks(1))[0]
    return game.model(game.remember(vars, image[tf.newaxis, tf.newaxis]))


@pytest.mark.parametrize("random_from", [0, 1])
@pytest.mark.parametrize("size", [None, (20, 31)])
def test_samples_are_drawn_a_few_at_a_time(
    model, monkeypatch, size, random_from
):
    model = model if size is None else model.resized(size)
    height, width = (int(x) for x in model.sizes[-1])
    monkeypatch.setattr(single_image, "_PIXELS_AT_ONCE", 2 * height * width)
    counts = []
    render = single_image.Model.render

    def watched(self, noises, layout=None):
        counts.append(len(noises[0]))
        return render(self, noises, layout)

    monkeypatch.setattr(single_image.Model, "render", watched)
    seed = rng.make_seed(0)
    found = model.sample_in_parts(seed, 5, random_from=random_from)
    assert counts == [2, 2, 1]
    np.testing.assert_allclose(
        found, model.sample(seed, 5, random_from=random_from), atol=1e-9
    )
