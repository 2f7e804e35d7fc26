"""The inner loop moves the right weights by the right amounts, in order."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.architectures import toy
from tf_metagan.core import inner, optim, rng, rollout
from tf_metagan.core.rollout import Task, Turn
from tf_metagan.gan import duel, losses, penalties
from tf_metagan.gan import game as games
from tf_metagan.types import Vars

RATE = 0.1
SEED = rng.make_seed(4)
TOGETHER = (Turn(("d", "g")),)
IN_TURN = (Turn(("d",)), Turn(("g",)))


def rule(optimizer=None, rate=RATE, **options):
    return inner.InnerRule(optimizer or optim.sgd(), rate, **options)


def rmsprop():
    return optim.rmsprop(
        inner_rho=0.9,
        inner_epsilon=1e-3,
        epsilon_placement="outside",
        statistics_gradient="full",
    )


# A game without networks: V = x y m, m the mean of the batch; d has y and
# raises V, g has x and lowers it.


def bilinear(*, seen=None):
    """Return the game; `seen` collects (others, seed) of each gradient."""

    def evaluate(vars, real, others, seed):
        del others, seed
        value = vars.params["g"]["x"] * vars.params["d"]["y"]
        value = value * tf.reduce_mean(real)
        return games.Outcome(
            {"d": -value, "g": value}, vars.state, {"value": value}
        )

    def gradients(vars, real, others, seed, wrt):
        if seen is not None:
            seen.append((others, tuple(seed.numpy())))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(vars.params)
            outcome = evaluate(vars, real, others, seed)
        grads = {
            p: {
                k: tape.gradient(outcome.loss[p], vars.params[p][k])
                for k in leaves
            }
            for p, leaves in wrt.items()
        }
        return grads, outcome

    return games.Game(
        players=("d", "g"),
        init=lambda seed: start(),
        losses=evaluate,
        gradients=gradients,
        sample=None,
        metrics=("value",),
    )


def start(y=0.7, x=-0.4):
    params = {"d": {"y": y}, "g": {"x": x}}
    params = tf.nest.map_structure(lambda w: tf.constant(w, tf.float64), params)
    return Vars(params, {"d": {}, "g": {}}, {})


def make(turns=TOGETHER, rules=None, game=None, **options):
    rules = {"d": rule(), "g": rule()} if rules is None else rules
    return rollout.Rollout(game or bilinear(), rules, turns, **options)


def batches(*means):
    """Return support images [steps, 2, 1, 1, 1] with these means."""
    return tf.constant([[m - 0.5, m + 0.5] for m in means], tf.float64)[
        ..., None, None, None
    ]


def adapt(loop, steps, vars=None, support=None):
    vars = start() if vars is None else vars
    support = batches(1.0) if support is None else support
    return loop.run(vars, support, None, SEED, steps)


def point(vars):
    return float(vars.params["d"]["y"]), float(vars.params["g"]["x"])


# Who moves when, by hand.


def check_simultaneous(loop):
    """z = x + i y turns outwards: z <- (1 + i rate) z."""
    for steps in range(6):
        y, x = point(adapt(loop, steps)[0])
        expected = (1.0 + 1j * RATE) ** steps * (-0.4 + 0.7j)
        np.testing.assert_allclose(
            [x, y], [expected.real, expected.imag], 1e-14
        )


def check_sequential(loop, n_critic=1):
    """y <- y + n rate x, then x <- x - rate y with the new y."""
    step = np.array([[1.0, n_critic * RATE], [-RATE, 1.0 - n_critic * RATE**2]])
    for steps in range(6):
        expected = np.linalg.matrix_power(step, steps) @ [0.7, -0.4]
        np.testing.assert_allclose(
            point(adapt(loop, steps)[0]), expected, 1e-14
        )


def test_players_of_one_turn_move_from_the_same_weights():
    check_simultaneous(make(TOGETHER))
    with pytest.raises(AssertionError):
        check_simultaneous(make(IN_TURN))


def test_players_of_two_turns_move_one_after_the_other():
    check_sequential(make(IN_TURN))
    with pytest.raises(AssertionError):
        check_sequential(make(TOGETHER))
    with pytest.raises(AssertionError):
        check_sequential(make(IN_TURN[::-1]))


@pytest.mark.parametrize("n_critic", [2, 5])
def test_turn_is_repeated(n_critic):
    loop = make((Turn(("d",), n_critic), Turn(("g",))))
    check_sequential(loop, n_critic)
    with pytest.raises(AssertionError):
        check_sequential(loop, 1)


def test_repeats_of_a_simultaneous_turn_are_steps():
    y, x = point(adapt(make((Turn(("d", "g"), 3),)), 2)[0])
    assert (y, x) == pytest.approx(point(adapt(make(TOGETHER), 6)[0]), 1e-14)


def test_each_player_has_its_own_rule():
    loop = make(rules={"d": rule(rate=0.1), "g": rule(rate=0.3)})
    y, x = point(adapt(loop, 1)[0])
    assert (y, x) == pytest.approx((0.7 - 0.1 * 0.4, -0.4 - 0.3 * 0.7), 1e-14)


def test_player_without_rule_or_turn_stays():
    no_rule = make(rules={"d": rule()})
    no_turn = make((Turn(("d",)),))
    for loop in (no_rule, no_turn):
        y, x = point(adapt(loop, 3)[0])
        assert (y, x) == pytest.approx((0.7 - 3 * 0.1 * 0.4, -0.4), 1e-14)


# Images, seeds, others.


def check_batches(loop, means, used):
    """The mean of the batch scales the turn of each step."""
    expected = -0.4 + 0.7j
    for steps, mean in enumerate(used, 1):
        expected *= 1.0 + 1j * RATE * mean
        y, x = point(adapt(loop, steps, support=batches(*means))[0])
        np.testing.assert_allclose(
            [x, y], [expected.real, expected.imag], 1e-13
        )


def test_step_uses_its_batch_and_begins_anew_at_the_end():
    check_batches(make(), (1.0, 3.0, -2.0), (1.0, 3.0, -2.0, 1.0, 3.0))
    check_batches(make(), (3.0,), (3.0, 3.0, 3.0))
    with pytest.raises(AssertionError):  # the last one goes on
        check_batches(make(), (1.0, 3.0), (1.0, 3.0, 3.0))
    with pytest.raises(AssertionError):  # always the first one
        check_batches(make(), (1.0, 3.0), (1.0, 1.0))


def seeds_of(turns, steps):
    seen = []
    adapt(make(turns, game=bilinear(seen=seen)), steps)
    return [seed for _, seed in seen]


def check_distinct(seeds, count):
    assert len(seeds) == len(set(seeds)) == count


def test_every_move_has_a_seed_of_its_own_and_one_turn_has_one():
    check_distinct(seeds_of(TOGETHER, 5), 5)
    turns = (Turn(("d",), 3), Turn(("g",)))
    seeds = seeds_of(turns, 5)
    check_distinct(seeds, 20)
    assert seeds == seeds_of(turns, 5)
    assert seeds_of(turns, 2) == seeds[:8]
    with pytest.raises(AssertionError):
        check_distinct(seeds + seeds[:1], 21)


def test_validation_has_other_seeds_and_the_query_images():
    loop = make()
    task = Task(batches(1.0), batches(5.0, 7.0), batches(2.0, 4.0), SEED)
    moves = seeds_of(TOGETHER, 4)
    for index, (mean, other) in enumerate(
        [(5.0, 2.0), (7.0, 4.0), (5.0, 2.0), (7.0, 4.0)]
    ):
        real, others, seed = loop.validation(tf.constant(index), task)
        assert np.mean(real) == mean
        assert np.mean(others) == other
        moves.append(tuple(seed.numpy()))
        carry = loop.begin(start())
        outcome = loop.validate(start(), carry, tf.constant(index), task)
        assert float(outcome.loss["g"]) == pytest.approx(mean * 0.7 * -0.4)
    check_distinct(moves, 8)
    # Nor does what a game folds into them meet the seed of a move.
    for index in range(4):
        seed = loop.validation(tf.constant(index), task)[2]
        for fold in [(0,), (1,), (0, 0), (0, 1), (1, 0)]:
            assert tuple(rng.fold(seed, *fold).numpy()) not in moves
    assert loop.validation(0, task._replace(others=None))[1] is None


def test_others_come_with_the_images_of_the_step():
    seen = []
    game = bilinear(seen=seen)
    loop = make(game=game._replace(adapts_with_others=True))
    loop.run(start(), batches(1.0), batches(8.0, 9.0), SEED, 3)
    assert [float(np.mean(others)) for others, _ in seen] == [8.0, 9.0, 8.0]
    # The outer loss may have them where adaptation has none.
    seen.clear()
    loop = make(game=game)
    loop.run(start(), batches(1.0), batches(8.0, 9.0), SEED, 3)
    assert [others for others, _ in seen] == [None] * 3
    task = Task(batches(1.0), batches(2.0), batches(8.0, 9.0), SEED)
    assert float(np.mean(loop.validation(1, task)[1])) == 9.0


# Metrics.


def test_metrics_are_those_before_each_move():
    y, x, expected = 0.7, -0.4, []
    for _ in range(4):
        expected.append(x * y)
        y, x = y + RATE * x, x - RATE * y
    _, log = adapt(make(), 4)
    assert set(log) == {"D_loss", "G_loss", "value"}
    assert set(log) == set(make().metric_names())
    np.testing.assert_allclose(log["G_loss"], expected, 1e-14)
    np.testing.assert_allclose(log["D_loss"], -np.array(expected), 1e-14)
    np.testing.assert_allclose(log["value"], expected, 1e-14)
    after = [*expected[1:], x * y]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(log["G_loss"], after, 1e-14)


def test_metrics_of_repeated_turns_are_the_last_ones():
    _, log = adapt(make((Turn(("d",), 2), Turn(("g",)))), 1)
    # D's before its second move, G's before its only one.
    np.testing.assert_allclose(log["D_loss"], [0.4 * (0.7 - RATE * 0.4)], 1e-14)
    np.testing.assert_allclose(
        log["G_loss"], [-0.4 * (0.7 - 2 * RATE * 0.4)], 1e-14
    )


def test_note_fills_the_row_of_its_step_only():
    log = {"a": tf.zeros([3], tf.float64), "b": tf.constant([1.0, 2.0, 3.0])}
    noted = rollout.note(log, 1, {"a": tf.constant(5.0)})
    np.testing.assert_array_equal(noted["a"], [0.0, 5.0, 0.0])
    assert noted["a"].dtype == tf.float64
    np.testing.assert_array_equal(noted["b"], log["b"])
    # One step that is not finite does not spoil the others.
    noted = rollout.note(noted, 2, {"a": tf.constant(float("nan"))})
    np.testing.assert_array_equal(noted["a"], [0.0, 5.0, float("nan")])


# Rules inside the loop.


def test_one_player_alone_follows_its_optimizer():
    """d's gradient is constant, -x: RMSprop by hand."""
    loop = make((Turn(("d",)),), {"d": rule(rmsprop())})
    y, v = 0.7, 0.0
    for steps in range(1, 5):
        v = 0.9 * v + 0.1 * 0.4**2
        y -= RATE * 0.4 / (np.sqrt(v) + 1e-3)
        assert point(adapt(loop, steps)[0])[0] == pytest.approx(y, rel=1e-13)


