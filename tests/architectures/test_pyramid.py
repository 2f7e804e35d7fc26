"""Embeddings of photographs."""

import math

import pytest

from tf_metagan.architectures import pyramid


def build(**changes):
    options = {"embedding": "small", "embedding_size": 64, "features": 8}
    return pyramid.build(channels=3, **{**options, **changes})


@pytest.mark.parametrize(
    ("embedding", "size"),
    # Those of torchvision without their classifiers of 513,000 numbers.
    [("resnet34", 21_797_672 - 513_000), ("resnet18", 11_689_512 - 513_000)],
)
def test_numbers_of_weights_are_those_of_torchvision(embedding, size):
    made = build(embedding=embedding, embedding_size=128, features=512)["g"]
    count = sum(math.prod(v.shape) for v in made.trainable_variables)
    assert count == size + 513 * 512
    assert made.get_layer("average").input.shape[1:] == (4, 4, 512)


def test_players_have_embeddings_of_their_own():
    made = build()
    assert set(made) == {"d", "g"}
    assert made["d"].output_shape == (None, 8)
    shared = {id(v) for v in made["d"].variables} & {
        id(v) for v in made["g"].variables
    }
    assert not shared


def test_small_embedding_has_no_statistics_of_other_photographs():
    assert not build()["g"].non_trainable_variables
    assert build(embedding="resnet18")["g"].non_trainable_variables


def test_small_size_is_refused():
    with pytest.raises(ValueError, match=r"--embedding_size=16 vanishes"):
        build(embedding_size=16)
