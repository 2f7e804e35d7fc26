"""A checkpoint is the whole learner, and says so when it is not."""

import contextlib
import functools
import os
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan import checkpoints


def make(optimizer=keras.optimizers.Adam, *, width=2, toy=True, **options):
    """Build a learner that has not done anything yet."""
    architecture = "toy" if toy else "dcgan"
    duel = problems.game(architecture=architecture, width=width)
    algorithm = problems.build("reptile", duel=duel, inner_steps=1)
    return problems.learner(algorithm, optimizer, **options)


def saved(learner, folder, *, keep=2):
    return checkpoints.save(learner, str(folder), keep=keep)


def check_same(ours, theirs):
    tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)


# Going on.


def resumable():
    duel = problems.game(architecture="dcgan", width=4, dtype="float32")
    algorithm = problems.build(
        "fomaml", duel=duel, inner="rmsprop", rate=1e-3, statistics="carried"
    )
    decay = keras.optimizers.schedules.PolynomialDecay(1e-2, 10, 0.0)
    return problems.learner(
        algorithm,
        lambda: keras.optimizers.Adam(decay, use_ema=True, ema_momentum=0.5),
        seed=3,
        split="split",
    )


def train(learner, steps):
    """Train on tasks that are a function of the meta-step."""
    for _ in range(steps):
        seed = int(learner.meta_step.numpy())
        batch = problems.tasks(learner.algorithm, 2, seed=seed, dtype="float32")
        learner.step(batch)
    return learner.snapshot()


def test_training_on_equals_training_through(tmp_path):
    whole, second = resumable(), resumable()
    start = whole.snapshot()
    half = train(whole, 2)
    path = saved(whole, tmp_path)
    through = train(whole, 2)
    checkpoints.restore(second, path)
    assert int(second.meta_step) == 2
    check_same(train(second, 2), through)
    tf.nest.map_structure(
        np.testing.assert_array_equal, second.averaged(), whole.averaged()
    )
    with pytest.raises(AssertionError):
        check_same(through, half)
    # Without the optimisers' statistics it is another training.
    second.put_back(
        {
            name: start[name] if name.startswith("optimizer.") else old
            for name, old in half.items()
        }
    )
    with pytest.raises(AssertionError):
        check_same(train(second, 2), through)


def test_checkpoint_is_named_by_its_meta_step(tmp_path):
    learner = make()
    learner.meta_step.assign(7)
    path = saved(learner, tmp_path)
    assert os.path.basename(path) == "ckpt-7"
    assert checkpoints.latest(str(tmp_path)) == path


def test_restore_covers_every_item(tmp_path):
    first = make(seed=4)
    draw = np.random.default_rng(0)
    for name, variable in first.items().items():
        if name not in ("seed", "split"):
            value = draw.integers(1, 100, variable.shape)
            variable.assign(value.astype(variable.dtype.as_numpy_dtype))
    second = make(seed=4)
    checkpoints.restore(second, saved(first, tmp_path))
    check_same(second.snapshot(), first.snapshot())


# The newest one that is there.


def test_no_folder_and_an_empty_folder_have_no_checkpoint(tmp_path):
    assert checkpoints.latest(str(tmp_path / "none")) is None
    assert checkpoints.latest(str(tmp_path)) is None


def test_removed_checkpoint_is_passed_over(tmp_path):
    learner = make()
    paths = []
    for meta_step in (1, 2):
        learner.meta_step.assign(meta_step)
        paths.append(saved(learner, tmp_path))
    assert checkpoints.latest(str(tmp_path)) == paths[1]
    for name in os.listdir(tmp_path):
        if name.startswith("ckpt-2."):
            os.remove(tmp_path / name)
    assert checkpoints.latest(str(tmp_path)) == paths[0]
    checkpoints.restore(make(), paths[0])


def test_only_the_newest_are_kept(tmp_path):
    learner = make()
    paths = []
    for meta_step in range(1, 5):
        learner.meta_step.assign(meta_step)
        paths.append(saved(learner, tmp_path, keep=2))
    assert checkpoints.find(str(tmp_path)) == paths[2:]
    there = {name.partition(".")[0] for name in os.listdir(tmp_path)}
    assert there == {"checkpoint", "ckpt-3", "ckpt-4"}


# Damage.

INDEX, DATA = ".index", ".data-00000-of-00001"


def cut(path, size):
    """Shorten a file."""
    os.truncate(path, size)


def flip(path, place):
    """Change one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        (INDEX, os.remove),
        (INDEX, functools.partial(cut, size=0)),
        (INDEX, functools.partial(cut, size=50)),
        (DATA, os.remove),
        (DATA, functools.partial(cut, size=0)),
        (DATA, functools.partial(cut, size=50)),
        (DATA, functools.partial(flip, place=100)),
    ],
)
def test_damaged_checkpoint_is_named_and_changes_nothing(
    tmp_path, part, damage
):
    learner, other = make(), make()
    learner.meta_step.assign(9)
    path = saved(learner, tmp_path)
    before = other.snapshot()
    damage(path + part)
    message = r"ckpt-9 cannot be read: .*damaged or incomplete; delete its"
    with pytest.raises(OSError, match=message):
        checkpoints.restore(other, path)
    check_same(other.snapshot(), before)


# Checkpoints of other runs.

OTHERS = {
    "width": {"width": 3},
    "architecture": {"toy": False},
    "optimizer": {"optimizer": keras.optimizers.SGD},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_weights_are_refused(tmp_path, name):
    one, other = make(), make(**OTHERS[name])
    for first, second in ((one, other), (other, one)):
        path = saved(first, tmp_path / str(id(first)))
        before = second.snapshot()
        message = "holds other weights .*Use the settings it was written with"
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(second, path)
        check_same(second.snapshot(), before)


@pytest.mark.parametrize("name", ["seed", "split"])
def test_other_seed_or_split_is_refused(tmp_path, name):
    values = {"seed": (1, 2), "split": ("even", "odd")}[name]
    one, other = (make(**{name: value}) for value in values)
    path = saved(one, tmp_path)
    before = other.snapshot()
    message = rf"trained with another {name} \(.*\) than asked for .*Use the"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(other, path)
    check_same(other.snapshot(), before)


# A full disk.


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file of this process grow beyond a number of bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_in_vain(learner, folder):
    with file_size_limit(64):
        saved(learner, folder, keep=1)


def test_full_disk_leaves_the_checkpoint_before(tmp_path):
    learner = make()
    learner.meta_step.assign(1)
    good = saved(learner, tmp_path, keep=1)
    before = learner.snapshot()
    learner.meta_step.assign(2)
    message = r"cannot write a checkpoint to .*Free some space or check"
    with pytest.raises(OSError, match=message):
        save_in_vain(learner, tmp_path)
    assert checkpoints.latest(str(tmp_path)) == good
    other = make()
    checkpoints.restore(other, good)
    check_same(other.snapshot(), before)
    # When there is space again, saving works again.
    path = saved(learner, tmp_path, keep=1)
    assert checkpoints.latest(str(tmp_path)) == path
    checkpoints.restore(other, path)
    assert int(other.meta_step) == 2