def check_statistics(statistics, expected):
    """Adapt twice in a row; return v after each time, and compare."""
    loop = make((Turn(("d",)),), {"d": rule(rmsprop(), statistics=statistics)})
    vars, got = loop.init(0), []
    for _ in range(2):
        vars, _ = adapt(loop, 2, vars)
        got.append(vars.state["d"].get("slots/v/y"))
    assert (got[0] is None) == (expected is None)
    if expected is not None:
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_carried_statistics_go_on_where_the_last_task_ended():
    squares, v = [], 0.0
    for _ in range(4):
        v = 0.9 * v + 0.1 * 0.4**2
        squares.append(v)
    check_statistics("carried", squares[1::2])
    check_statistics("reset", None)
    check_statistics("learned", None)
    with pytest.raises(AssertionError):
        check_statistics("carried", [squares[1], squares[1]])


def test_learned_rates_are_those_of_the_step():
    rates = tf.constant([0.5, 0.1, -0.2], tf.float64)
    loop = make(
        (Turn(("d",)),),
        {"d": rule(learned_rates="layer_step", steps=3)},
    )
    vars = loop.init(0)
    np.testing.assert_array_equal(vars.inner["d"]["rate/y"], [RATE] * 3)
    vars = vars._replace(inner={"d": {"rate/y": rates}})
    reach = np.cumsum([0.5, 0.1, -0.2, -0.2, -0.2])
    for steps in range(1, 6):
        adapted, _ = adapt(loop, steps, vars)
        expected = 0.7 - 0.4 * reach[steps - 1]
        assert point(adapted)[0] == pytest.approx(expected, rel=1e-13)
        assert adapted.inner is vars.inner


