"""From settings to parts: the one place where names become objects."""

import inspect
import json
import os

import keras
import numpy as np
import tensorflow as tf

from tf_metagan import outer_optimizers, registry, workers
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout, Turn
from tf_metagan.data import base as data
from tf_metagan.data import episodes
from tf_metagan.gan import resnet_weights
from tf_metagan.learner import Learner, create_variables
from tf_metagan.settings import Settings
from tf_metagan.types import Vars

CHECKPOINTS = "ckpt"
SPLIT_FILE = "split.json"

_FEW_CORES = 4


def configure_runtime(settings: Settings) -> None:
    """Set threads, graph options, determinism; call before TensorFlow is used.

    On a machine without GPU and with few cores the default is one thread per
    operation and as many operations at a time as there are cores: the meta-
    step consists of many small operations, and this measured 15 to 25 % faster
    on two cores.

    Args:
      settings: takes inter_op_threads, intra_op_threads, deterministic.
    """
    inter = settings.take("inter_op_threads")
    intra = settings.take("intra_op_threads")
    cores = os.cpu_count() or 1
    gpus = tf.config.list_physical_devices("GPU")
    if inter is None and intra is None and cores <= _FEW_CORES and not gpus:
        inter, intra = cores, 1
    set_graph_options()
    if inter is not None:
        tf.config.threading.set_inter_op_parallelism_threads(inter)
    if intra is not None:
        tf.config.threading.set_intra_op_parallelism_threads(intra)
    if settings.take("deterministic"):
        tf.keras.utils.set_random_seed(settings.take("seed"))
        tf.config.experimental.enable_op_determinism()


def set_graph_options() -> None:
    """Leave out a rewriting of graphs that fails on ours and gains nothing.

    It is the fusion of convolutions with their bias. Where it fails it leaves
    an error in the log and the graph as it was.
    """
    tf.config.optimizer.set_experimental_options({"remapping": False})


def make_strategy(settings: Settings) -> tf.distribute.Strategy:
    """Return the strategy that --strategy names; call before TensorFlow works.

    Args:
      settings: takes strategy.

    Raises:
      ValueError: mirrored was asked for and there is but one device, or
        multiworker and TF_CONFIG does not say who takes part.
      OSError: the address of this worker is in use.
    """
    name = settings.take("strategy")
    if name == "multiworker":
        return workers.connect(workers.read_place(os.environ))
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if name == "mirrored" and len(devices) < 2:
        raise ValueError(
            f"--strategy=mirrored needs two devices of a kind, found "
            f"{[d.name for d in devices]}. Use --strategy=one or auto."
        )
    if name == "mirrored" or (name == "auto" and len(devices) > 1):
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    return tf.distribute.get_strategy()


def load_images(settings: Settings) -> data.ClassImages:
    """Load the data set that --dataset names."""
    load = settings.part("dataset")
    return settings.call(load)


def with_channels(settings: Settings, images: data.ClassImages) -> Settings:
    """Let the images decide on --channels where it is open."""
    return settings.with_defaults({"channels": images.images.shape[-1]})


def make_split(settings: Settings, images: data.ClassImages) -> data.Split:
    """Divide the classes into meta-train and meta-test by the settings."""
    return settings.call(data.make_split, images)


def make_sampler(
    settings: Settings,
    images: data.ClassImages,
    *,
    classes,
    stream: int,
    **given,
) -> episodes.EpisodeSampler:
    """Return the episodes of some classes.

    Args:
      settings: of the run.
      images: the data set.
      classes: class ids to draw from.
      stream: number of an independent stream of episodes; 0 trains.
      **given: arguments of the sampler that do not come from the settings.
    """
    seed = settings.take("seed")
    if stream:
        seed = int(np.random.default_rng([seed, stream]).integers(2**31))
    return settings.call(
        episodes.EpisodeSampler, images, classes=classes, seed=seed, **given
    )


def make_networks(settings: Settings) -> dict[str, keras.Model]:
    """Build the networks that --architecture names, {player: model}.

    Where --channels is open, see `with_channels`, they are for grey images.
    """
    settings = settings.with_defaults({"channels": 1})
    precision = settings.take("precision")
    return settings.call(settings.part("architecture"), dtype=precision)


def make_game(settings: Settings, networks: dict[str, keras.Model]):
    """Build the game that the networks play, a `gan.game.Game`."""
    make = settings.part("game")
    losses = ["loss"]
    if "domain_loss" in inspect.signature(make).parameters:
        losses += ["domain_loss"] * (settings.take("domain_loss") is not None)
    return settings.call(
        make,
        networks,
        penalty=settings.call(settings.part("penalty")),
        **{name: settings.call(settings.part(name)) for name in losses},
    )


def make_rollout(settings: Settings, game) -> Rollout:
    """Build the inner loop: rules, order of moves, adapted weights."""
    rule = InnerRule(
        optimizer=settings.call(settings.part("inner_optimizer")),
        rate=settings.take("inner_rate"),
        learned_rates=settings.take("learned_rates"),
        statistics=settings.take("inner_statistics"),
        steps=max(1, settings.take("inner_steps")),
    )
    turns = make_turns(
        game.order,
        update_order=settings.take("update_order"),
        n_critic=settings.take("n_critic"),
        n_generator=settings.take("n_generator"),
    )
    rules = {p: rule for turn in turns for p in turn.players}
    return settings.call(Rollout, game, rules, turns)


