"""The game of a pyramid of patch GANs, wherever their weights come from.

At scale i, with x a sample and x* the reconstruction of photograph y,

  L_D = loss_D(D(y_i), D(x_i)) + penalty
  L_G = loss_G(D(x_i)) + weight * mean((x*_i - y_i)^2)

Source: SinGAN (Shaham et al., 2019); Meta Internal Learning (Bensadoun et al.,
  2021), and its public program where the paper is silent.
"""

from typing import NamedTuple, Protocol

import tensorflow as tf

from tf_metagan.core import rng, tree
from tf_metagan.gan import pyramid, sample_conv, scale_sizes, single_image
from tf_metagan.gan.game import Game, Outcome
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Params, Vars

_PENALTY, _Z_STAR = 2, 3
_DECAY = 0.99
_SHARE = 0.1  # of the error at which a scale begins, in its amplitude
_MEMORY = "memory"
_METRICS = {
    "d": ("wasserstein_estimate", "gradient_penalty"),
    "g": ("rec_loss",),
}
_SUM, _WEIGHT, _STAR = "amplitude/sum", "amplitude/weight", "z_star"


class Players(Protocol):
    """Where the weights of the stacks come from.

    Methods are pure; `vars` are those of both players.
    """

    def init(self, seed: int) -> Vars:
        """Return freshly drawn weights with one scale of G."""

    def grow(self, vars: Vars) -> Vars:
        """Return `vars` with one scale of G more."""

    def learned(self, params: dict) -> dict:
        """Return the leaves that learn at the newest scale."""

    def models(
        self, vars: Vars, player: str, photographs, *, training: bool
    ) -> tuple[list[pyramid.Weights], dict[str, Params]]:
        """Return the weights of every scale of G, of one of D, and a state.

        Args:
          vars: of both players.
          player: "d" or "g".
          photographs: [n, H, W, C].
          training: whether batch norm uses the statistics of the batch.

        Returns:
          ([pyramid.Weights of n models] of every scale, one of D,
          {player: {leaf: state afterwards}}).
        """

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        """Return the part of `models` that depends on what learns."""