def test_directions_are_summed_over_a_step():
    """With a constant rate, weights move by minus rate times directions."""
    loop = make((Turn(("d",), 3), Turn(("g",))))
    vars = start()
    task = Task(batches(1.0), None, None, SEED)
    moved = loop.step(vars, loop.begin(vars), tf.constant(0), task)
    for p, leaf in (("d", "y"), ("g", "x")):
        change = moved.carry.params[p][leaf] - vars.params[p][leaf]
        np.testing.assert_allclose(
            change, -RATE * moved.directions[p][leaf], rtol=1e-14
        )
    assert float(moved.directions["d"]["y"]) == pytest.approx(3 * 0.4)


# Derivatives of one step when players are alone.


def jacobian(*, alone):
    """Return d(y, x after a sequential step) / d(y, x before)."""
    loop, vars = make(IN_TURN), start()
    task = Task(batches(1.0), None, None, SEED)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vars.params)
        moved = loop.step(
            vars, loop.begin(vars), tf.constant(0), task, alone=alone
        )
    before = [vars.params["d"]["y"], vars.params["g"]["x"]]
    after = [moved.carry.params["d"]["y"], moved.carry.params["g"]["x"]]
    rows = [
        tape.gradient(w, before, unconnected_gradients="zero") for w in after
    ]
    return np.array(rows), [float(w) for w in after]


