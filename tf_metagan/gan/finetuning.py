"""Fine-tuning: the GAN that was made of a photograph, with weights of its own.

Scale by scale, coarse to fine, D and G of one photograph take steps on the
losses of `pyramid_game`, from the weights that hypernetworks made. D is the one
of the finest scale at first and goes on from scale to scale.

Source: ours; the steps are those of SinGAN (Shaham et al., 2019).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout, Turn
from tf_metagan.gan import pyramid, singan, single_image
from tf_metagan.gan.game import Game
from tf_metagan.gan.pyramid_game import PyramidGame
from tf_metagan.types import Params, Vars

_TURNS = (Turn(("d",)), Turn(("g",)))


class Projected(NamedTuple):
    """Weights that a hypernetwork made, to be learned on one photograph.

    See `pyramid_game.Players`.

    Attributes:
      own: the rules of weights of one photograph.
      scales: {leaf: weight} of each scale of G, coarse to fine.
      start: those of the coarsest scale and of D.
    """

    own: singan.OwnWeights
    scales: tuple[Params, ...]
    start: Vars

    def grow(self, vars: Vars) -> Vars:
        """Return `vars` with the next scale of G; D goes on as it is."""
        scale = pyramid.num_scales(vars.params)
        old, new = f"scale{scale - 1}/", f"scale{scale}/"
        return vars._replace(
            params={
                "d": {
                    new + leaf.removeprefix(old): x
                    for leaf, x in vars.params["d"].items()
                },
                "g": vars.params["g"] | self.scales[scale],
            }
        )

    def init(self, seed: int) -> Vars:
        """Return the weights as they were made, whatever the seed."""
        del seed
        return self.start

    def learned(self, params: dict) -> dict:
        return self.own.learned(params)

    def models(self, vars: Vars, player: str, photographs, *, training: bool):
        return self.own.models(vars, player, photographs, training=training)

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        return self.own.moving(models)


def alone(game: PyramidGame, vars: Vars, photograph) -> tuple[Game, Vars]:
    """Return the game of one photograph and its weights at the coarsest scale.

    Args:
      game: of hypernetworks.
      vars: of that game.
      photograph: [H, W, C] in [-1, 1].

    Returns:
      (Game with a phase per trained scale, Vars); `Game.grow` adds the next
      scale's weights as the hypernetworks made them.
    """
    photographs = photograph[tf.newaxis]
    made = {
        player: [
            {
                f"{layer}/{name}": x[0]
                for layer, tensors in weights.items()
                for name, x in tensors.items()
            }
            for weights in game.weights.models(
                vars, player, photographs, training=False
            )[0]
        ]
        for player in ("d", "g")
    }
    scales = tuple(
        {f"scale{i}/{leaf}": x for leaf, x in leaves.items()}
        for i, leaves in enumerate(made["g"])
    )
    dtype = photographs.dtype
    own = singan.OwnWeights(game.channels, 0, dtype)
    start = Vars(
        params={
            "d": {f"scale0/{leaf}": x for leaf, x in made["d"][0].items()},
            "g": scales[0],
        },
        state={
            "d": {},
            "g": {**game.noise_of(vars), **singan.glance(photographs)},
        },
        inner={},
    )
    return game._replace(weights=Projected(own, scales, start)).as_game(), start


class Finetuner:
    """Lets the GANs of photographs take steps of their own.

    Photographs of one size share the graphs of these steps, which take longer
    to make than a hundred steps.
    """

    def __init__(self, game: Game, vars: Vars, *, steps: int, rule: InnerRule):
        """Fix the steps.

        Args:
          game: one that can leave a photograph `alone`.
          vars: of that game.
          steps: of each scale, >= 0; D and G move once in each.
          rule: how both players move, anew at every scale.
        """
        self._game = game
        self._vars = vars
        self._steps = steps
        self._rule = rule
        self._graphs: dict[tuple, Callable] = {}

    def __call__(
        self,
        photograph,
        *,
        seed: int,
        report: Callable[[int, dict], None] = lambda scale, metrics: None,
    ) -> single_image.Model:
        """Return a photograph's GAN after steps of its own at every scale.

        Args:
          photograph: [H, W, C] in [-1, 1].
          seed: of the noise.
          report: (scale, {metric: [steps]}), called after every scale.
        """
        photograph = tf.convert_to_tensor(photograph)
        own, current = self._game.alone(self._vars, photograph)
        support = photograph[tf.newaxis, tf.newaxis]
        for scale in range(pyramid.num_scales(self._vars.params)):
            if scale:
                current = own.grow(current)
            learn = self._graph(own, scale, current, support)
            after, metrics = learn(current, support, rng.make_seed(seed, scale))
            current = current._replace(params=after.params, state=after.state)
            current.state.pop("memory", None)
            report(scale, {name: x.numpy() for name, x in metrics.items()})
        return own.model(own.remember(current, support))

    def _graph(self, own: Game, scale: int, vars: Vars, support) -> Callable:
        """Return (vars, support, seed) -> (Vars, metrics) of one scale.

        By its concrete function: a tf.function that is new at every scale has
        TensorFlow warn of retracing.
        """
        key = scale, tuple(support.shape)
        if key not in self._graphs:
            rollout = Rollout(
                own,
                dict.fromkeys(("d", "g"), self._rule),
                _TURNS,
                adapt=("d/*", f"g/scale{scale}/*"),
            )

            @tf.function(autograph=False)
            def learn(vars: Vars, support, seed):
                return rollout.run(vars, support, None, seed, self._steps)

            self._graphs[key] = learn.get_concrete_function(
                vars, support, rng.make_seed(0, scale)
            )
        return self._graphs[key]
