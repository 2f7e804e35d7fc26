"""One photograph's GAN as a rule: what moves when, and how often."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests import problems
from tests.algorithms.test_internal import equal, heads, make_learner
from tf_metagan import assembly, checkpoints, schedules

STEPS = 6  # two for each of three scales
MOVES = 3


def algorithm(**options):
    duel = small.singan()
    return small.algorithm(
        STEPS, name="singan", duel=duel, moves=MOVES, **options
    )


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Spare the graphs, of which every phase has its own."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train all phases; keep weights and a checkpoint of each step."""
    learner = make_learner(algorithm())
    folder = str(tmp_path_factory.mktemp("ckpt"))

    def state():
        path = checkpoints.save(learner, folder, keep=9)
        return learner.values(), path

    found = [state()]
    for _ in range(STEPS):
        learner.step(small.tasks(1))
        found.append(state())
    return learner, found


def check_frozen(before, after, scale):
    equal(heads(before, scale), heads(after, scale))


def test_older_scales_keep_their_bits(run):
    _, found = run
    check_frozen(found[2][0], found[STEPS][0], 0)
    check_frozen(found[4][0], found[STEPS][0], 1)
    with pytest.raises(AssertionError):
        check_frozen(found[2][0], found[STEPS][0], 1)


def test_discriminator_goes_on_where_the_scale_below_ended(tmp_path):
    learner = make_learner(algorithm())
    drawn = learner.values().params["d"]
    seen = []
    enter = learner.enter_phase

    def watched(step):
        seen.append(learner.values().params["d"])
        enter(step)

    learner.enter_phase = watched
    for _ in range(2):
        learner.step(small.tasks(1))
    begun = learner.values().params["d"]
    for leaf, x in seen[-1].items():
        equal(begun[leaf.replace("scale0/", "scale1/")], x)
        if "beta" not in leaf:
            with pytest.raises(AssertionError):
                equal(x, drawn[leaf])
    assert not [x for x in begun if x.startswith("scale0/")]


def test_every_player_moves_so_often(run):
    learner, _ = run
    for player in ("d", "g"):
        optimizer = learner._optimizers["params", player]
        assert int(optimizer.iterations.numpy()) == 2 * MOVES
    rule = algorithm()
    assert assembly.count_moves(rule, rule.init(0)) == {"d": MOVES, "g": MOVES}
    one = problems.build("fomaml")
    assert assembly.count_moves(one, one.init(0)) == {"d": 1, "g": 1}


def test_every_move_has_noise_of_its_own():
    rule = algorithm()
    vars = rule.init(0)
    turns = rule.outer_turns()
    first, second, *_ = (
        problems.gradients(turn, vars, small.tasks(1)) for turn in turns
    )
    apart = np.abs(
        first.params["d"]["scale0/conv5/kernel"]
        - second.params["d"]["scale0/conv5/kernel"]
    )
    assert apart.max() > 0
    whole = problems.gradients(rule, vars, small.tasks(1))
    equal(whole.params["d"], first.params["d"])


@pytest.mark.parametrize("start", [1, 3])
def test_resuming_in_any_phase_gives_the_same_bits(run, start):
    whole, found = run
    learner = make_learner(algorithm(), seed=1)
    checkpoints.restore(learner, found[start][1])
    for _ in range(start, STEPS):
        learner.step(small.tasks(1))
    equal(learner.snapshot(), whole.snapshot())


def test_step_size_drops_by_meta_steps_and_not_by_moves():
    drop = keras.optimizers.schedules.PiecewiseConstantDecay([7], [1.0, 0.1])
    slow = schedules.Slowed(drop, MOVES)
    found = [float(slow(i)) for i in range(10 * MOVES)]
    assert found == pytest.approx([1.0] * 8 * MOVES + [0.1] * 2 * MOVES)
    stored = keras.optimizers.schedules.serialize(slow)
    again = keras.optimizers.schedules.deserialize(stored)
    assert float(again(8 * MOVES)) == pytest.approx(0.1)
    assert float(drop(8)) == pytest.approx(0.1)  # by moves