def test_player_alone_moves_as_ever_and_depends_on_itself_only():
    full, values = jacobian(alone=False)
    own, same = jacobian(alone=True)
    assert values == same
    np.testing.assert_allclose(
        full, [[1.0, RATE], [-RATE, 1.0 - RATE**2]], rtol=1e-14
    )
    np.testing.assert_allclose(own, np.eye(2), rtol=1e-14)


# Networks.

NETWORKS = toy.build(
    image_size=2, channels=1, width=3, latent_size=2, dtype="float64"
)
GAME = duel.two_player(
    NETWORKS,
    loss=losses.wasserstein(),
    penalty=penalties.gradient(penalty_weight=10.0, penalty_norm="sample"),
)
IMAGES = tf.constant(
    np.random.default_rng(0).uniform(-1.0, 1.0, [2, 3, 2, 2, 1])
)


def network_loop(turns=TOGETHER, optimizer=None, **options):
    chosen = rule(optimizer or rmsprop(), 0.01)
    return make(turns, {"d": chosen, "g": chosen}, GAME, **options)


def changed(before, after):
    return {
        f"{p}/{leaf}"
        for p, leaves in before.params.items()
        for leaf, w in leaves.items()
        if not np.array_equal(w, after.params[p][leaf])
    }


def check_same(one, other):
    """Bit for bit."""
    tf.nest.assert_same_structure(one, other)
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", [optim.sgd(), rmsprop()])
def test_order_of_players_in_a_turn_does_not_matter(optimizer):
    one = network_loop((Turn(("d", "g")),), optimizer)
    other = network_loop((Turn(("g", "d")),), optimizer)
    vars = one.init(0)
    check_same(adapt(one, 3, vars, IMAGES)[0], adapt(other, 3, vars, IMAGES)[0])
    with pytest.raises(AssertionError):
        check_same(
            adapt(network_loop(IN_TURN, optimizer), 3, vars, IMAGES)[0],
            adapt(network_loop(IN_TURN[::-1], optimizer), 3, vars, IMAGES)[0],
        )


