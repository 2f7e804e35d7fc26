"""Players that see an image of the task: the start that needs no step.

The generator is given one image of the support set, an exemplar, beside z and
draws another of its class; the discriminator is given the exemplar and several
images at once and tells whether they are other real images of the class. A
copy of the exemplar or twice the same image is easy to refuse, since real
images are neither; so is a good image of another class, which it is shown as
well. Every image of the support set is an exemplar as good as any other, so
the set has no order, and may have any size.

Source: the discriminator's view of a pair is DAGAN's (Antoniou, Storkey and
Edwards, 2017, section 3); several images at once are PacGAN's (Lin et al.,
2018); refusing real images of the wrong class is Reed et al. (2016), section
4.2. As the starting point of a meta-learned GAN: ours.
"""

import keras
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.gan import duel
from tf_metagan.gan.game import Game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Vars

_SHIFT, _STRIDE, _PICK, _REFERENCE = range(4)
_MEMORY = "memory"
_REFERENCES = 4  # support images that a candidate is compared with


def exemplar_game(
    networks: dict[str, keras.Model],
    *,
    loss: Loss,
    penalty: Penalty,
    wrong_share: float,
    candidates: int = 1,
) -> Game:
    """Make the two-player game in which both players see an exemplar.

    Args:
      networks: {"d": ([n, H, W, p C], [n, H, W, C]) -> [n, 1], p images and an
        exemplar; "g": ([n, z], [n, H, W, C]) -> [n, H, W, C]}.
      loss: what the scores mean to each player.
      penalty: added to D's loss.
      wrong_share: of what D is to refuse, the part that is real images of
        other classes, where such images are given; the rest is fakes.
      candidates: see `duel.two_player`; D sees a candidate beside support
        images other than its exemplar.

    Returns:
      A Game with players ("d", "g"). In a batch of n images each is an
      exemplar once and seen p times among the others, so n > p is needed for
      images to be compared with others only. One image has no other: steps
      would teach G to copy it, so there is none.

    Raises:
      ValueError: the networks do not fit the game.
    """
    packed = _check_networks(networks)
    blank = tuple(networks["g"].input_shape[1][1:])

    def show(vars: Vars, real, others, seed) -> duel.Shown:
        del vars
        near, far = _offsets(tf.shape(real)[0], seed)
        beside = _companions(real, near, far, packed)
        wrong = None
        if others is not None:
            wrong = tf.concat(_replace_one(beside, others), -1)
        return duel.Shown(tf.concat(beside, -1), real, wrong)

    def draw(generate, z, exemplars):
        fakes = generate(z, tf.tile(exemplars, [packed, 1, 1, 1]))
        return tf.concat(tf.split(fakes, packed), -1)

    def recall(vars: Vars, seed, n):
        if _MEMORY not in vars.state:
            dtype = next(iter(vars.params["g"].values())).dtype
            return -tf.ones([n, *blank], dtype)
        images = vars.state[_MEMORY]["images"]
        count = tf.shape(images)[0]
        seed = rng.fold(seed, _PICK)
        return tf.gather(images, rng.integers(seed, [n], count))

    def remember(vars: Vars, support) -> Vars:
        images = tf.reshape(support, tf.concat([[-1], blank], 0))
        memory = {_MEMORY: {"images": images}}
        return vars._replace(state={**vars.state, **memory})

    def rate(judge, vars: Vars, images, candidates, seed):
        if _MEMORY not in vars.state:
            return None
        memory = vars.state[_MEMORY]["images"]
        # All candidates of an image are compared with the same ones.
        shape = [tf.shape(images)[0] // candidates, packed]
        total = 0.0
        for number in range(_REFERENCES):
            place = rng.fold(seed, _REFERENCE, number)
            chosen = rng.integers(place, shape, tf.shape(memory)[0])
            chosen = tf.repeat(chosen, candidates, axis=0)
            beside = [tf.gather(memory, chosen[:, j]) for j in range(packed)]
            total += judge(tf.concat([images, *beside[1:]], -1), beside[0])
        return total[:, 0]

    return duel.two_player(
        networks,
        loss=loss,
        penalty=penalty,
        candidates=candidates,
        view=duel.View(show, draw, recall, remember, rate, wrong_share, packed),
    )._replace(wants_others=wrong_share > 0.0, least_images=2)


def _offsets(n, seed):
    """Draw the distance to the first companion and between companions."""
    near = rng.integers(rng.fold(seed, _SHIFT), [], tf.maximum(n - 1, 1))
    far = rng.integers(rng.fold(seed, _STRIDE), [], tf.maximum(n - 2, 1))
    return tf.cast(near, tf.int32), 1 + tf.cast(far, tf.int32)


def _companions(images, near, far, packed: int) -> list[tf.Tensor]:
    """Return, `packed` times, an image of another place for each place.

    The companions of place i are at i + 1 + (near + j far) mod (n - 1), mod n:
    never i itself, and two of them differ, for n > 2 and packed = 2.
    """
    ring = tf.maximum(tf.shape(images)[0] - 1, 1)
    return [
        tf.roll(images, -(1 + (near + j * far) % ring), 0)
        for j in range(packed)
    ]


def _replace_one(beside: list[tf.Tensor], others) -> list[tf.Tensor]:
    """Put an image of `others` where a companion was, places taking turns."""
    place = tf.range(tf.shape(others)[0]) % len(beside)
    place = place[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return [
        tf.where(place == j, others, images) for j, images in enumerate(beside)
    ]


def _check_networks(networks: dict[str, keras.Model]) -> int:
    shapes = {
        name: [tuple(x.shape) for x in networks[name].inputs]
        for name in ("d", "g")
        if name in networks
    }
    fits = (
        set(networks) == {"d", "g"}
        and len(shapes["d"]) == len(shapes["g"]) == 2
        and len(shapes["g"][0]) == 2
        and shapes["d"][1] == shapes["g"][1] == networks["g"].output_shape
        and networks["d"].output_shape[1:] == (1,)
    )
    if fits:
        packed, rest = divmod(shapes["d"][0][-1], shapes["d"][1][-1])
        fits = packed >= 1 and not rest
    if not fits:
        raise ValueError(
            f"--game=exemplar got networks that take {shapes}, expected d: "
            "([n, H, W, p C], [n, H, W, C]) -> [n, 1] and g: ([n, z], [n, H, "
            "W, C]) -> [n, H, W, C]. Use --architecture=exemplar, or "
            "--game=two_player with networks that see no exemplar."
        )
    return packed