def growing():
    return small.algorithm(
        STEPS, name="consingan", duel=small.growing(), moves=MOVES
    )


def test_growing_generator_goes_several_times_by_one_gradient():
    rule = growing()
    turns = rule.outer_turns()
    assert [x.strides for x in turns] == [1] * MOVES + [MOVES]
    assert assembly.count_moves(rule, rule.init(0)) == {"d": MOVES, "g": MOVES}


def sgd():
    return (
        {p: keras.optimizers.SGD(0.5, name=p) for p in ("d", "g")},
        {},
    )


def test_older_stages_go_a_part_of_the_way():
    """Beside a learner that knows of no factors."""
    ends = []
    for slow in (True, False):
        rule = growing()
        if not slow:
            game = rule.game._replace(rates=lambda params: {})
            rule = small.algorithm(STEPS, name="consingan", duel=game)
        learner = make_learner(rule)
        learner._renew = sgd
        learner.enter_phase(2)
        learner._rates = learner._rates if slow else {}
        begun = learner.values().params["g"]
        turn = rule.outer_turns()[-1]
        turn.strides = 1
        learner._turn(turn, small.tasks(1))
        after = learner.values().params["g"]
        ends.append({x: after[x] - w for x, w in begun.items()})
    slow, fast = ends
    for leaf, part in (("scale1", 1.0), ("scale0", 0.1), ("outer/tail", 1.0)):
        for x, way in fast.items():
            if x.startswith(leaf):
                assert np.abs(way).max() > 0
                np.testing.assert_allclose(slow[x], part * way, rtol=1e-4)


def averaging(rate=0.5):
    def make(player):
        return keras.optimizers.SGD(
            rate, name=player, use_ema=True, ema_momentum=0.75
        )

    return {p: make(p) for p in ("d", "g")}, {}


def test_average_is_of_older_stages_as_they_went():
    """a_1 = w_1, a_t = 0.75 a_(t-1) + 0.25 w_t, of slow leaves too."""
    rule = growing()
    learner = make_learner(rule)
    learner._renew = averaging
    learner.enter_phase(2)
    turn = rule.outer_turns()[-1]
    turn.strides = 1
    expected = None
    for _ in range(3):
        learner._turn(turn, small.tasks(1))
        now = learner.values().params["g"]
        if expected is None:
            expected = now
        else:
            expected = {x: 0.75 * expected[x] + 0.25 * now[x] for x in now}
        found = learner.averaged().params["g"]
        for leaf in now:
            np.testing.assert_allclose(found[leaf], expected[leaf], rtol=1e-6)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            found["scale1/conv1/kernel"], now["scale1/conv1/kernel"], rtol=1e-6
        )


def test_average_begins_with_the_phase():
    """Three steps a scale; scales that do not learn are as they are."""
    learner = make_learner(
        small.algorithm(9, name="singan", duel=small.singan()),
        optimizers=functools.partial(averaging, 0.01),
    )

    def averages():
        now = learner.values().params["g"]
        mean = learner.averaged().params["g"]
        assert all(np.isfinite(x).all() for x in now.values())
        return {
            leaf.partition("/")[0]
            for leaf, x in now.items()
            if not np.array_equal(x, mean[leaf])
        }

    found = []
    for _ in range(5):
        learner.step(small.tasks(1))
        found.append(averages())
    # The first step of a phase is its average; the third ends the phase.
    assert found == [set(), {"scale0"}, set(), set(), {"scale1"}]


def test_growing_generator_resumes_with_the_same_bits(tmp_path):
    whole, again = make_learner(growing()), make_learner(growing(), seed=1)
    for step in range(5):
        whole.step(small.tasks(1))
        if step == 2:
            path = checkpoints.save(whole, str(tmp_path), keep=9)
    checkpoints.restore(again, path)
    for _ in range(3, 5):
        again.step(small.tasks(1))
    equal(again.snapshot(), whole.snapshot())