def check_no_step(vars, adapted):
    check_same(adapted[0], vars)
    for row in adapted[1].values():
        assert row.shape == (0,)


@pytest.mark.parametrize("statistics", inner.STATISTICS)
def test_no_step_returns_the_input(statistics):
    chosen = rule(rmsprop(), learned_rates="weight", statistics=statistics)
    loop = make(rules={"d": chosen, "g": chosen}, game=GAME)
    vars = loop.init(0)
    check_no_step(vars, adapt(loop, 0, vars, IMAGES))
    with pytest.raises(AssertionError):
        check_no_step(vars, adapt(loop, 1, vars, IMAGES))


def test_adapting_leaves_its_arguments_alone():
    loop = network_loop()
    vars = loop.init(0)
    before = tf.nest.map_structure(lambda w: w.numpy().copy(), vars.params)
    adapt(loop, 2, vars, IMAGES)
    check_same(vars.params, before)


def check_reach(loop, expected):
    vars = loop.init(0)
    assert changed(vars, adapt(loop, 1, vars, IMAGES)[0]) == expected


D_LEAVES = {"d/hidden/kernel", "d/hidden/bias", "d/head/kernel"}
G_LEAVES = {
    "g/hidden/kernel",
    "g/hidden/bias",
    "g/paint/kernel",
    "g/paint/bias",
}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        # A Wasserstein loss does not feel the bias of the last layer.
        (("*",), D_LEAVES | G_LEAVES),
        (("d/*",), D_LEAVES),
        (("g/paint/*",), {"g/paint/kernel", "g/paint/bias"}),
        (("*/hidden/bias",), {"d/hidden/bias", "g/hidden/bias"}),
        (
            ("d/head/*", "g/p????/kernel"),
            {"d/head/kernel", "g/paint/kernel"},
        ),
        (("D/*",), set()),
        ((), set()),
    ],
)
def test_adaptation_moves_the_leaves_that_match_and_no_others(
    patterns, expected
):
    check_reach(network_loop(adapt=patterns, optimizer=optim.sgd()), expected)


def test_adaptation_of_too_much_or_too_little_is_noticed():
    for patterns in (("*",), ("d/head/*",), ()):
        loop = network_loop(adapt=patterns, optimizer=optim.sgd())
        with pytest.raises(AssertionError):
            check_reach(loop, D_LEAVES)


def test_leaf_that_stays_still_takes_part():
    """The others move as they do next to it, not as if it were zero."""
    loop = network_loop(adapt=("d/head/kernel",), optimizer=optim.sgd())
    vars = loop.init(0)
    seed = rng.fold(SEED, 0, 0, 0, 0)
    grads, _ = GAME.gradients(
        vars, IMAGES[0], None, seed, {"d": ("head/kernel",)}
    )
    adapted, _ = adapt(loop, 1, vars, IMAGES)
    np.testing.assert_allclose(
        adapted.params["d"]["head/kernel"],
        vars.params["d"]["head/kernel"] - 0.01 * grads["d"]["head/kernel"],
        rtol=1e-13,
    )


