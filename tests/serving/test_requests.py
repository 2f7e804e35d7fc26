"""What a request becomes before a model, or a server, gets it."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.serving import model


class Echo(model.Endpoint):
    """Answers with the seed that it was given."""

    def __init__(self):
        image = {"height": 2, "width": 2, "channels": 1}
        defaults = {"num_samples": 1, "seed": [3, 4]}
        signatures = dict.fromkeys(["sample_prior"])
        super().__init__({"image": image, "defaults": defaults}, signatures)

    def _run(self, signature, inputs):
        return {"samples": inputs["seed"]}


@pytest.mark.parametrize(
    ("seed", "pair"),
    [
        (7, [0, 7]),
        (2**40, [0, 2**40]),
        (np.int64(7), [0, 7]),
        (np.array(7), [0, 7]),
        (tf.constant(7, tf.int64), [0, 7]),
        ((7, 0), [7, 0]),
        (np.array([1, 2]), [1, 2]),
        (None, [3, 4]),
    ],
)
def test_seed_is_any_whole_number_or_a_pair(seed, pair):
    found = Echo().sample_prior(seed=seed)
    assert found.dtype == tf.int64
    assert found.numpy().tolist() == pair
