"""Reptile for those who adapt, an ordinary step for those who do not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems, runs
from tests.gan import test_latents
from tf_metagan import assembly
from tf_metagan.algorithms.latent import Latent
from tf_metagan.core import rng, tree
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout
from tf_metagan.gan import game as games
from tf_metagan.learner import Learner, create_variables
from tf_metagan.types import TaskBatch, Vars

EXACT = 1e-12
EPS = 0.25  # outer rate
MOVERS = ("d", "mlp", "mlp_cls")


def build(
    game=None, *, inner="adam", statistics="reset", n_critic=1, **options
):
    game = game or test_latents.make_game(**options.pop("game_options", {}))
    turns = assembly.make_turns(
        game.order, update_order="sequential", n_critic=n_critic
    )
    rule = InnerRule(problems.optimizer(inner), 0.05, "none", statistics)
    rules = {p: rule for turn in turns for p in turn.players}
    options = {"inner_steps": 3, **options}
    return Latent(Rollout(game, rules, turns), **options)


def tasks(number=1, *, steps=3, batch=4, seed=0):
    draw = np.random.default_rng(seed)
    shape = [number, steps, batch, *test_latents.SHAPE]
    support, query, others = (
        tf.constant(draw.uniform(-1, 1, shape)) for _ in range(3)
    )
    return TaskBatch(
        support=support,
        query=query,
        others=others,
        label=tf.range(number, dtype=tf.int64),
        seed=tf.constant(draw.integers(2**31, size=[number, 2])),
    )


def adapted(algorithm, vars, batch, number=0):
    task = problems.task(batch, number)
    return algorithm.rollout.run(
        vars, task.support, task.others, task.seed, algorithm.inner_steps
    )[0]


# H.7: one classical step, the others by interpolation.


def meta_step(algorithm, batch):
    """Return weights before and after a step with SGD(EPS), G with SGD(1)."""
    vars = algorithm.init(0)
    optimizers = {
        p: keras.optimizers.SGD(1.0 if p in algorithm.classical else EPS)
        for p in vars.params
    }
    learner = Learner(algorithm, create_variables(vars), optimizers=optimizers)
    learner.step(batch)
    return vars, learner.values()


def test_meta_step_interpolates_who_adapts_and_steps_once_for_g():
    algorithm, batch = build(), tasks()
    vars, after = meta_step(algorithm, batch)
    end = adapted(algorithm, vars, batch)
    for p in MOVERS:
        way = tree.zip_map(tf.subtract, end.params[p], vars.params[p])
        expected = tree.add_scaled(vars.params[p], EPS, way)
        assert problems.distance(after.params[p], expected) < 1e-7
        assert problems.distance(after.params[p], vars.params[p]) > 1e-4
    # G: its own gradient beside the adapted others, on images of the support.
    wrt = {"g": tuple(vars.params["g"])}
    data = (
        batch.support[0, -1],
        batch.others[0, -1],
        rng.fold(batch.seed[0], 1, algorithm.inner_steps - 1),
    )
    slope = algorithm.game.gradients(end, *data, wrt)[0]["g"]
    expected = tree.add_scaled(vars.params["g"], -1.0, slope)
    assert problems.distance(after.params["g"], expected) < 1e-7
    assert end.params["g"] == vars.params["g"]
    # Wrong twin: beside the partners before adaptation.
    slope = algorithm.game.gradients(vars, *data, wrt)[0]["g"]
    wrong = tree.add_scaled(vars.params["g"], -1.0, slope)
    assert problems.distance(after.params["g"], wrong) > 1e-3


def test_as_published_the_condition_network_stays_as_it_was():
    algorithm = build(game_options={"as_published": True})
    vars, after = meta_step(algorithm, tasks())
    assert problems.distance(
        after.params["mlp_cls"], vars.params["mlp_cls"]
    ) == pytest.approx(0.0)
    for p in ("d", "mlp", "g"):
        assert problems.distance(after.params[p], vars.params[p]) > 1e-4


def test_players_that_all_adapt_learn_by_reptile():
    duel = problems.game(loss="non_saturating")
    reptile, latent = (
        problems.build(name, duel=duel) for name in ("reptile", "latent")
    )
    vars, batch = problems.start(reptile), problems.tasks(reptile, 2)
    one, two = (
        problems.gradients(rule, vars, batch).params
        for rule in (reptile, latent)
    )
    assert latent.classical == ()
    assert problems.distance(one, two) < EXACT


# Turns, by a game that writes down who was asked for a gradient.


class Recorder:
    """A game of numbers that counts; every gradient is one."""

    def __init__(self, order):
        self.moves, self.seen = [], []
        self.game = games.Game(
            players=("d", "g", "mlp", "mlp_cls"),
            init=lambda seed: Vars(
                {p: {"w": tf.zeros([])} for p in self.game.players},
                {p: {} for p in self.game.players},
                {},
            ),
            losses=self.losses,
            gradients=self.gradients,
            sample=None,
            metrics=(),
            order=order,
            adapts_with_others=True,
        )

    def losses(self, vars, real, others, seed):
        return games.Outcome(
            {p: tf.zeros([]) for p in vars.params}, vars.state, {}
        )

    def gradients(self, vars, real, others, seed, wrt):
        self.moves.append(tuple(wrt))
        self.seen.append(real.numpy())
        grads = {p: {"w": tf.ones([])} for p in wrt}
        return grads, self.losses(vars, real, others, seed)


@pytest.mark.parametrize(
    ("order", "n_critic", "step"),
    [
        ((("d",), ("mlp", "mlp_cls")), 1, [("d",), ("mlp", "mlp_cls")]),
        (
            (("d",), ("mlp",), ("mlp_cls",)),
            5,
            [*[("d",)] * 5, ("mlp",), ("mlp_cls",)],
        ),
    ],
)
def test_turns_come_in_order_and_g_once_at_the_end(order, n_critic, step):
    recorder = Recorder(order)
    algorithm = build(
        recorder.game, inner="sgd", n_critic=n_critic, inner_loop="unrolled"
    )
    task = problems.task(tasks())
    result = algorithm.task_gradients(recorder.game.init(0), task, None)
    assert recorder.moves == [*step * 3, ("g",)]
    moved = {p: float(x["w"]) for p, x in result.grads.params.items()}
    per_move = 0.05 * algorithm.inner_steps
    assert moved["d"] == pytest.approx(per_move * n_critic, rel=1e-5)
    assert moved["mlp"] == pytest.approx(per_move, rel=1e-5)
    assert moved["g"] == 1.0  # its gradient, not its way


def images_seen(support):
    recorder = Recorder((("d",), ("mlp", "mlp_cls")))
    algorithm = build(
        recorder.game, inner="sgd", inner_steps=5, inner_loop="unrolled"
    )
    batch = tasks(steps=5)._replace(support=support)
    algorithm.task_gradients(recorder.game.init(0), problems.task(batch), None)
    return len({x.tobytes() for real in recorder.seen for x in real})


def test_exactly_the_shots_of_an_episode_are_seen():
    sampler = {}
    for shots in (16, 0):
        settings = runs.settings(
            images_per_class=20, shots=shots, inner_batch_size=16, inner_steps=5
        )
        images = assembly.load_images(settings)
        sampler[shots] = assembly.make_sampler(
            settings, images, classes=[0, 1], stream=0, meta_batch=1
        )
    assert images_seen(sampler[16].batch(0).support) == 16
    # The published script draws 16 anew at every step, and so sees all.
    assert images_seen(sampler[0].batch(0).support) > 16


# Nothing goes from task to task.


def test_tasks_do_not_share_statistics_of_optimisers():
    batch = tasks(2)

    def second(statistics, number):
        algorithm = build(statistics=statistics)
        vars = algorithm.init(0)
        first = adapted(algorithm, vars, batch, 0)
        if number == 2:  # with what the first task leaves behind
            left = {p: first.state[p] for p in vars.state}
            vars = vars._replace(state=left)
        return adapted(algorithm, vars, batch, 1).params

    assert problems.distance(second("reset", 1), second("reset", 2)) == 0.0
    carried = second("carried", 1), second("carried", 2)
    assert problems.distance(*carried) > 1e-4


def test_meta_step_leaves_no_state():
    algorithm = build(game_options={"kept_images": 3})
    vars, after = meta_step(algorithm, tasks(2))
    assert (
        set(after.state)
        == set(vars.state)
        == {
            *algorithm.game.players,
            "kept",
        }
    )
    np.testing.assert_array_equal(
        after.state["kept"]["images"], vars.state["kept"]["images"]
    )


# Adaptation.


@pytest.mark.parametrize("final_step", [False, True])
def test_g_takes_at_most_one_step_in_adaptation(final_step):
    algorithm = build(final_step=final_step, inner="sgd")
    vars, batch = algorithm.init(0), tasks()
    task = problems.task(batch)

    def adapt(steps):
        return algorithm.adapt(
            vars, task.support, task.others, task.seed, steps
        )[0]

    plain = adapted(algorithm, vars, batch)
    end = adapt(3)
    for p in MOVERS:
        assert problems.distance(end.params[p], plain.params[p]) == 0.0
    moved = problems.distance(end.params["g"], vars.params["g"])
    assert (moved > 1e-4) == final_step
    assert problems.distance(adapt(0).params, vars.params) == 0.0
    if final_step:
        wrt = {"g": tuple(vars.params["g"])}
        seed = rng.fold(task.seed, 2)
        data = task.support[0], task.others[0], rng.fold(seed, 0, 0, 0, 0)
        slope = algorithm.game.gradients(plain, *data, wrt)[0]["g"]
        expected = tree.add_scaled(vars.params["g"], -0.05, slope)
        assert problems.distance(end.params["g"], expected) < EXACT


def test_losses_of_all_players_are_logged():
    algorithm, batch = build(), tasks()
    task = problems.task(batch)
    _, log = algorithm.adapt(
        algorithm.init(0), task.support, task.others, task.seed, 2
    )
    for name in ("D_loss", "G_loss", "MLP_loss", "MLP_CLS_loss"):
        assert log[name].shape == [2]
        assert np.all(log[name].numpy() > 0.0)


def test_what_latent_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"latent cannot learn .*algo=maml"):
        problems.build("latent", learned_rates="weight")
    with pytest.raises(ValueError, match=r"--final_step is .*game=latent"):
        problems.build("latent", final_step=True)