def make_turns(
    order: tuple[tuple[str, ...], ...],
    *,
    update_order: str,
    n_critic: int,
    n_generator: int = 1,
) -> tuple[Turn, ...]:
    """Return the turns of one inner step.

    Args:
      order: `gan.game.Game.order`; the critic comes first.
      update_order: "simultaneous": all move from the same weights;
        "sequential": G's loss, say, is taken with the updated D and fresh
        latents.
      n_critic: moves of the critic in a row.
      n_generator: moves of each of the others in a row.

    Raises:
      ValueError: several steps were asked to be simultaneous with others.
    """
    if update_order == "sequential":
        first, *rest = order
        others = (Turn(players, n_generator) for players in rest)
        return Turn(first, n_critic), *others
    for name, moves in (("n_critic", n_critic), ("n_generator", n_generator)):
        if moves > 1:
            raise ValueError(
                f"--{name}={moves} needs --update_order=sequential: in a "
                "simultaneous step every player moves once."
            )
    return (Turn(tuple(p for players in order for p in players)),)


def make_algorithm(
    settings: Settings, networks: dict[str, keras.Model] | None = None
):
    """Build everything that is pure: game, inner loop and algorithm.

    Args:
      settings: already with the algorithm's own defaults, see
        `with_algorithm_defaults`.
      networks: {player: built model}; those of --architecture if None.

    Returns:
      An `algorithms.base.Algorithm`.
    """
    if networks is None:
        networks = make_networks(settings)
    rollout = make_rollout(settings, make_game(settings, networks))
    return settings.call(settings.part("algo"), rollout)


def with_algorithm_defaults(settings: Settings) -> Settings:
    """Let algorithm and architecture replace defaults by their own."""
    settings = settings.with_defaults(settings.part("algo").defaults)
    made_for = registry.MADE_FOR.get(settings.config.architecture)
    if made_for:
        settings = settings.with_defaults({"game": made_for})
    config = settings.config
    if config.step_weights == "annealed" and config.annealing_steps is None:
        settings = settings.with_defaults(
            {"annealing_steps": config.meta_steps}
        )
    return settings


def make_learner(
    settings: Settings,
    algorithm,
    strategy: tf.distribute.Strategy,
    *,
    split: data.Split | None = None,
    start: Vars | None = None,
    embedding_weights: str | None = None,
    stock: np.ndarray | None = None,
) -> Learner:
    """Draw the initial meta-weights and give them variables and optimisers.

    Args:
      settings: of the run.
      algorithm: of these settings.
      strategy: where the variables live.
      split: kept in checkpoints.
      start: meta-weights to begin with instead of drawn ones.
      embedding_weights: file to begin with in embeddings, see
        `gan.resnet_weights.put`; needless where a checkpoint is restored.
      stock: images that the game keeps, see `gan.game.Game.stock`.

    Raises:
      OSError: there is no such file.
      ValueError: `start` or the file is of other networks.
    """
    seed = settings.take("seed")
    values = algorithm.init(seed)
    if start is not None:
        values = begin_with(values, start)
    if embedding_weights is not None:
        values = resnet_weights.put(values, embedding_weights)
    if stock is not None:
        values = algorithm.game.stock(values, stock)
    length = settings.take("meta_steps") // len(algorithm.phases())

    def renew():
        return outer_optimizers.make_optimizers(
            settings,
            values,
            strategy,
            classical=algorithm.classical,
            meta_steps=length,
            moves=count_moves(algorithm, values),
        )

    optimizers, rate_optimizers = renew()
    return settings.call(
        Learner,
        algorithm,
        create_variables(values, strategy),
        optimizers=optimizers,
        rate_optimizers=rate_optimizers,
        renew=renew,
        strategy=strategy,
        split=json.dumps(split._asdict()) if split else "",
        saves=workers.Team(strategy).is_chief,
    )


def count_moves(algorithm, values: Vars) -> dict[str, int]:
    """Return how often each player learns in a meta-step.

    Args:
      algorithm: of these weights.
      values: meta-weights.
    """
    rules = algorithm.outer_turns()
    learned = [(rule, rule.learned(values.params)) for rule in rules]
    return {
        p: sum(rule.strides for rule, leaves in learned if leaves.get(p))
        for p in values.params
    }


def begin_with(values: Vars, start: Vars) -> Vars:
    """Return `values` with the weights of `start`.

    What inner optimisers learn (step sizes, statistics) stays that of
    `values`, since another rule may learn other things.

    Raises:
      ValueError: the weights have other names or shapes.
    """
    wanted, found = (
        {
            f"{p}/{leaf}": tuple(x.shape)
            for p, leaves in vars.params.items()
            for leaf, x in leaves.items()
        }
        for vars in (values, start)
    )
    if wanted != found:
        wrong = sorted(
            name
            for name in {*wanted, *found}
            if wanted.get(name) != found.get(name)
        )
        raise ValueError(
            f"--init_from holds other networks than these settings make: "
            f"{', '.join(wrong)} differ. Use the --architecture, --width, "
            "--latent_size, --image_size and --channels of that run."
        )
    params = {
        p: {
            leaf: tf.cast(start.params[p][leaf], x.dtype)
            for leaf, x in leaves.items()
        }
        for p, leaves in values.params.items()
    }
    return values._replace(params=params)