class PyramidGame(NamedTuple):
    """The functions of a game, over what it is made of.

    Attributes:
      weights: makes the weights of the stacks.
      channels: of photographs.
      widths: of the scales, coarse to fine.
      loss: what the scores of patches mean to each player.
      penalty: added to D's loss.
      reconstruction_weight: of the squared error in G's loss.
      amplitude: rule of the noise's amplitude, see `internal.pyramid_game`.
      arithmetic: of the stacks.
    """

    weights: Players
    channels: int
    widths: tuple[int, ...]
    loss: Loss
    penalty: Penalty
    reconstruction_weight: float
    amplitude: str
    arithmetic: pyramid.Nets

    def as_game(self) -> Game:
        return Game(
            players=("d", "g"),
            init=self.init,
            losses=self.losses,
            gradients=self.gradients,
            sample=lambda vars, seed, n: self.model(vars).sample(seed, n),
            metrics=(*_METRICS["d"], *_METRICS["g"]),
            remember=self.remember,
            model=self.model,
            phases=len(self.widths),
            grow=self.weights.grow,
            learned=self.weights.learned,
        )

    def init(self, seed: int) -> Vars:
        vars = self.weights.init(seed)
        dtype = next(iter(vars.params["g"].values())).dtype
        noise = {
            _SUM: tf.zeros([len(self.widths)], dtype),
            _WEIGHT: tf.zeros([len(self.widths)], dtype),
            _STAR: rng.fold(rng.make_seed(seed), _Z_STAR),
        }
        return vars._replace(state=tree.merge(vars.state, {"g": noise}))

    def noise_of(self, vars: Vars) -> Params:
        """Return the part of G's state that noise depends on."""
        return {name: vars.state["g"][name] for name in (_SUM, _WEIGHT, _STAR)}

    # From weights to images.

    def _amplitudes(self, state: Params) -> list:
        """Return the amplitude of the noise at every scale.

        It is 0 where no reconstruction has been seen.
        """
        mean = tf.math.divide_no_nan(state[_SUM], state[_WEIGHT])
        if self.amplitude == "constant":
            return tf.unstack(tf.ones_like(mean))
        return [tf.ones_like(mean[0]), *tf.unstack(mean)[1:]]

    def _paths(self, state: Params, models, sizes, seeds, *, rebuild: bool):
        """Return [n, 1 | 2, h, w, C]: a sample and, if asked, x* of each."""
        amplitudes, nets = self._amplitudes(state), self.arithmetic
        noises = []
        for i, size in enumerate(sizes):
            drawn = tf.stack(
                [
                    nets.draw(seed, models, size, i, 1)
                    for seed in tf.unstack(seeds)
                ]
            )
            if rebuild:
                rest = nets.rest(state[_STAR], models, sizes, i)
                silent = tf.zeros_like(drawn)
                rest = silent if rest is None else rest + silent
                drawn = tf.concat([drawn, rest], 1)
            noises.append(amplitudes[i] * drawn if i else drawn)
        return nets.climb(models, sizes, noises)

    # Losses.

    def _discriminator(self, weights, target, sizes, state: Params, seeds):
        """Return D's loss of photographs whose weights are given, metrics."""
        fake = self._paths(state, weights["g"], sizes, seeds, rebuild=False)
        fake = tf.stop_gradient(fake[:, 0])
        (own,) = weights["d"]

        def critic(images):
            return self.arithmetic.judge(own, images[:, tf.newaxis])[:, 0]

        scores = self.arithmetic.judge(own, tf.stack([target, fake], 1))
        mixing = tf.stack([rng.fold(s, _PENALTY) for s in tf.unstack(seeds)])
        smooth = self.penalty(critic, target, fake, mixing)
        value = self.loss.discriminator(scores[:, 0], scores[:, 1]) + smooth
        estimate = tf.reduce_mean(scores[:, 0]) - tf.reduce_mean(scores[:, 1])
        return value, {
            "wasserstein_estimate": estimate,
            "gradient_penalty": smooth,
        }

    def _generator(self, weights, target, sizes, state: Params, seeds):
        """Return G's loss of photographs whose weights are given, metrics."""
        drawn = self._paths(state, weights["g"], sizes, seeds, rebuild=True)
        (judge,) = weights["d"]
        scores = self.arithmetic.judge(judge, drawn[:, :1])
        error = tf.reduce_mean(tf.square(drawn[:, 1] - target))
        value = (
            self.loss.generator(scores[:, 0])
            + self.reconstruction_weight * error
        )
        return value, {"rec_loss": error}

    def _play(self, vars: Vars, real, seed, wrt):
        """Return gradients and Outcome of the players in `wrt`.

        First of the weights of each photograph's model, then of what makes
        them: the former needs no memory of other photographs. Players in `wrt`
        that are neither D nor G have a part in making both.
        """
        n = real.shape[0]
        seeds = _seeds(seed, n)
        sizes = self._sizes(vars, real.shape[1])
        target = pyramid.shrink(real, sizes[-1])
        rules = {"d": self._discriminator, "g": self._generator}
        models, after, tapes = {}, {}, {}
        helpers = tuple(p for p in wrt if p not in rules)
        for player in rules:
            makers = (player, *helpers) if player in wrt else ()
            moved = {
                p: {leaf: vars.params[p][leaf] for leaf in wrt[p]}
                for p in makers
            }
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(moved)
                models[player], after[player] = self.weights.models(
                    vars, player, real, training=True
                )
            tapes[player] = tape, moved
        grads: dict[str, Params] = {}
        losses, metrics = {}, {}
        noise = self._begin(vars.state["g"], models["g"], sizes, target)
        state = {**vars.state, "g": noise}
        for player in (p for p in rules if p in wrt):

            def slope(weights, target, seeds, player=player):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    moving = self.weights.moving(weights[player])
                    tape.watch(moving)
                    value, found = rules[player](
                        weights, target, sizes, noise, seeds
                    )
                return value, found, tape.gradient(value, moving)

            value, found, slopes = self._each(
                slope, models, target, seeds, player
            )
            tape, moved = tapes[player]
            slopes = tape.gradient(
                self.weights.moving(models[player]),
                moved,
                output_gradients=slopes,
            )
            for p, own in slopes.items():
                grads[p] = tree.add(grads[p], own) if p in grads else own
                losses[p] = value
            metrics |= found
            state = tree.merge(state, after[player])
            if player == "g":
                state["g"] |= self._note(
                    noise, len(sizes) - 1, found["rec_loss"]
                )
        return grads, Outcome(losses, state, metrics)

    def _each(self, function, models, target, seeds, player: str):
        """Return function(models, target, seeds), a mean over photographs.

        The third result is the gradient with respect to each model. Where
        convolutions are a loop, so is this: over one photograph at a time.
        """
        n = target.shape[0]
        if self.arithmetic.convolve is not sample_conv.loop or n == 1:
            return function(models, target, seeds)

        def one(inputs):
            alone = tf.nest.map_structure(lambda x: x[tf.newaxis], inputs)
            value, found, slopes = function(*alone)
            return (
                value,
                found,
                tf.nest.map_structure(lambda x: x[0] / n, slopes),
            )

        scalar = tf.TensorSpec([], target.dtype)
        like = tf.nest.map_structure(
            lambda x: tf.TensorSpec(x.shape[1:], x.dtype),
            self.weights.moving(models[player]),
        )
        value, found, slopes = tf.map_fn(
            one,
            (models, target, seeds),
            fn_output_signature=(
                scalar,
                dict.fromkeys(_METRICS[player], scalar),
                like,
            ),
        )
        return (
            tf.reduce_mean(value),
            {name: tf.reduce_mean(x) for name, x in found.items()},
            slopes,
        )

    def losses(self, vars: Vars, real, others, seed) -> Outcome:
        return self._play(vars, real, seed, dict.fromkeys(("d", "g"), ()))[1]

    def gradients(self, vars: Vars, real, others, seed, wrt):
        grads, outcome = self._play(vars, real, seed, wrt)
        tree.require_connected(grads)
        return grads, outcome

    def _begin(self, state: Params, models, sizes, target) -> Params:
        """Return the state with an amplitude that the scale begins with."""
        scale = len(sizes) - 1
        if self.amplitude != "at_start" or scale == 0:
            return state

        def measured():
            nets, amplitudes = self.arithmetic, self._amplitudes(state)
            noises: list = []
            for i, amplitude in enumerate(amplitudes[: scale + 1]):
                rest = nets.rest(state[_STAR], models, sizes, i)
                noises.append(None if rest is None else amplitude * rest)
            noises[0] += tf.zeros([target.shape[0], 1, 1, 1, 1], target.dtype)
            wrong = nets.guess(models, sizes, noises)[:, 0] - target
            return _SHARE * tf.sqrt(tf.reduce_mean(tf.square(wrong)))

        here = tf.one_hot(scale, len(self.widths), dtype=target.dtype)
        fresh = tf.cond(
            state[_WEIGHT][scale] > 0.0,
            lambda: tf.zeros([], target.dtype),
            lambda: tf.stop_gradient(measured()),
        )
        return {
            **state,
            _SUM: state[_SUM] + here * fresh,
            _WEIGHT: tf.maximum(state[_WEIGHT], here),
        }

    def _note(self, state: Params, scale: int, error) -> Params:
        """Return the state with a batch's error in the amplitude's average."""
        if self.amplitude == "at_start":
            return {}
        decay = _DECAY if self.amplitude == "moving_average" else 0.0
        here = tf.one_hot(scale, len(self.widths), dtype=error.dtype)
        kept = 1.0 - (1.0 - decay) * here
        fresh = (1.0 - decay) * here
        root = tf.sqrt(tf.stop_gradient(error))
        return {
            _SUM: kept * state[_SUM] + fresh * root,
            _WEIGHT: kept * state[_WEIGHT] + fresh,
        }

    def _sizes(self, vars: Vars, height) -> list[tuple]:
        """Return (h, w) of the scales that there are heads for."""
        if isinstance(height, int):
            scale_sizes.check_patches(height, self.widths)
        found = scale_sizes.sizes(height, self.widths)
        return found[: pyramid.num_scales(vars.params)]

    # After training.

    def remember(self, vars: Vars, support) -> Vars:
        photograph = tf.reshape(support, tf.shape(support)[2:])[tf.newaxis]
        photograph.set_shape([1, None, self.widths[-1], self.channels])
        models, _ = self.weights.models(vars, "g", photograph, training=False)
        return self.keep(vars, models, tf.shape(photograph)[1])

    def keep(self, vars: Vars, models: list[pyramid.Weights], height) -> Vars:
        """Return `vars` that remember the weights of G, n = 1, and a height."""
        memory = {
            f"scale{i}/{layer}/{name}": x
            for i, weights in enumerate(models)
            for layer, tensors in weights.items()
            for name, x in tensors.items()
        }
        memory["height"] = height
        return vars._replace(state={**vars.state, _MEMORY: memory})

    def model(self, vars: Vars) -> single_image.Model:
        if _MEMORY not in vars.state:
            side = self.widths[-1]
            dtype = vars.state["g"][_SUM].dtype
            grey = tf.zeros([1, 1, side * 3 // 4, side, self.channels], dtype)
            vars = self.remember(vars, grey)
        memory = vars.state[_MEMORY]
        return single_image.Model(
            weights=[
                pyramid.layers_of(memory, f"scale{i}/")
                for i in range(pyramid.num_scales(vars.params))
            ],
            sizes=scale_sizes.sizes(memory["height"], self.widths),
            amplitudes=self._amplitudes(vars.state["g"]),
            star=vars.state["g"][_STAR],
            nets=self.arithmetic,
        )


def _seeds(seed, n: int):
    """Return a seed for each photograph: int64 [n, 2]."""
    if seed.shape.rank == 2:
        return seed
    return tf.stack([rng.fold(seed, number) for number in range(n)])
