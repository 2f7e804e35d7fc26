"""From settings to parts: the one place where names become objects."""

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_metagan import learner as learners
from tf_metagan import packed, registry, workers
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.core import tree
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


class Run(NamedTuple):
    """A trained run, ready to adapt and sample.

    Attributes:
      settings: it was trained with.
      algorithm: what adapts.
      vars: meta-weights, averaged as the run says.
      meta_step: meta-steps done.
      split: which classes were for training and which for test.
    """

    settings: Settings
    algorithm: Any
    vars: Vars
    meta_step: int
    split: data.Split


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
    stock: np.ndarray | None = None,
) -> Learner:
    """Draw the initial meta-weights and give them variables and optimisers.

    Args:
      settings: of the run.
      algorithm: of these settings.
      strategy: where the variables live.
      split: kept in checkpoints.
      start: meta-weights to begin with instead of drawn ones.
      stock: images that the game keeps, see `gan.game.Game.stock`.

    Raises:
      ValueError: `start` is of other networks.
    """
    seed = settings.take("seed")
    values = algorithm.init(seed)
    if start is not None:
        values = begin_with(values, start)
    weights = settings.take("embedding_weights")
    if weights is not None:
        values = resnet_weights.put(values, weights)
    if stock is not None:
        values = algorithm.game.stock(values, stock)
    length = settings.take("meta_steps") // len(algorithm.phases())

    def renew():
        return make_optimizers(
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


def make_optimizers(
    settings: Settings,
    vars: Vars,
    strategy: tf.distribute.Strategy,
    *,
    classical: tuple[str, ...] = (),
    meta_steps: int | None = None,
    moves: Mapping[str, int] | None = None,
) -> tuple[dict[str, keras.Optimizer], dict[str, keras.Optimizer]]:
    """Build the outer optimisers of weights and of inner quantities.

    Args:
      settings: takes outer_*, rates_outer_rate and ema.
      vars: says which players have what to learn.
      strategy: in whose scope they are made.
      classical: players that learn by ordinary steps.
      meta_steps: length of the phase that they are for; None for all.
      moves: how often each player learns in a meta-step; once where None.

    Returns:
      {player: optimizer} of `params`, and the same of `inner`.
    """
    rate = settings.take("outer_rate")
    rates_rate = rate
    if vars.inner:
        chosen = settings.take("rates_outer_rate")
        rates_rate = rate if chosen is None else chosen
    with strategy.scope():
        return (
            {
                p: make_classical_optimizer(settings, name=p)
                if p in classical
                else make_optimizer(
                    settings,
                    rate,
                    name=p,
                    meta_steps=meta_steps,
                    moves=(moves or {}).get(p, 1),
                )
                for p in vars.params
            },
            {
                p: make_optimizer(
                    settings,
                    rates_rate,
                    name=f"{p}_rates",
                    meta_steps=meta_steps,
                )
                for p in vars.inner
            },
        )


def load_run(logdir: str) -> Run:
    """Load what training left in a folder.

    The weights are those of the last checkpoint, each its moving average where
    there is one, or with --average_checkpoints=n the mean of the last n.

    Args:
      logdir: the run folder, a packed one, or `pretrained:NAME`.

    Raises:
      FileNotFoundError: it holds no run, or no checkpoint yet.
      ValueError: the package ships no model of that name.
      OSError: a file is damaged.
    """
    logdir = packed.resolve(logdir)
    settings = with_algorithm_defaults(settings_lib.load(logdir, Config))
    split = data.load_split(os.path.join(logdir, SPLIT_FILE))
    if packed.is_packed(logdir):
        algorithm = make_algorithm(settings)
        vars, step = packed.read(logdir, lambda n: _drawn(algorithm, n))
        return Run(settings, algorithm, vars, step, split)
    folder = os.path.join(logdir, CHECKPOINTS)
    last = settings.config.average_checkpoints
    paths = learners.checkpoints(folder)[-last:]
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no checkpoint: expected at least one, written "
            "every --checkpoint_every meta-steps and at the end. Train longer "
            f"(python -m tf_metagan.train --flagfile={logdir}/run.flags)."
        )
    algorithm = make_algorithm(settings)
    learner = make_learner(
        settings, algorithm, tf.distribute.get_strategy(), split=split
    )
    found = []
    for path in paths:
        learner.restore(path)
        found.append(learner.averaged())
    _check_alike(found, paths)
    vars = tf.nest.map_structure(lambda *w: _mean(w), *found)
    step = int(learner.meta_step.numpy())
    return Run(settings, algorithm, vars, step, split)