def scan(loop, support, steps, *, unrolled):
    """Return the carry after `steps` and the sum of G's losses, by a graph."""

    def visit(index, before, moved, total):
        del index, before
        return total + moved.metrics["G_loss"]

    @tf.function(autograph=False)
    def run(vars, support):
        return loop.scan(
            vars,
            Task(support, None, None, SEED),
            steps,
            visit,
            tf.zeros([], tf.float64),
            unrolled=unrolled,
        )

    return run(loop.init(0), support)


def check_unrolled(loop, support, *, steps=2, unrolled=2):
    check_same(
        scan(loop, support, steps, unrolled=False),
        scan(loop, support, unrolled, unrolled=True),
    )


def test_while_loop_equals_the_unrolled_one_bit_for_bit():
    check_unrolled(network_loop(), IMAGES)
    loop = make((Turn(("d",), 2), Turn(("g",))))
    check_unrolled(loop, batches(1.0, 2.0), steps=5, unrolled=5)
    with pytest.raises(AssertionError):
        check_unrolled(loop, batches(1.0, 2.0), steps=5, unrolled=4)


def test_number_of_steps_may_be_a_tensor():
    loop = network_loop()
    vars = loop.init(0)
    graph = tf.function(
        lambda steps: loop.run(vars, IMAGES, None, SEED, steps),
        input_signature=[tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
    for steps in (0, 1, 4):
        adapted, log = graph(steps)
        expected, expected_log = adapt(loop, steps, vars, IMAGES)
        tf.nest.assert_same_structure(adapted, expected)
        for a, b in zip(
            tf.nest.flatten((adapted, log)),
            tf.nest.flatten((expected, expected_log)),
            strict=True,
        ):
            # A graph may fuse operations; RMSprop makes signs of roundings.
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert graph.experimental_get_tracing_count() == 1


def test_steps_go_on_from_where_a_shorter_run_ends():
    """SGD has no memory; seeds and batches depend on the step's number."""
    loop = network_loop(optimizer=optim.sgd())
    vars = loop.init(0)
    one = adapt(loop, 3, vars, IMAGES)[1]["G_loss"]
    two = adapt(loop, 5, vars, IMAGES)[1]["G_loss"]
    np.testing.assert_array_equal(one, two[:3])


# Structure.


def test_start_holds_what_the_rules_need():
    rules = {
        "d": rule(rmsprop(), statistics="carried"),
        "g": rule(rmsprop(), learned_rates="weight", statistics="learned"),
    }
    loop = make(rules=rules, game=GAME, adapt=("d/head/*", "g/paint/*"))
    vars = loop.init(0)
    assert set(vars.state["d"]) == {"slots/v/head/kernel", "slots/v/head/bias"}
    assert vars.state["g"] == {}
    assert set(vars.inner) == {"g"}
    assert set(vars.inner["g"]) == {
        f"{kind}/paint/{name}"
        for kind in ("rate", "slots/v")
        for name in ("kernel", "bias")
    }
    carry = loop.begin(vars)
    assert set(carry.params["d"]) == {"head/kernel", "head/bias"}
    assert carry.state == {"d": {}, "g": {}}  # the networks' own
    assert set(carry.slots["g"]["v"]) == {"paint/kernel", "paint/bias"}
    check_same(loop.assemble(vars, carry), vars)


def test_player_may_be_absent_where_it_has_nothing():
    """As `Vars` says; a game written by hand need not know of state."""
    vars = start()._replace(state={})
    loop = make()
    assert point(adapt(loop, 2, vars)[0]) == point(adapt(loop, 2)[0])


def test_metric_names_are_listed_once_and_in_order():
    assert make().metric_names() == ("D_loss", "G_loss", "value")
    turns = (Turn(("g",)), Turn(("d",), 2), Turn(("g",)))
    assert make(turns).metric_names() == ("G_loss", "D_loss", "value")
