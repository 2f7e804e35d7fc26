"""Players that steer G by its latents: the latent family's game.

G is given no image and no label. What makes it draw the domain at hand (a
class) are the networks that make its latents: "mlp" out of noise, "mlp_cls"
out of what D sees in the domain's real images, the condition. D has a second
head that tells the domain from others, and all who make images are to please
both heads.

Source: the public programs NicelyCla/GAN-and-Meta-Learning and, following it,
andreapisa9/omniglot-GAN.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan import game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Vars

_LATENT, _PENALTY, _STOCK, _NOISE, _UNKNOWN = range(5)
_MEMORY, _KEPT = "memory", "kept"
_MAKERS = ("mlp", "mlp_cls")  # of latents
_BATCH = 64  # images drawn together


class Judged(NamedTuple):
    """What D gives: two scores [n, 1] and features [n, F]."""

    adversarial: tf.Tensor
    domain: tf.Tensor
    features: tf.Tensor


def latent_game(
    networks: dict[str, keras.Model],
    *,
    loss: Loss,
    penalty: Penalty,
    domain_loss: Loss | None = None,
    domain_weight: float = 1.0,
    kept_images: int = 0,
    as_published: bool = False,
) -> game.Game:
    """Make the game of D, G and the networks that make latents.

    With a(x) and d(x) the heads' scores, x real images of the domain, o images
    of others, y = G(latents) fakes, f the mean over x of D's features:

        L_D = real(a(x)) + fake(a(y)) + real'(d(x)) + fake'(d(o)) + penalties
        L_mlp = L_mlp_cls = generator(a(y)) + generator'(d(y))
        L_G = generator(a(y)) + domain_weight generator'(d(y))

    A penalty is between x and y for a, between x and o for d. f is constant
    to whoever learns; mlp_cls(f) is the same for all images of a batch. Where
    the domain is unknown, as before adaptation, noise stands for mlp_cls(f).

    G's latents are mlp(z), or z without mlp, followed by mlp_cls(f); where
    mlp_cls gives twice what G takes, a mean and a deviation, they are
    deviation * z + mean.

    Args:
      networks: see `architectures.latent_dcgan.build`.
      loss: of the adversarial head.
      penalty: on D.
      domain_loss: of the domain head (primed above), which then has no
        penalty; None: as `loss`, with penalty.
      domain_weight: weight of the domain in G's loss.
      kept_images: how many images of meta-train classes to keep in the state,
        to be `others` where none are given. Where none are kept either, D's
        loss lacks what is about them.
      as_published: cut mlp_cls off from its loss, as the scripts do by
        mistake: it keeps its initial value. Moves are then one by one.

    Returns:
      A Game; G does not move in the inner loop.

    Raises:
      ValueError: the networks do not fit each other.

    Source: NicelyCla/GAN-and-Meta-Learning; that mlp and mlp_cls move
      together, and that the gradient arrives, is the follow-up's.
    Differs: the scripts take f from the step before, noise in the first step,
      and the images of D's move for that of mlp; here every move has fakes of
      its own, made by the weights of the moment.
    """
    z_size = _check_networks(networks)
    nets = {name: functional.from_keras(net) for name, net in networks.items()}
    players = tuple(networks)
    conditioned = "mlp_cls" in networks
    spread = conditioned and _width(networks, "mlp_cls") == 2 * z_size
    domain = domain_loss or loss

    def init(seed: int) -> Vars:
        vars = game.init_players(nets, seed)
        if not kept_images:
            return vars
        shape = [kept_images, *networks["d"].input_shape[1:]]
        kept = {_KEPT: {"images": tf.zeros(shape, tf.uint8)}}
        return vars._replace(state={**vars.state, **kept})

    def play(vars: Vars, player: str, inputs, seed):
        outputs, _ = nets[player].apply(
            vars.params[player], vars.state[player], inputs, seed
        )
        return tf.nest.map_structure(
            lambda x: tf.cast(x, _dtype(vars)), outputs
        )

    def judge(vars: Vars, images, seed) -> Judged:
        return Judged(*play(vars, "d", images, rng.fold(seed, _NOISE)))

    def generate(vars: Vars, features, n, seed):
        """Draw n images; `features` [F] of the domain, or None."""

        def noise(stream, size):
            return rng.normal(rng.fold(seed, stream), [n, size], _dtype(vars))

        z = noise(_LATENT, z_size)
        if "mlp" in networks:
            z = play(vars, "mlp", z, seed)
        if conditioned and features is not None:
            given = play(vars, "mlp_cls", features[tf.newaxis], seed)
            given = tf.repeat(given, n, axis=0)
            if spread:
                mean, deviation = tf.split(given, 2, axis=1)
                z = deviation * z + mean
            else:
                z = tf.concat([z, given], 1)
        elif conditioned and not spread:
            unknown = noise(_UNKNOWN, _width(networks, "mlp_cls"))
            z = tf.concat([z, unknown], 1)
        return play(vars, "g", z, seed)

    def others_of(vars: Vars, others, n, seed):
        """Return (images of others, how much they count), or None."""
        if others is not None:
            return others, 1.0
        if not kept_images:
            return None
        kept = vars.state[_KEPT]["images"]
        index = rng.integers(rng.fold(seed, _STOCK), [n], kept_images)
        images = tf.cast(tf.gather(kept, index), _dtype(vars)) / 127.5 - 1.0
        # A game that was never given any holds zeros.
        count = tf.cast(tf.reduce_any(kept > 0), images.dtype)
        return images, count

    def criticise(vars: Vars, real, others, shown: Judged, fake, judged, seed):
        """Return (D's loss, its penalties)."""
        total = loss.discriminator(shown.adversarial, judged.adversarial)
        total += domain.real(shown.domain)
        smooth = penalty(
            lambda x: judge(vars, x, seed).adversarial,
            real,
            fake,
            rng.fold(seed, _PENALTY),
        )
        given = others_of(vars, others, tf.shape(real)[0], seed)
        if given is not None:
            images, count = given
            total += count * domain.fake(judge(vars, images, seed).domain)
            if domain_loss is None:
                n = tf.minimum(tf.shape(real)[0], tf.shape(images)[0])
                smooth += count * penalty(
                    lambda x: judge(vars, x, seed).domain,
                    real[:n],
                    images[:n],
                    rng.fold(seed, _PENALTY, 1),
                )
        return total + smooth, smooth

    def weigh(vars: Vars, real, others, seed, *, critic: bool):
        """Return the Outcome; without `critic`, all but what D minimises."""
        shown = features = None
        if critic or conditioned:
            shown = judge(vars, real, seed)
            features = _summary(shown.features)
        fake = generate(vars, features, tf.shape(real)[0], seed)
        judged = judge(vars, fake, seed)
        fooled = loss.generator(judged.adversarial)
        placed = domain.generator(judged.domain)
        losses = {p: fooled + placed for p in players if p in _MAKERS}
        losses["g"] = fooled + domain_weight * placed
        metrics = {}
        if critic:
            losses["d"], smooth = criticise(
                vars, real, others, shown, fake, judged, seed
            )
            scores = shown.adversarial, judged.adversarial
            metrics["wasserstein_estimate"] = tf.subtract(
                *map(tf.reduce_mean, scores)
            )
            metrics["gradient_penalty"] = smooth
        return game.Outcome(losses, vars.state, metrics)

    def losses(vars: Vars, real, others, seed) -> game.Outcome:
        return weigh(vars, real, others, seed, critic=True)

    def gradients(vars: Vars, real, others, seed, wrt):
        moved = {
            p: {leaf: vars.params[p][leaf] for leaf in leaves}
            for p, leaves in wrt.items()
        }
        with tf.GradientTape(
            persistent=True, watch_accessed_variables=False
        ) as tape:
            tape.watch(moved)
            outcome = weigh(vars, real, others, seed, critic="d" in wrt)
        grads = {}
        for group in (("d",), _MAKERS, ("g",)):  # of one group, one loss
            part = {p: moved[p] for p in group if p in moved}
            if part:
                grads |= tape.gradient(outcome.loss[next(iter(part))], part)
        if as_published and "mlp_cls" in grads:
            grads["mlp_cls"] = tree.zeros_like(moved["mlp_cls"])
        tree.require_connected(grads)
        return grads, outcome

    def remember(vars: Vars, support) -> Vars:
        shape = tf.concat([[-1], tf.shape(support)[2:]], 0)
        images = tf.reshape(support, shape)
        seen = judge(vars, images, tf.zeros([2], tf.int64))
        memory = {_MEMORY: {"features": _summary(seen.features)}}
        return vars._replace(state={**vars.state, **memory})

    def sample(vars: Vars, seed, n):
        memory = vars.state.get(_MEMORY, {})
        return generate(vars, memory.get("features"), n, seed)

    def stock(vars: Vars, images) -> Vars:
        kept = {_KEPT: {"images": tf.constant(images, tf.uint8)}}
        return vars._replace(state={**vars.state, **kept})

    return game.Game(
        players=players,
        init=init,
        losses=losses,
        gradients=gradients,
        sample=game.in_batches(sample, _BATCH),
        metrics=("wasserstein_estimate", "gradient_penalty"),
        remember=remember if conditioned else lambda vars, support: vars,
        wants_others=True,
        adapts_with_others=True,
        order=_order(players, one_by_one=as_published),
        stocks=kept_images,
        stock=stock,
    )


def _summary(features):
    """Return the mean [F] over a batch, constant to whoever learns."""
    return tf.stop_gradient(tf.reduce_mean(features, 0))


def _order(players, *, one_by_one: bool) -> tuple[tuple[str, ...], ...]:
    makers = tuple(p for p in _MAKERS if p in players)
    if one_by_one:
        return (("d",), *((p,) for p in makers))
    return (("d",), makers) if makers else (("d",),)


def _dtype(vars: Vars) -> tf.DType:
    return next(iter(vars.params["g"].values())).dtype


def _width(networks: dict[str, keras.Model], name: str) -> int:
    """Return how many numbers a network gives, 0 for one that is not there."""
    return networks[name].output_shape[-1] if name in networks else 0


def _check_networks(networks: dict[str, keras.Model]) -> int:
    """Return the size of z, after checking that the networks can play."""
    fits = {"d", "g"} <= set(networks) <= {"d", "g", *_MAKERS}
    if fits:
        taken = networks["g"].input_shape[-1]
        given = _width(networks, "mlp_cls")
        if "mlp" in networks:
            size = networks["mlp"].input_shape[-1]
            fits = _width(networks, "mlp") + given == taken
        else:
            size = taken if given == 2 * taken else taken - given
            fits = size > 0
        fits = fits and len(networks["d"].outputs) == 3
    if not fits:
        shapes = {p: net.output_shape for p, net in networks.items()}
        raise ValueError(
            f"--game=latent got networks that give {shapes}; expected d with "
            "two scores and features, g, and mlp and mlp_cls whose numbers are "
            "together those that g takes. Use --architecture=latent_dcgan, or "
            "--game=two_player with other networks."
        )
    return size
