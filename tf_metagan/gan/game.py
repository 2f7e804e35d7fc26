"""What a GAN is: players, each with its own loss over the same weights."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Params, Vars

_LATENT, _PENALTY, _D_NOISE, _G_NOISE = range(4)


class Outcome(NamedTuple):
    """What one evaluation of a game yields.

    Attributes:
      loss: {player: scalar}, what each player minimises. With gradients, of
        the players that were asked for and of others that cost nothing more.
      state: {player: {leaf: value}} after the forward passes.
      metrics: {name: scalar} to be logged.
      terms: {name: scalar}, what the losses are made of, where players share
        parts and so can share their derivatives; else None.
      mix: {player: {name of a term: factor}}; loss[p] is the sum of factor *
        term. None with `terms`.
    """

    loss: dict[str, tf.Tensor]
    state: dict[str, Params]
    metrics: dict[str, tf.Tensor]
    terms: dict[str, tf.Tensor] | None = None
    mix: dict[str, dict[str, float]] | None = None


class Game(NamedTuple):
    """A set of players and pure functions over their weights.

    Attributes:
      players: names, in no particular order of moves.
      init: (seed: int) -> Vars, freshly drawn weights.
      losses: (vars, real, others, seed) -> Outcome.
      gradients: (vars, real, others, seed, wrt) -> ({player: {leaf: gradient}},
        Outcome): the gradient of each player's own loss with respect to the
        leaves `wrt[player]` of that player; players absent from `wrt` are
        constants. Same values as differentiating `losses`, with shared work.
      sample: (vars, seed, n) -> images [n, H, W, C] in [-1, 1].
      metrics: names of the metrics of an Outcome.
      remember: (vars, support) -> Vars that also hold what `sample` needs of
        the support images [batches, n, H, W, C]; the inner loop ends with it.
      wants_others: whether the losses make use of `others` in training.
      adapts_with_others: whether the inner loop makes use of them as well;
        otherwise they are for the outer loss only, since who adapts a trained
        model has none.
      least_images: real images that a step of adaptation must have to teach
        anything.
      order: who moves in an inner step, one entry after the other; the players
        of one entry move together, players of none do not move.
      told: (vars, label) -> Vars that also hold what the players are told of a
        training task's class id, an int64 scalar; an adapted class has none.
      stocks: images of meta-train classes that the game keeps, for adaptation
        by those who have no images of others.
      stock: (vars, images) -> Vars that keep them: uint8 [stocks, H, W, C].
      model: (vars) -> `single_image.Model` of the remembered photograph; None
        for games that remember none.
      phases: parts of training, in each of which there may be more weights
        than before; see `algorithms.base.Algorithm.phases`.
      grow: (vars) -> Vars with which the next phase begins.
      learned: (params) -> those that the present phase learns.
      rates: (params) -> {player: {leaf: factor}} of the outer step sizes of
        leaves that learn more slowly than others.
      knows: (vars, photograph [H, W, C]) -> bool, whether the players can model
        it; a GAN of one photograph knows no other.
      blend: (vars, photographs [H, W, C] each, shares) -> Vars that remember
        the GAN of an embedding between those of photographs; None where there
        are no embeddings.
      alone: (vars, photograph [H, W, C]) -> (Game, Vars) of that photograph's
        GAN with weights of its own, which begin as those made of it; None
        where they are its own.

    `real` is [n, H, W, C] in [-1, 1]; `others` the same or None; `seed` int64
    [2]. A game draws as many fakes as there are real images.
    """

    players: tuple[str, ...]
    init: Callable
    losses: Callable
    gradients: Callable
    sample: Callable
    metrics: tuple[str, ...]
    remember: Callable = lambda vars, support: vars
    wants_others: bool = False
    adapts_with_others: bool = False
    least_images: int = 1
    order: tuple[tuple[str, ...], ...] = (("d",), ("g",))
    told: Callable = lambda vars, label: vars
    stocks: int = 0
    stock: Callable = lambda vars, images: vars
    model: Callable | None = None
    phases: int = 1
    grow: Callable = lambda vars: vars
    learned: Callable = lambda params: params
    rates: Callable = lambda params: {}
    knows: Callable = lambda vars, photograph: True
    blend: Callable | None = None
    alone: Callable | None = None


class Shown(NamedTuple):
    """What the discriminator is shown in one evaluation of a game.

    Attributes:
      real: [n, H, W, C'], images to be taken for real.
      given: what both players know beside z or the image, or None.
      wrong: like `real`, real images of something else; or None.
    """

    real: tf.Tensor
    given: tf.Tensor | None = None
    wrong: tf.Tensor | None = None


class View(NamedTuple):
    """How two players look at the images of a task; `ALONE` is plain GAN.

    Attributes:
      show: (vars, real, others, seed) -> Shown.
      draw: (generate, z, given) -> images in the form of `Shown.real`, where
        generate(z, given) -> [n, H, W, C] and `given` is that of `Shown`.
      recall: (vars, seed, n) -> `given` for n images to be sampled, or None.
      remember: see `Game`.
      share: of what D is to refuse, the part that is `Shown.wrong`.
      packed: images that D is shown together.
      rate: (judge, vars, images [n c, H, W, C], c, seed) -> [n c], by which
        the best of c neighbours is chosen, or None where nothing is known to
        rate them by; judge(images, given) -> scores [n c, 1] of D.
    """

    show: Callable
    draw: Callable
    recall: Callable
    remember: Callable
    rate: Callable
    share: float = 0.0
    packed: int = 1


ALONE = View(
    show=lambda vars, real, others, seed: Shown(real),
    draw=lambda generate, z, given: generate(z, given),
    recall=lambda vars, seed, n: None,
    remember=lambda vars, support: vars,
    rate=lambda judge, vars, images, c, seed: judge(images, None)[:, 0],
)


def two_player(
    networks: dict[str, keras.Model],
    *,
    loss: Loss,
    penalty: Penalty,
    candidates: int = 1,
    view: View = ALONE,
) -> Game:
    """Make the game of a discriminator "d" and a generator "g".

    D minimises loss.discriminator(D(real), D(G(z))) + penalty; G minimises
    loss.generator(D(G(z))); z ~ N(0, I), one per real image, the same for both.

    Args:
      networks: {"d": [n, H, W, C] -> [n, 1], "g": [n, z] -> [n, H, W, C]},
        built Keras models with named layers.
      loss: what the scores mean to each player.
      penalty: added to D's loss; no part of G's.
      candidates: images that G draws for each one that is sampled, of which
        the one is kept that D most takes for real.
      view: what else the players see; whoever makes one checks the networks.

    Returns:
      A Game with players ("d", "g").

    Raises:
      ValueError: the networks do not fit each other.

    Source: choosing samples by D is Azadi et al. (2019), with a threshold
      where this takes the best of a fixed number.
    """
    latent_size = _latent_size(networks, alone=view is ALONE)
    share = view.share
    nets = {name: functional.from_keras(net) for name, net in networks.items()}

    def generate(vars: Vars, z, given, seed):
        inputs = z if given is None else [z, given]
        noise = rng.fold(seed, _G_NOISE)
        fake, state = nets["g"].apply(
            vars.params["g"], vars.state["g"], inputs, noise
        )
        return tf.cast(fake, _dtype(vars)), state

    def latent(vars: Vars, n, seed):
        seed = rng.fold(seed, _LATENT)
        return rng.normal(seed, [n, latent_size], _dtype(vars))

    def imitate(vars: Vars, shown: Shown, seed):
        """Draw what D is to compare with `shown.real`."""
        state = vars.state["g"]

        def drawn(z, given):
            nonlocal state
            fake, state = generate(vars, z, given, seed)
            return fake

        n = tf.shape(shown.real)[0] * view.packed
        return view.draw(drawn, latent(vars, n, seed), shown.given), state

    def judge(vars: Vars, state: Params, images, given, seed):
        inputs = images if given is None else [images, given]
        noise = rng.fold(seed, _D_NOISE)
        score, state = nets["d"].apply(vars.params["d"], state, inputs, noise)
        return tf.cast(score, _dtype(vars)), state

    def compare(vars: Vars, shown: Shown, fake, judged_fake, seed) -> Outcome:
        """Weigh images; `judged_fake` stands for `fake` in the scores."""
        real, given, wrong = shown
        state = vars.state["d"]
        score_fake, state = judge(vars, state, judged_fake, given, seed)
        score_real, state = judge(vars, state, real, given, seed)

        def critic(images):
            return judge(vars, vars.state["d"], images, given, seed)[0]

        smooth = penalty(critic, real, fake, rng.fold(seed, _PENALTY))
        terms = {
            "kept": loss.real(score_real) + smooth,
            "fought": loss.fake(score_fake),
        }
        mix = {"d": {"kept": 1.0, "fought": 1.0}}
        if wrong is not None and share:
            score_wrong, state = judge(vars, state, wrong, given, seed)
            terms["kept"] += share * loss.fake(score_wrong)
            mix["d"]["fought"] = 1.0 - share
        if loss.zero_sum is None:
            terms["g"] = loss.generator(score_fake)
            mix["g"] = {"g": 1.0}
        else:
            mix["g"] = {"fought": -loss.zero_sum}
        estimate = tf.reduce_mean(score_real) - tf.reduce_mean(score_fake)
        return Outcome(
            loss={
                p: sum(factor * terms[term] for term, factor in parts.items())
                for p, parts in mix.items()
            },
            state={"d": state},
            metrics={
                "wasserstein_estimate": estimate,
                "gradient_penalty": smooth,
            },
            terms=terms,
            mix=mix,
        )

    def losses(vars: Vars, real, others, seed) -> Outcome:
        shown = view.show(vars, real, others, seed)
        fake, state = imitate(vars, shown, seed)
        outcome = compare(vars, shown, fake, fake, seed)
        return outcome._replace(
            state={**vars.state, **outcome.state, "g": state}
        )

    def gradients(vars: Vars, real, others, seed, wrt):
        shown = view.show(vars, real, others, seed)
        moved = {
            p: {leaf: vars.params[p][leaf] for leaf in leaves}
            for p, leaves in wrt.items()
        }
        with tf.GradientTape(watch_accessed_variables=False) as g_tape:
            g_tape.watch(moved.get("g", {}))
            fake, state = imitate(vars, shown, seed)
        shared = loss.zero_sum is not None and len(moved) == 2
        with tf.GradientTape(
            persistent=not shared, watch_accessed_variables=False
        ) as tape:
            # A copy of the fakes, so that the scores' gradient with respect to
            # them leaves out the penalty, which is no part of G's loss.
            judged = tf.identity(fake)
            tape.watch((judged, moved.get("d", {})))
            outcome = compare(vars, shown, fake, judged, seed)
        values = outcome.loss
        grads = {}
        if shared:
            grads["d"], slope = tape.gradient(values["d"], (moved["d"], judged))
            factor = -loss.zero_sum / outcome.mix["d"]["fought"]
            slope = None if slope is None else factor * slope
        else:
            if "d" in moved:
                grads["d"] = tape.gradient(values["d"], moved["d"])
            if "g" in moved:
                slope = tape.gradient(values["g"], judged)
        if "g" in moved:
            # Where no slope arrives, the tape would take it to be one.
            grads["g"] = (
                dict.fromkeys(moved["g"])
                if slope is None
                else g_tape.gradient(fake, moved["g"], output_gradients=slope)
            )
        tree.require_connected(grads)
        return grads, outcome._replace(
            state={**vars.state, **outcome.state, "g": state}
        )

    def sample(vars: Vars, seed, n):
        # The candidates of an image are neighbours, so that the first n of
        # more images are the n images.
        count = n * candidates
        given = view.recall(vars, seed, count)
        drawn, _ = generate(vars, latent(vars, count, seed), given, seed)
        if candidates == 1:
            return drawn

        def score(images, given):
            return judge(vars, vars.state["d"], images, given, seed)[0]

        rated = view.rate(score, vars, drawn, candidates, seed)
        if rated is None:
            return drawn[::candidates]
        best = tf.argmax(tf.reshape(rated, [-1, candidates]), 1, tf.int32)
        return tf.gather(drawn, tf.range(n) * candidates + best)

    return Game(
        players=("d", "g"),
        init=lambda seed: init_players(nets, seed),
        losses=losses,
        gradients=gradients,
        sample=sample,
        metrics=("wasserstein_estimate", "gradient_penalty"),
        remember=view.remember,
    )


def init_players(nets: dict[str, functional.Network], seed: int) -> Vars:
    """Return freshly drawn weights and initial state of all players."""
    drawn = {
        name: net.init(_player_seed(seed, name)) for name, net in nets.items()
    }
    return Vars(
        params={name: params for name, (params, _) in drawn.items()},
        state={name: state for name, (_, state) in drawn.items()},
        inner={},
    )


def in_batches(sample: Callable, size: int) -> Callable:
    """Let `Game.sample` draw whole batches, as batch norm needs it.

    Args:
      sample: (vars, seed, n) -> [n, H, W, C].
      size: images of a batch.

    Returns:
      The same, but every image is drawn in a batch of `size` that depends on
      its place alone, so that fewer images are the first of more.
    """

    def whole(vars: Vars, seed, n):
        count = (n + size - 1) // size
        like = next(iter(vars.params["g"].values()))
        drawn = tf.map_fn(
            lambda number: sample(vars, rng.fold(seed, number), size),
            tf.range(count),
            fn_output_signature=like.dtype,
            parallel_iterations=1,
        )
        return tf.reshape(drawn, tf.concat([[-1], tf.shape(drawn)[2:]], 0))[:n]

    return whole


def _player_seed(seed: int, player: str) -> int:
    """Derive a seed for one player, whose leaves may be called like others'."""
    return int(np.random.default_rng([seed, *player.encode()]).integers(2**31))


def _dtype(vars: Vars) -> tf.DType:
    return next(iter(vars.params["g"].values())).dtype


def _latent_size(networks: dict[str, keras.Model], *, alone: bool) -> int:
    """Return the size of z, after checking that the networks can play."""
    if not alone:
        return networks["g"].input_shape[0][1]
    if set(networks) != {"d", "g"}:
        raise ValueError(
            f"a two-player game has the players 'd' and 'g', got "
            f"{sorted(networks)}. Pass {{'d': discriminator, 'g': generator}}."
        )
    drawn = networks["g"].output_shape
    seen = networks["d"].input_shape
    latent = networks["g"].input_shape
    if len(drawn) != 4 or tuple(drawn[1:]) != tuple(seen[1:]):
        raise ValueError(
            f"the generator draws images of shape {drawn[1:]} but the "
            f"discriminator takes {seen[1:]}. Both must be (height, width, "
            "channels) and equal."
        )
    if tuple(networks["d"].output_shape[1:]) != (1,):
        raise ValueError(
            f"the discriminator gives {networks['d'].output_shape}, expected "
            "(None, 1): one score per image. End it with Dense(1)."
        )
    if len(latent) != 2 or latent[1] is None:
        raise ValueError(
            f"the generator takes {latent}, expected (None, latent size). "
            "Begin it with an Input of shape (latent size,)."
        )
    return latent[1]
