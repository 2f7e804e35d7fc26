"""Episodes: pure, disjoint, fair, and labelled by the data set's class ids."""

import collections
import hashlib
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.data import base
from tf_metagan.data.episodes import EpisodeSampler

LABELS = (2, 3, 5, 7, 11, 13)


@pytest.fixture(autouse=True)
def eager():
    """Save most tests the half second that tracing takes."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def graph(eager):
    """Run a test as users do."""
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def source(numbered):
    return numbered([16] * 6, labels=LABELS)


def sampler(source, **changes):
    given = {
        "classes": LABELS,
        "meta_batch": 3,
        "inner_batch_size": 4,
        "inner_steps": 5,
        "seed": 8,
        **changes,
    }
    return EpisodeSampler(source, **given)


def arrays(batch):
    """Return the fields of a TaskBatch that are there, as arrays."""
    fields = batch._asdict().items()
    return {name: x.numpy() for name, x in fields if x is not None}


def assert_equal(left, right):
    left, right = arrays(left), arrays(right)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.mark.parametrize(
    ("shots", "support"), [(0, (5, 4)), (1, (1, 1)), (4, (1, 4)), (6, (5, 4))]
)
def test_batch_has_the_shapes_of_a_task_batch(source, shots, support):
    batch = sampler(source, shots=shots, others=True).batch(0)
    assert batch.support.shape == (3, *support, 4, 4, 1)
    assert batch.query.shape == batch.others.shape == (3, 5, 4, 4, 4, 1)
    assert batch.label.shape == (3,)
    assert batch.label.dtype == batch.seed.dtype == tf.int64
    assert batch.seed.shape == (3, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_in_the_range_of_the_game(dtype):
    images = np.array([0, 255] * 4, np.uint8)[:, None, None, None]
    source = base.group(images, np.zeros(8, int))
    batch = sampler(source, classes=[0], dtype=dtype).batch(0)
    assert batch.support.dtype == batch.query.dtype == dtype
    assert set(np.unique(batch.support)) == {-1.0, 1.0}


@pytest.mark.parametrize("shots", [0, 3, 6])
def test_label_is_the_class_id_of_the_images(source, read_off, shots):
    episodes = sampler(source, shots=shots)
    for step in range(5):
        batch = episodes.batch(step)
        for images in (batch.support, batch.query):
            row = read_off(images)[0]
            label = np.array(LABELS)[row]
            assert (label == batch.label.numpy()[:, None, None]).all()


def test_values_are_those_of_to_range_to_the_last_bit(graph):
    images = np.arange(256, dtype=np.uint8)[:, None, None, None]
    source = base.group(images, np.zeros(256, int))
    episodes = sampler(source, classes=[0], inner_steps=40)
    query = next(iter(episodes.dataset())).query.numpy()
    assert np.isin(query, base.to_range(images)).all()
    assert not np.isin(query, images / np.float32(127.5) - 1).all()


def test_classes_that_are_not_named_never_appear(source, read_off, graph):
    episodes = sampler(source, classes=[3, 13, 7], others=True)
    for step in range(40):
        batch = episodes.batch(step)
        assert set(batch.label.numpy()) <= {3, 7, 13}
        assert set(read_off(batch.others)[0].ravel()) <= {1, 3, 5}


def test_classes_are_equally_likely(numbered, graph):
    # 3,000 draws of 3 classes: 1,000 each, standard deviation 26.
    source = numbered([2, 16, 5], labels=[1, 4, 6])
    episodes = sampler(source, classes=[1, 4, 6], meta_batch=300)
    labels = np.concatenate([episodes.batch(i).label for i in range(10)])
    count = collections.Counter(labels.tolist())
    assert set(count) == {1, 4, 6}
    assert all(abs(n - 1000) < 5 * 26 for n in count.values())


def test_images_are_equally_likely_and_not_repeated(source, read_off, graph):
    # 600 batches of 4 of 16 images: 150 each, standard deviation 11.
    batch = sampler(source, meta_batch=60).batch(0)
    for images in (batch.support, batch.query):
        rows = read_off(images)[1].reshape(-1, 4)
        assert all(len(set(row)) == 4 for row in rows.tolist())
    batch = sampler(source, meta_batch=60, inner_steps=10).batch(0)
    count = np.bincount(read_off(batch.query)[1].ravel(), minlength=16)
    assert abs(count - 150).max() < 5 * 11


def test_small_classes_are_drawn_with_replacement(numbered, read_off, graph):
    small = numbered([3, 16])
    batch = sampler(small, classes=[0], meta_batch=20).batch(0)
    image = read_off(batch.support)[1]
    assert set(image.ravel()) == {0, 1, 2}


def test_support_and_query_are_independent_without_shots(
    source, read_off, graph
):
    batch = sampler(source, meta_batch=60).batch(0)
    support = read_off(batch.support)[1].reshape(-1, 4)
    query = read_off(batch.query)[1].reshape(-1, 4)
    # Of 4 * 4 pairs one sixteenth agrees: 1 per batch, 300 batches.
    common = (support[:, :, None] == query[:, None]).sum((1, 2))
    assert common.mean() == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("shots", [1, 4, 5, 15])
def test_exactly_k_images_are_seen_with_k_shots(source, read_off, shots):
    episodes = sampler(source, shots=shots, inner_steps=40)
    for step in range(4):
        batch = episodes.batch(step)
        support, query = read_off(batch.support)[1], read_off(batch.query)[1]
        for task in range(3):
            seen = set(support[task].ravel())
            assert len(seen) == shots
            assert not seen & set(query[task].ravel())
            assert len(set(query[task].ravel())) == 16 - shots


def test_without_shots_more_than_k_images_are_seen(source, read_off):
    batch = sampler(source, inner_steps=40).batch(0)
    assert len(set(read_off(batch.support)[1][0].ravel())) == 16


def test_support_batches_of_many_shots_do_not_repeat(source, read_off):
    batch = sampler(source, shots=6).batch(0)
    rows = read_off(batch.support)[1].reshape(-1, 4)
    assert all(len(set(row)) == 4 for row in rows.tolist())


def test_fewer_shots_are_the_first_of_more(source):
    one = sampler(source, shots=1).batch(2)
    four = sampler(source, shots=4).batch(2)
    np.testing.assert_array_equal(one.support, four.support[:, :, :1])
    np.testing.assert_array_equal(one.label, four.label)


def test_fewer_inner_steps_are_the_first_of_more(source):
    few = sampler(source, inner_steps=2, others=True).batch(3)
    many = sampler(source, inner_steps=7, others=True).batch(3)
    for name in ("support", "query", "others"):
        np.testing.assert_array_equal(
            getattr(few, name), getattr(many, name)[:, :2]
        )
    np.testing.assert_array_equal(few.seed, many.seed)


CHANGES = [
    {},
    {"shots": 3},
    {"shots": 6},
    {"rotate_classes": True, "others": True, "elastic": 1.0},
    {"shots": 3, "others": True, "elastic_classes": 1.0},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_episode_does_not_depend_on_the_number_of_slots(source, changes):
    two = arrays(sampler(source, meta_batch=2, **changes).batch(6))
    five = arrays(sampler(source, meta_batch=5, **changes).batch(6))
    for name, value in two.items():
        # Normal numbers for elastic distortions may differ in the last place.
        np.testing.assert_allclose(value, five[name][:2], atol=1e-5)


@pytest.mark.parametrize("changes", CHANGES)
def test_graph_gives_what_eager_mode_gives(source, changes):
    eager = sampler(source, **changes).batch(6)
    tf.config.run_functions_eagerly(False)
    graph = arrays(sampler(source, **changes).batch(6))
    for name, value in arrays(eager).items():
        np.testing.assert_allclose(value, graph[name], atol=1e-5)


@pytest.mark.parametrize("changes", CHANGES[-2:])
def test_dataset_is_the_same_as_single_batches_from_any_start(
    source, changes, graph
):
    episodes = sampler(source, **changes)
    for step, batch in zip(range(7, 10), episodes.dataset(7), strict=False):
        assert_equal(batch, episodes.batch(step))
    assert_equal(episodes.batch(7), episodes.batch(tf.constant(7)))


def differs(left, right, name):
    left, right = arrays(left)[name], arrays(right)[name]
    return left.shape != right.shape or (left != right).any()


@pytest.mark.parametrize("name", ["support", "query", "others", "seed"])
def test_episode_depends_on_seed_meta_step_and_slot(source, name):
    batch = sampler(source, others=True).batch(1)
    assert differs(batch, sampler(source, others=True).batch(2), name)
    assert differs(batch, sampler(source, others=True, seed=9).batch(1), name)
    field = getattr(batch, name).numpy()
    assert (field[0] != field[1]).any()
    assert (field[1] != field[2]).any()


def test_other_images_leave_the_rest_of_the_episode_as_it_is(source):
    plain = sampler(source).batch(4)
    more = sampler(source, others=True).batch(4)
    assert plain.others is None
    assert_equal(plain, more._replace(others=None))


def digest(seed):
    """Hash an episode of every kind of randomness that is exact."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, [96, 4, 4, 1], np.uint8)
    episodes = EpisodeSampler(
        base.group(images, np.repeat(LABELS, 16)),
        classes=[2, 5, 13],
        meta_batch=3,
        inner_batch_size=4,
        inner_steps=5,
        shots=6,
        others=True,
        seed=seed,
    )
    content = b"".join(x.numpy().tobytes() for x in episodes.batch(31))
    return hashlib.sha256(content).hexdigest()


