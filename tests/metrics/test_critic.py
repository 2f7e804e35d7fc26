"""A critic looks at images, and is found again on disk as it was."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.metrics import critic as critics
from tf_metagan.metrics import critic_card, critic_network
from tf_metagan.metrics.critic_card import Card

CLASSES = (4, 7, 9)
WIDTHS = (4, 4, 8, 8)


def card(**changes):
    given = {
        "dataset": "some",
        "image_size": 8,
        "channels": 1,
        "classes": CLASSES,
        "num_images": (9, 12, 5),
        "held_out": ((1, 2, 3, 8), (0,), (2, 4)),
        "held_out_accuracy": 0.75,
        "held_out_nll": 0.5,
        "settings": {"widths": WIDTHS, "seed": 3},
        "versions": {"python": "3"},
        **changes,
    }
    return Card(**given)


def make(*, seed=0, **changes):
    own = card(**changes)
    model = critic_network.build(
        num_classes=len(own.classes),
        image_size=own.image_size,
        channels=own.channels,
        widths=WIDTHS,
        dropout=0.1,
        seed=seed,
    )
    critics.to_stored_precision(model)
    return critics.Critic(model, own)


def pictures(n, *, seed=0):
    draw = np.random.default_rng(seed)
    return draw.uniform(-1, 1, [n, 8, 8, 1]).astype(np.float32)


@pytest.fixture(autouse=True)
def shipped(monkeypatch, tmp_path):
    """Let the package have no critics but those a test puts there."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(critics, "_SHIPPED", folder)
    return folder


def keep(critic, cache_dir, **settings):
    """Put a critic into a cache as the command does."""
    settings = {**critic.card.settings, **settings}
    critic.card = critic.card._replace(settings=settings)
    folder = critics.new_folder(critic.card.dataset, settings, str(cache_dir))
    critics.save(critic, folder)
    return folder


def load(cache_dir, **changes):
    given = {"dataset": "some", "image_size": 8, **changes}
    return critics.load(cache_dir=str(cache_dir), **given)


@pytest.mark.parametrize("n", [1, 256, 300])
def test_padding_to_a_batch_changes_nothing(n):
    critic, x = make(), pictures(n)
    features, log_probs = critic(x)
    direct = critic.tensors(tf.constant(x))
    np.testing.assert_allclose(features, direct[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_probs, direct[1], rtol=1e-4, atol=1e-5)
    assert features.shape == (n, WIDTHS[-1])
    assert log_probs.dtype == np.float32


def test_probabilities_sum_to_one():
    log_probs = make()(pictures(5)).log_probs
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, rtol=1e-5)


def test_features_and_logits_belong_together():
    critic, x = make(), pictures(6)
    features, log_probs = critic(x)
    kernel, bias = critic._model.get_layer("logits").get_weights()
    logits = features @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    again = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(log_probs, again, rtol=1e-4, atol=1e-5)


def test_an_image_is_judged_alone():
    critic, x = make(), pictures(40)
    alone = critic(x[7:8]).log_probs
    np.testing.assert_allclose(critic(x).log_probs[7:8], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros([2, 8, 8, 3]), r"shape \(2, 8, 8, 3\); .* \[n, 8, 8, 1\]"),
        (np.zeros([0, 8, 8, 1]), r"shape \(0, 8, 8, 1\); this critic expects"),
        (np.zeros([8, 8, 1]), r"expects \[n, 8, 8, 1\], n >= 1"),
        (np.full([1, 8, 8, 1], 255.0), r"from 255\.0 to 255\.0; .*to_range"),
        (np.full([1, 8, 8, 1], np.nan), r"from nan to nan; .* finite ones"),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        make()(images)


def test_examine_counts_what_is_right():
    critic, x = make(), pictures(50)
    log_probs = critic(x).log_probs
    best = log_probs.argmax(axis=1)
    accuracy, nll = critics.examine(critic, x, best)
    assert accuracy == 1.0
    assert nll == pytest.approx(-log_probs.max(axis=1).mean(), rel=1e-5)
    accuracy, off_by_one = critics.examine(critic, x, (best + 1) % 3)
    assert accuracy == 0.0
    assert off_by_one > nll


