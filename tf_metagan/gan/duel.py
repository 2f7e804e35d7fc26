"""The game of a discriminator and a generator, and how they see images."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan import game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Params, Vars

_LATENT, _PENALTY, _D_NOISE, _G_NOISE = range(4)


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
      remember: see `game.Game`.
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
) -> game.Game:
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

    def compare(
        vars: Vars, shown: Shown, fake, judged_fake, seed
    ) -> game.Outcome:
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
        return game.Outcome(
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

    def losses(vars: Vars, real, others, seed) -> game.Outcome:
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

    return game.Game(
        players=("d", "g"),
        init=lambda seed: game.init_players(nets, seed),
        losses=losses,
        gradients=gradients,
        sample=sample,
        metrics=("wasserstein_estimate", "gradient_penalty"),
        remember=view.remember,
    )


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