def test_episode_is_the_same_in_another_process(graph):
    lines = (
        "import hashlib",
        "import numpy as np",
        "from tf_metagan.data import base",
        "from tf_metagan.data.episodes import EpisodeSampler",
        f"LABELS = {LABELS}",
        inspect.getsource(digest),
        "print(digest(5))",
    )
    other = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={
            **os.environ,
            "PYTHONHASHSEED": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert other == digest(5)
    assert other != digest(4)


def test_others_are_of_other_classes(source, read_off, graph):
    episodes = sampler(source, others=True, meta_batch=50)
    seen = collections.Counter()
    for step in range(3):
        batch = episodes.batch(step)
        label = np.array(LABELS)[read_off(batch.others)[0]]
        assert (label != batch.label.numpy()[:, None, None]).all()
        seen.update(label.ravel().tolist())
    # 3,000 images of 6 classes: 500 each, standard deviation 20.
    assert all(abs(seen[label] - 500) < 5 * 20 for label in LABELS)


def test_others_may_come_from_classes_of_their_own(source, read_off, graph):
    episodes = sampler(
        source, classes=[2, 13], others=True, other_classes=[3, 13]
    )
    for step in range(20):
        batch = episodes.batch(step)
        label = np.array(LABELS)[read_off(batch.others)[0]]
        for task, own in enumerate(batch.label.numpy()):
            wanted = {3} if own == 13 else {3, 13}
            assert set(label[task].ravel()) == wanted


def test_one_other_class_is_enough_if_it_is_not_the_own(source):
    sampler(source, classes=[2], others=True, other_classes=[3]).batch(0)
    with pytest.raises(ValueError, match=r"there is one class; expected at"):
        sampler(source, classes=[2], others=True)


@pytest.fixture(scope="module")
def arrows():
    """Three classes of one image each, none of them symmetric."""
    images = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4, 1)
    return base.group(
        images, np.array([4, 6, 9]), name={4: "a", 6: "b", 9: "c"}
    )


