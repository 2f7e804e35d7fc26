"""The game of internal learning: a photograph is a task, its patches the data.

Each player is a hypernetwork: an embedding of the photograph and a linear head
for every weight tensor of a pyramid of patch GANs. Nothing is adapted by
steps: to remember a photograph is to embed it and to project its weights.

Source: Meta Internal Learning (Bensadoun et al., 2021), and its public program
where the paper is silent.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan import (
    hypernetwork,
    layers,
    pyramid,
    sample_conv,
    single_image,
)
from tf_metagan.gan.game import Game, Outcome
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Params, Vars

_NOISE, _PENALTY, _Z_STAR = range(1, 4)
_SLOPE = 0.02
_DECAY = 0.99
_MEMORY = "memory"
_METRICS = {
    "d": ("wasserstein_estimate", "gradient_penalty"),
    "g": ("rec_loss",),
}
_SUM, _WEIGHT, _STAR = "amplitude/sum", "amplitude/weight", "z_star"


def pyramid_game(
    networks: dict[str, keras.Model],
    *,
    loss: Loss,
    penalty: Penalty,
    image_size: int,
    width: int,
    smallest_size: int,
    scale_factor: float,
    pyramid_sizes: str,
    head_rank: int | None,
    head_hidden: int,
    reconstruction_weight: float,
    noise_amplitude: str,
    convolution: str,
) -> Game:
    """Make the game of two hypernetworks.

    At scale i, with x a sample and x* the reconstruction of photograph y, and
    D and G those that the hypernetworks make of y,

      L_D = loss_D(D(y_i), D(x_i)) + penalty
      L_G = loss_G(D(x_i)) + weight * mean((x*_i - y_i)^2)

    The scale is the newest one that G has heads for; `grow` adds a copy of
    them, `learned` leaves out those of older scales. D has one set of heads.

    Args:
      networks: {"d", "g": [n, E, E, C] -> [n, features]}, the embeddings; E is
        the size to which photographs are brought for them, whatever their
        aspect.
      loss: what the scores of patches mean to each player.
      penalty: added to D's loss.
      image_size: width of photographs in pixels; they may have any height.
      width: channels inside the stacks.
      smallest_size, scale_factor, pyramid_sizes: see `pyramid.widths`.
      head_rank, head_hidden: see `heads.init`.
      reconstruction_weight: of the squared error in G's loss.
      noise_amplitude: of scale i >= 1. "moving_average": of the root mean
        square error of reconstructions in training; "last_batch_as_published":
        that of the last batch; "constant": 1.
      convolution: see `sample_conv.choose`.

    Returns:
      A Game with players ("d", "g") and a phase per scale. `real` is a batch
      of photographs of one size, each a task of its own; a seed may be [n, 2],
      one for each.

    Raises:
      ValueError: sizes that make no pyramid.
    """
    channels = networks["g"].input_shape[-1]
    return _Pyramid(
        hyper=hypernetwork.Hypernetworks(
            nets={p: functional.from_keras(net) for p, net in networks.items()},
            embedded=networks["g"].input_shape[1:3],
            features=networks["g"].output_shape[-1],
            stacks={
                p: pyramid.stack(channels, width, slope=_SLOPE, player=p)
                for p in ("d", "g")
            },
            rank=head_rank,
            hidden=head_hidden,
        ),
        channels=channels,
        widths=pyramid.widths(
            image_size,
            smallest_size=smallest_size,
            scale_factor=scale_factor,
            pyramid_sizes=pyramid_sizes,
        ),
        loss=loss,
        penalty=penalty,
        weight=reconstruction_weight,
        amplitude=noise_amplitude,
        arithmetic=pyramid.Nets(
            sample_conv.choose(convolution),
            lambda x: layers.leaky_relu(x, _SLOPE),
        ),
    ).as_game()


class _Pyramid(NamedTuple):
    """The functions of the game, over what it is made of."""

    hyper: hypernetwork.Hypernetworks
    channels: int
    widths: tuple[int, ...]
    loss: Loss
    penalty: Penalty
    weight: float
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
            grow=self.hyper.grow,
            learned=self.hyper.learned,
        )

    def init(self, seed: int) -> Vars:
        vars = self.hyper.init(seed)
        dtype = next(iter(vars.params["g"].values())).dtype
        noise = {
            _SUM: tf.zeros([len(self.widths)], dtype),
            _WEIGHT: tf.zeros([len(self.widths)], dtype),
            _STAR: rng.fold(rng.make_seed(seed), _Z_STAR),
        }
        return vars._replace(state=tree.merge(vars.state, {"g": noise}))

    # From weights to images.

    def _amplitudes(self, state: Params) -> list:
        """Return the amplitude of the noise at every scale.

        It is 0 where no reconstruction has been seen.
        """
        mean = tf.math.divide_no_nan(state[_SUM], state[_WEIGHT])
        if self.amplitude == "constant":
            return tf.unstack(tf.ones_like(mean))
        return [tf.ones_like(mean[0]), *tf.unstack(mean)[1:]]

    def _noise(self, seeds, m, size, scale: int, dtype):
        """Draw [n, m, h, w, C], each photograph's from its own seed."""
        drawn = [
            rng.normal(
                rng.fold(seed, _NOISE, scale),
                [m, *size, self.channels],
                dtype,
            )
            for seed in tf.unstack(seeds)
        ]
        return tf.stack(drawn)

    def _star(self, state: Params, size, dtype):
        return rng.normal(state[_STAR], [*size, self.channels], dtype)

    def _climb(self, models, sizes, z, noises):
        """Return x of the last scale; noises[i] is None or for scale i."""
        x = self.arithmetic.begin(models[0], z)
        for weights, size, noise in zip(
            models[1:], sizes[1:], noises[1:], strict=True
        ):
            x = self.arithmetic.refine(weights, x, size, noise)
        return x

    def _paths(self, state: Params, models, sizes, seeds, *, rebuild: bool):
        """Return [n, 1 | 2, h, w, C]: a sample and, if asked, x* of each."""
        amplitudes = self._amplitudes(state)
        dtype = models[0]["conv1"]["kernel"].dtype
        z = self._noise(seeds, 1, sizes[0], 0, dtype)
        star = self._star(state, sizes[0], dtype) + tf.zeros_like(z)
        noises: list = [None]
        for i, (h, w) in enumerate(sizes[1:], start=1):
            size = (h + 2 * pyramid.BORDER, w + 2 * pyramid.BORDER)
            noise = amplitudes[i] * self._noise(seeds, 1, size, i, dtype)
            silent = [tf.zeros_like(noise)] * rebuild
            noises.append(tf.concat([noise, *silent], 1))
        start = tf.concat([z, *[star] * rebuild], 1)
        return self._climb(models, sizes, start, noises)

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
        value = self.loss.generator(scores[:, 0]) + self.weight * error
        return value, {"rec_loss": error}

    def _play(self, vars: Vars, real, seed, wrt):
        """Return gradients and Outcome of the players in `wrt`.

        First of the weights of each photograph's model, then of what makes
        them: the former needs no memory of other photographs.
        """
        n = real.shape[0]
        seeds = _seeds(seed, n)
        sizes = self._sizes(vars, real.shape[1])
        target = pyramid.shrink(real, sizes[-1])
        rules = {"d": self._discriminator, "g": self._generator}
        models, after, tapes = {}, {}, {}
        for player in rules:
            moved = {x: vars.params[player][x] for x in wrt.get(player, ())}
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(moved)
                models[player], after[player] = self.hyper.models(
                    vars, player, real, training=True
                )
            tapes[player] = tape, moved
        grads, losses, metrics = {}, {}, {}
        state = dict(vars.state)
        for player in wrt:

            def slope(weights, target, seeds, player=player):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(weights[player])
                    value, found = rules[player](
                        weights, target, sizes, vars.state["g"], seeds
                    )
                return value, found, tape.gradient(value, weights[player])

            value, found, slopes = self._each(
                slope, models, target, seeds, player
            )
            tape, moved = tapes[player]
            grads[player] = tape.gradient(
                models[player], moved, output_gradients=slopes
            )
            losses[player] = value
            metrics |= found
            state[player] = {**state[player], **after[player]}
            if player == "g":
                state["g"] |= self._note(
                    vars.state["g"], len(sizes) - 1, found["rec_loss"]
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
            lambda x: tf.TensorSpec(x.shape[1:], x.dtype), models[player]
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

    def _note(self, state: Params, scale: int, error) -> Params:
        """Return the state with a batch's error in the amplitude's average."""
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
        found = pyramid.sizes(height, self.widths)
        lowest = found[0][0]
        least = 2 * pyramid.BORDER + 1
        if isinstance(lowest, int) and min(found[0]) < least:
            raise ValueError(
                f"a photograph of {height} x {self.widths[-1]} pixels is "
                f"{lowest} x {self.widths[0]} at the coarsest scale; the "
                f"discriminator looks at patches of {least} x {least}. Use a "
                "greater --smallest_size, or crop photographs that are wide."
            )
        return found[: hypernetwork.num_scales(vars.params)]

    # After training.

    def remember(self, vars: Vars, support) -> Vars:
        photograph = tf.reshape(support, tf.shape(support)[2:])[tf.newaxis]
        photograph.set_shape([1, None, self.widths[-1], self.channels])
        models, _ = self.hyper.models(vars, "g", photograph, training=False)
        memory = {
            f"scale{i}/{layer}/{name}": x
            for i, weights in enumerate(models)
            for layer, tensors in weights.items()
            for name, x in tensors.items()
        }
        memory["height"] = tf.shape(photograph)[1]
        return vars._replace(state={**vars.state, _MEMORY: memory})

    def model(self, vars: Vars) -> single_image.Model:
        if _MEMORY not in vars.state:
            side = self.widths[-1]
            dtype = vars.state["g"][_SUM].dtype
            grey = tf.zeros([1, 1, side * 3 // 4, side, self.channels], dtype)
            vars = self.remember(vars, grey)
        memory = vars.state[_MEMORY]
        weights = [
            {
                layer.name: {
                    name: memory[f"scale{i}/{layer.name}/{name}"]
                    for name in layer.shapes()
                }
                for layer in self.hyper.stacks["g"]
            }
            for i in range(hypernetwork.num_scales(vars.params))
        ]
        return single_image.Model(
            weights=weights,
            sizes=pyramid.sizes(memory["height"], self.widths),
            amplitudes=self._amplitudes(vars.state["g"]),
            star=vars.state["g"][_STAR],
            nets=self.arithmetic,
        )


def _seeds(seed, n: int):
    """Return a seed for each photograph: int64 [n, 2]."""
    if seed.shape.rank == 2:
        return seed
    return tf.stack([rng.fold(seed, number) for number in range(n)])