def test_a_critic_comes_back_as_it_was(tmp_path):
    critic = make(seed=5)
    critics.save(critic, tmp_path)
    again = critics.read(tmp_path)
    x = pictures(7)
    for one, other in zip(critic(x), again(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert again.name == critic.name
    assert again.card.held_out == critic.card.held_out
    assert {c: i.tolist() for c, i in again.held_out.items()} == {
        4: [1, 2, 3, 8],
        7: [0],
        9: [2, 4],
    }
    assert again.num_held_out == 7
    assert again.held_out_accuracy == 0.75
    assert again.classes == CLASSES
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "critic.json",
        "weights.npz",
    ]


def test_stored_precision_is_what_the_file_has(tmp_path):
    critic = make()
    kernel = critic._model.get_layer("stem_conv").kernel
    kernel.assign(kernel + 1e-5)  # now more than float16 holds
    critics.save(critic, tmp_path)
    again = critics.read(tmp_path)._model.get_layer("stem_conv").kernel
    assert np.abs(again.numpy() - kernel.numpy()).max() > 0
    critics.to_stored_precision(critic._model)
    assert np.abs(again.numpy() - kernel.numpy()).max() == 0


def test_names_tell_critics_apart():
    one = make().name
    assert one.startswith("critic_some_3way_")
    assert len(one.rpartition("_")[2]) == 8
    assert make().name == one
    assert make(seed=1).name != one
    assert make(held_out_nll=0.6).name != one
    assert make(dataset="tfds:a/b").name.startswith("critic_tfds_a_b_3way_")


def test_absent_critic_names_the_command(tmp_path):
    message = (
        r"no critic for some at 8 pixels with 1 channels .* Train one: python "
        r"-m tf_metagan\.critic --dataset=some --image_size=8 --channels=1$"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="that knows the 3 classes"):
        load(tmp_path, classes=CLASSES)
    with pytest.raises(
        FileNotFoundError, match=r"holds no critic: critic\.json"
    ):
        load(tmp_path, folder=str(tmp_path))


def test_the_critic_of_the_cache_is_found(tmp_path):
    kept = make()
    keep(kept, tmp_path)
    keep(make(dataset="other"), tmp_path)
    assert load(tmp_path).name == kept.name
    assert load(tmp_path, channels=None, classes=[9, 4]).name == kept.name
    for changes in ({"image_size": 16}, {"channels": 3}, {"classes": [4, 5]}):
        with pytest.raises(FileNotFoundError, match="Train one"):
            load(tmp_path, **changes)


def test_several_critics_have_to_be_told_apart(tmp_path):
    first = keep(make(), tmp_path, seed=1)
    keep(make(seed=1), tmp_path, seed=2)
    with pytest.raises(
        ValueError, match=r"there are 2 critics for some: .*Name"
    ):
        load(tmp_path)
    assert load(tmp_path, folder=str(first)).card.settings["seed"] == 1


def test_the_package_comes_before_the_cache(tmp_path, shipped):
    own = make(seed=8)
    critics.save(own, shipped / "some")
    keep(make(), tmp_path)
    assert load(tmp_path).name == own.name


def test_find_compares_the_settings_it_is_given(tmp_path):
    folder = keep(make(), tmp_path)

    def find(**settings):
        return critics.find(
            dataset="some",
            image_size=8,
            channels=None,
            settings=settings,
            cache_dir=str(tmp_path),
        )

    assert find() == [folder]
    assert find(seed=3, widths=WIDTHS) == [folder]
    assert find(seed=4) == []
    assert find(widths=(1, 2, 3, 4)) == []
    assert find(unheard_of=1) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "other"},
        {"image_size": 16},
        {"channels": 3},
        {"classes": [4, 5]},
    ],
)
def test_a_foreign_folder_is_refused(tmp_path, changes):
    folder = keep(make(), tmp_path)
    with pytest.raises(ValueError, match=r"is of some, 8 pixels.* Train anoth"):
        load(tmp_path, folder=str(folder), **changes)


def rewrite(folder, **changes):
    """Change entries of a card; None takes one away."""
    path = folder / critic_card.FILE
    content = {**json.loads(path.read_text()), **changes}
    kept = {k: v for k, v in content.items() if v is not None}
    path.write_text(json.dumps(kept))


def cut(folder):
    path = folder / critics.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-100])


def other_weights(folder):
    mine = (folder / critic_card.FILE).read_text()
    critics.save(make(seed=77), folder)
    (folder / critic_card.FILE).write_text(mine)


def other_network(folder):
    values = {"a/kernel": np.zeros([2, 2], np.float16)}
    np.savez(folder / critics.WEIGHTS_FILE, **values)
    rewrite(folder, weights=critic_card.seal(values))


DAMAGE = {
    "weights cut": cut,
    "weights gone": lambda f: (f / critics.WEIGHTS_FILE).unlink(),
    "weights of another critic": other_weights,
    "weights of another network": other_network,
    "card no JSON": lambda f: (f / critic_card.FILE).write_text("{"),
    "card a list": lambda f: (f / critic_card.FILE).write_text("[]"),
    "other format": lambda f: rewrite(f, format=2),
    "no classes": lambda f: rewrite(f, classes=None),
    "a class too few": lambda f: rewrite(f, classes=[4, 7]),
    "other widths": lambda f: rewrite(f, settings={"widths": [4, 4, 4, 4]}),
    "no widths": lambda f: rewrite(f, settings={}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_critics_are_refused(tmp_path, kind):
    folder = keep(make(), tmp_path)
    DAMAGE[kind](folder)
    with pytest.raises(
        ValueError, match=r"cannot be used \(\w+: .*Delete the folder and train"
    ):
        load(tmp_path)


def test_half_a_critic_is_none(tmp_path, monkeypatch):
    folder = keep(make(), tmp_path)

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(critic_card, "to_text", stop)
        with pytest.raises(KeyboardInterrupt):
            critics.save(make(seed=1), folder)
    with pytest.raises(FileNotFoundError, match="Train one"):
        load(tmp_path)


def test_a_card_without_numbers_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        critics.save(make(held_out_nll=math.nan), tmp_path)
    assert not (tmp_path / critic_card.FILE).exists()