def check_turned(batch, source, quarters_of):
    """Check each image against its class turned as its label says."""
    for task, label in enumerate(batch.label.numpy()):
        quarters, class_id = divmod(int(label), 10)
        image = base.images_of(source, class_id)[0]
        wanted = base.to_range(np.rot90(image, quarters_of(quarters)))
        for images in (batch.support, batch.query):
            assert (images[task].numpy() == wanted).all()


def test_turned_classes_have_labels_of_their_own(arrows, graph):
    episodes = sampler(
        arrows, classes=[4, 9], rotate_classes=True, meta_batch=200
    )
    batch = episodes.batch(0)
    assert episodes.num_kinds == 8
    assert set(batch.label.numpy()) == {4, 9, 14, 19, 24, 29, 34, 39}
    check_turned(batch, arrows, lambda quarters: quarters)
    with pytest.raises(AssertionError):
        check_turned(batch, arrows, lambda quarters: -quarters)


def test_turns_of_the_own_class_are_other_classes(arrows, graph):
    episodes = sampler(
        arrows, classes=[4], rotate_classes=True, others=True, meta_batch=20
    )
    batch = episodes.batch(0)
    own = batch.support.numpy()[:, :, :1]
    same = (batch.others.numpy() == own).all((-3, -2, -1))
    assert not same.any()


def test_class_names_say_the_turn(arrows):
    episodes = sampler(arrows, classes=[4], rotate_classes=True)
    names = [episodes.class_name(label) for label in (4, 16, 29)]
    assert names == ["a", "b turned 90", "c turned 180"]


def test_mirrored_classes_are_classes_of_their_own(arrows, graph):
    episodes = sampler(
        arrows,
        classes=[4, 9],
        rotate_classes=True,
        mirror_classes=True,
        meta_batch=400,
    )
    batch = episodes.batch(0)
    assert episodes.num_kinds == 16
    assert episodes.class_name(54) == "a turned 90 mirrored"
    assert episodes.class_name(44) == "a mirrored"
    seen = set()
    for task, label in enumerate(batch.label.numpy()):
        view, class_id = divmod(int(label), 10)
        seen.add(view)
        image = np.rot90(base.images_of(arrows, class_id)[0], view % 4)
        if view >= 4:
            image = image[:, ::-1]
        assert (batch.support[task].numpy() == base.to_range(image)).all()
    assert seen == set(range(8))