def _mean(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the mean; of what is no floating number, such as seeds, the last.

    >>> _mean([tf.constant([5]), tf.constant([7])]).numpy().tolist()
    [7]
    """
    if not values[-1].dtype.is_floating:
        return values[-1]
    return tf.add_n(values) / len(values)


def _drawn(algorithm, meta_step: int) -> Vars:
    """Return weights, freshly drawn, of the phase of a meta-step."""
    vars = algorithm.init(0)
    for start in algorithm.phases()[1:]:
        if start <= meta_step:
            vars = algorithm.next_phase(vars)
    return vars


def _check_alike(found: list[Vars], paths: list[str]) -> None:
    """Refuse to average checkpoints of different phases."""
    kinds = [set(tree.names(vars.params)) for vars in found]
    alike = [kind == kinds[-1] for kind in kinds]
    if not all(alike):
        usable = alike[::-1].index(False)
        names = ", ".join(os.path.basename(path) for path in paths)
        raise ValueError(
            f"--average_checkpoints={len(paths)} takes the mean of {names}, "
            "which hold the weights of different scales; expected those of "
            f"one scale. Use --average_checkpoints={usable}, or train on."
        )


def require_steps(run: Run, command: str) -> None:
    """Refuse runs that model photographs where images of a class are needed.

    Args:
      run: of any rule.
      command: that cannot use it.

    Raises:
      ValueError: the run models photographs.
    """
    if run.algorithm.game.model is not None:
        raise ValueError(
            f"{command} takes runs that adapt to images of a class, got one of "
            f"--algo={run.settings.config.algo}, which models photographs. Use "
            "python -m tf_metagan.sample, tf_metagan.apply or "
            "tf_metagan.evaluate_photographs."
        )


def load_pretrained(name: str) -> Run:
    """Load a model that comes with the package.

    Args:
      name: "omniglot" or "mnist".

    Raises:
      ValueError: there is no such model.

    >>> run = load_pretrained("omniglot")
    >>> run.settings.config.dataset
    'omniglot'
    """
    return load_run(packed.PREFIX + name)


def pack(logdir: str, folder: str) -> None:
    """Write a trained run to one small folder that can be used in its place.

    Args:
      logdir: the run folder.
      folder: to write to.

    Raises:
      FileNotFoundError: it holds no run, or no checkpoint yet.
      OSError: a file is damaged or cannot be written.
    """
    run = load_run(logdir)
    packed.write(
        folder,
        config=os.path.join(logdir, settings_lib.CONFIG_FILE),
        split=os.path.join(logdir, SPLIT_FILE),
        vars=run.vars,
        meta_step=run.meta_step,
    )


def make_optimizer(
    settings: Settings,
    rate: float,
    *,
    name: str,
    meta_steps: int | None = None,
    moves: int = 1,
) -> keras.Optimizer:
    """Build one Keras optimizer with its schedule and moving average.

    Args:
      settings: takes outer_* and ema.
      rate: step size after the warm-up.
      name: of the optimizer.
      meta_steps: that it is for; None for those of the settings.
      moves: that it makes in each of them.
    """
    ema = settings.take("ema")
    if meta_steps is None:
        meta_steps = settings.take("meta_steps")
    schedule = settings.call(make_schedule, rate=rate, meta_steps=meta_steps)
    if moves > 1 and not isinstance(schedule, float):
        schedule = Slowed(schedule, moves)
    return settings.call_with_prefix(
        "outer_",
        settings.part("outer_optimizer"),
        name=name,
        learning_rate=schedule,
        use_ema=ema > 0.0,
        ema_momentum=ema,
    )


def make_classical_optimizer(
    settings: Settings, *, name: str
) -> keras.optimizers.Adam:
    """Build Adam for a player that learns by ordinary steps.

    Args:
      settings: takes classical_rate or inner_rate, inner_beta1, inner_beta2,
        inner_epsilon and ema.
      name: of the optimizer.
    """
    rate = settings.take("classical_rate")
    ema = settings.take("ema")
    return settings.call_with_prefix(
        "inner_",
        keras.optimizers.Adam,
        name=name,
        learning_rate=settings.take("inner_rate") if rate is None else rate,
        use_ema=ema > 0.0,
        ema_momentum=ema,
    )


def make_schedule(
    *,
    rate: float,
    outer_schedule: str,
    outer_decay_steps: int | None = None,
    outer_warmup: int,
    meta_steps: int,
):
    """Return the outer step size as a number or a Keras schedule.

    Args:
      rate: step size after the warm-up.
      outer_schedule: "constant"; "linear": rate * (1 - t/T), down to 0 at the
        last meta-step; "cosine": rate * (1 + cos(pi t/T)) / 2; "drop": a
        tenth of the rate in the last fifth.
      outer_decay_steps: T, counted from the end of training; before, the step
        size is `rate`. None: all meta-steps after the warm-up.
      outer_warmup: meta-steps in which the step size rises from 0 to `rate`.
      meta_steps: length of training.

    Raises:
      ValueError: the decay has no schedule or is longer than the training.
    """
    steps = max(1, meta_steps - outer_warmup)
    hold = 0
    if outer_decay_steps is not None:
        hold = steps - outer_decay_steps
        if hold < 0 or outer_schedule not in ("linear", "cosine"):
            raise ValueError(
                f"--outer_decay_steps={outer_decay_steps} does not fit "
                f"--outer_schedule={outer_schedule} and {steps} meta-steps "
                "after the warm-up. Give at most as many, and linear or "
                "cosine; or leave it out."
            )
        steps = outer_decay_steps
    schedules = keras.optimizers.schedules
    if outer_schedule == "linear":
        after = schedules.PolynomialDecay(rate, steps, end_learning_rate=0.0)
    elif outer_schedule == "cosine":
        after = schedules.CosineDecay(rate, steps)
    elif outer_schedule == "drop":
        after = schedules.PiecewiseConstantDecay(
            [4 * steps // 5 - 1], [rate, rate / 10]
        )
    elif not outer_warmup:
        return rate
    else:
        after = schedules.PolynomialDecay(rate, 1, end_learning_rate=rate)
    if hold:
        after = Hold(after, hold)
    return WarmUp(after, outer_warmup) if outer_warmup else after


@keras.saving.register_keras_serializable(package="tf_metagan")
class Hold(keras.optimizers.schedules.LearningRateSchedule):
    """Keep the first value of `after` for `steps` steps, then follow it."""

    def __init__(self, after, steps: int):
        """Fix the schedule `after`, which counts from the end of the steps."""
        self.after = after
        self.steps = steps

    def __call__(self, step):
        """Return the step size at an optimizer step."""
        done = keras.ops.cast(step, "float32")
        return self.after(keras.ops.maximum(done - self.steps, 0.0))

    def get_config(self):
        """Return the constructor's arguments."""
        after = keras.optimizers.schedules.serialize(self.after)
        return {"after": after, "steps": self.steps}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make the schedule `get_config` describes."""
        after = keras.optimizers.schedules.deserialize(
            config["after"], custom_objects
        )
        return cls(after, config["steps"])


@keras.saving.register_keras_serializable(package="tf_metagan")
class Slowed(Hold):
    """Follow `after` by one step in every `steps` steps."""

    def __call__(self, step):
        """Return the step size at an optimizer step."""
        done = keras.ops.cast(step, "float32")
        return self.after(keras.ops.floor(done / self.steps))


@keras.saving.register_keras_serializable(package="tf_metagan")
class WarmUp(Hold):
    """Rise linearly from 0 during `steps` steps, then follow `after`."""

    def __call__(self, step):
        """Return the step size at an optimizer step."""
        done = keras.ops.cast(step, "float32")
        rising = keras.ops.minimum(1.0, (done + 1.0) / (self.steps + 1.0))
        return rising * super().__call__(step)