def test_mirrored_images_need_not_be_square():
    images = np.arange(24, dtype=np.uint8).reshape(1, 4, 6, 1)
    source = base.group(images, np.array([0]))
    episodes = sampler(source, classes=[0], mirror_classes=True, meta_batch=20)
    batch = episodes.batch(0)
    found = base.to_bytes(batch.support.numpy())[:, 0, 0]
    for image, label in zip(found, batch.label.numpy(), strict=True):
        expected = images[0, :, ::-1] if label else images[0]
        np.testing.assert_array_equal(image, expected)
    assert set(batch.label.numpy()) == {0, 1}


def test_turning_needs_square_images():
    source = base.group(np.zeros([2, 4, 6, 1], np.uint8), np.array([0, 0]))
    sampler(source, classes=[0])
    with pytest.raises(ValueError, match=r"turns images of 4 x 6 pixels"):
        sampler(source, classes=[0], rotate_classes=True)


def test_elastic_distorts_images_and_nothing_else(arrows):
    plain = sampler(arrows, classes=[4, 6, 9]).batch(0)
    bent = sampler(arrows, classes=[4, 6, 9], elastic=1.0).batch(0)
    np.testing.assert_array_equal(plain.label, bent.label)
    np.testing.assert_array_equal(plain.seed, bent.seed)
    moved = np.abs(plain.support - bent.support)
    assert 0 < moved.mean() < 0.1
    first, second = bent.support[0, 0, :2].numpy()
    assert (first != second).any()


def test_elastic_of_strength_zero_is_identity(arrows):
    plain = sampler(arrows, classes=[4, 6, 9]).batch(0)
    assert_equal(
        plain, sampler(arrows, classes=[4, 6, 9], elastic=0.0).batch(0)
    )


@pytest.mark.parametrize("elastic", [0.0, 0.5])
def test_elastic_classes_bends_all_images_of_a_task_alike(arrows, elastic):
    given = {"classes": [4, 6, 9], "elastic": elastic}  # one image each
    plain = sampler(arrows, **given).batch(0)
    bent = sampler(arrows, **given, elastic_classes=1.0).batch(0)
    np.testing.assert_array_equal(plain.label, bent.label)
    assert 0 < np.abs(plain.query - bent.query).mean() < 0.1
    for support, query in zip(bent.support, bent.query, strict=True):
        images = tf.concat([support, query], axis=0)
        assert (images == images[0, 0]).numpy().all() == (elastic == 0)


def test_elastic_classes_bends_each_task_and_each_other_its_own_way(arrows):
    given = {"classes": [4, 6], "meta_batch": 8, "others": True}
    bent = sampler(arrows, **given, elastic_classes=1.0).batch(0)
    first = bent.support[:, 0, 0].numpy()
    assert len(np.unique(first, axis=0)) == len(first)
    others = bent.others.numpy().reshape(-1, *bent.others.shape[3:])
    assert len(np.unique(others, axis=0)) == len(others)


def test_sampler_keeps_only_images_of_its_classes(source):
    episodes = sampler(source, classes=[3, 7])
    assert episodes._shelf._images.shape[0] == 32


def test_too_many_shots_name_the_class_and_the_way_out(numbered):
    source = numbered([9, 4, 8], labels=[0, 1, 2])
    sampler(source, classes=[0, 2], shots=7)
    with pytest.raises(
        ValueError,
        match=r"--shots=7 needs 8 images per class, .*'class1' has 4\. "
        r"Use --shots=3 or another --dataset\.",
    ):
        sampler(source, classes=[0, 1, 2], shots=7)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"meta_batch": 0}, r"--meta_batch=0 gives empty batches"),
        ({"inner_batch_size": 0}, r"--inner_batch_size=0 gives empty"),
        ({"inner_steps": -1}, r"--inner_steps=-1 gives empty"),
        ({"shots": -1}, r"--shots=-1 and 6 classes give no task"),
        ({"classes": []}, r"--shots=0 and 0 classes give no task"),
        ({"classes": [2, 4]}, r"unknown class ids 4"),
        ({"others": True, "other_classes": [1]}, r"unknown class ids 1"),
    ],
)
def test_sampler_refuses(source, changes, text):
    with pytest.raises(ValueError, match=text):
        sampler(source, **changes)
