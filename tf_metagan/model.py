"""Meta-learned GANs as Keras models: compile, fit, adapt, sample, save.

`MetaGAN` does the meta-steps of the command line inside Keras's training loop,
on networks that are any Keras models.
"""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_metagan import (
    assembly,
    config,
    fields,
    model_checks,
    outer_optimizers,
    python_errors,
    registry,
    sampling,
    task_position,
)
from tf_metagan import learner as learners
from tf_metagan.config import Config
from tf_metagan.core import functional
from tf_metagan.gan import layers  # noqa: F401  (registers them for loading)
from tf_metagan.settings import Settings
from tf_metagan.types import TaskBatch, Vars

_OPTIMIZERS = (
    "d_optimizer",
    "g_optimizer",
    "d_rate_optimizer",
    "g_rate_optimizer",
)


class Adapted:
    """Networks that have adapted to a few images of one class.

    Attributes:
      vars: their weights.
      metrics: {name: [steps]}, losses on the images before each step.
    """

    def __init__(self, sample, vars: Vars, metrics: dict[str, np.ndarray]):
        """Keep weights and what draws from them, as `MetaGAN.adapt` does."""
        self._sample = sample
        self.vars = vars
        self.metrics = metrics

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw images of the class.

        Args:
          n: number of images.
          seed: equal seeds give equal images.

        Returns:
          [n, H, W, C] in [-1, 1].
        """
        return self._sample(self.vars, n, seed)


@keras.saving.register_keras_serializable(package="tf_metagan")
class MetaGAN(keras.Model):
    """A generator and a discriminator that learn to learn from a few images.

    The weights of the given networks are the meta-weights: after `fit`, the
    networks themselves hold what was learned. Learned step sizes and
    statistics of the inner optimiser, and the number of meta-steps done, are
    weights of this model. As everywhere in this package, a moving average
    (ema=0.999) does not replace the weights; `adapt` and `sample` use it.

    >>> gan = MetaGAN(architecture="toy", image_size=4, width=2, latent_size=2)
    >>> gan.compile()
    >>> gan.adapt(np.zeros([3, 4, 4, 1], np.uint8)).sample(8).shape
    (8, 4, 4, 1)
    """

    def __init__(
        self,
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        algorithm: str = "fomaml",
        *,
        name: str | None = None,
        **settings,
    ):
        """Fix networks and rule.

        Args:
          generator: built, with named layers: [n, z] -> [n, H, W, C] in
            [-1, 1]. Training begins with the weights it has.
          discriminator: built, with named layers: [n, H, W, C] -> [n, 1].
            Leave out both to have them built by architecture="dcgan",
            image_size, channels, width, latent_size and precision, with
            weights drawn from `seed`.
          algorithm: meta-learning rule: "maml", "fomaml", "reptile", ...
          name: of this model.
          **settings: of networks, inner and outer loop, by the names and with
            the defaults of the command line (`tf_metagan.Config`).

        Raises:
          TypeError, ValueError: a network or a setting is not usable.
        """
        super().__init__(name=name)
        strategy = self.distribute_strategy
        chosen = {"d": discriminator, "g": generator}
        given = discriminator is not None or generator is not None
        if given:
            model_checks.check_networks(generator, discriminator, settings)
        with python_errors.without_flags():
            self._settings = _resolve(algorithm, settings)
            networks = chosen
            if not given:
                networks = assembly.make_networks(self._settings)
            self._rule = assembly.make_algorithm(self._settings, networks)
            model_checks.check_phases(self._rule, algorithm)
            drawn = self._rule.init(self._settings.take("seed"))
            taken = {"meta_steps", *self._settings.used}
            outer_optimizers.make_optimizers(
                self._settings,
                drawn,
                strategy,
                classical=self._rule.classical,
            )
            self._optimizer_settings = set(self._settings.used) - taken
            for used in (
                "outer_clip_norm",
                "outer_clip_value",
                "inner_batch_size",
                "adapt_steps",
                "adapt_batch_size",
            ):
                self._settings.take(used)
            self._settings.check_all_used()
        self._networks_given = given
        self.generator, self.discriminator = networks["g"], networks["d"]
        more = {p: net for p, net in networks.items() if p not in chosen}
        if more:
            self.more_networks = more  # of other players, for Keras to save
        self._create_variables(networks, drawn, strategy)
        self._means = {
            name: keras.metrics.Mean(name) for name in self._metric_names()
        }
        self._adapt = tf.function(
            self._rule.adapt, autograph=False, reduce_retracing=True
        )
        self._sample = tf.function(self._rule.game.sample, autograph=False)
        self.built = True

    def _create_variables(self, networks, drawn: Vars, strategy) -> None:
        """Collect the networks' variables and create those of our own."""
        own = {
            p: functional.from_keras(network).variables()
            for p, network in networks.items()
        }
        stated = {p: own[p][1] if p in own else {} for p in drawn.state}
        carried = {
            p: {x: v for x, v in leaves.items() if x not in stated[p]}
            for p, leaves in drawn.state.items()
        }
        extra = learners.create_variables(
            Vars({}, carried, drawn.inner), strategy
        )
        with strategy.scope():
            self.meta_step = keras.Variable(
                0,
                dtype="int64",
                trainable=False,
                aggregation="only_first_replica",
                name="meta_step",
            )
        self.inner_quantities = tf.nest.flatten(extra.inner)
        self.inner_statistics = tf.nest.flatten(extra.state)
        vars = Vars(
            params={p: params for p, (params, _) in own.items()},
            state={p: {**stated[p], **extra.state[p]} for p in stated},
            inner=extra.inner,
        )
        model_checks.check_scope(vars, strategy)
        if not self._networks_given:
            for p, (params, state) in own.items():
                for leaf, variable in params.items():
                    variable.assign(drawn.params[p][leaf])
                for leaf, variable in state.items():
                    variable.assign(drawn.state[p][leaf])
        # In a function, for Keras to leave the dictionaries as they are.
        self._variables_of_players = lambda: vars

    def _metric_names(self) -> Iterator[str]:
        yield "loss"
        yield from self._rule.metric_shapes()
        vars = self._variables_of_players()
        groups = {
            "params": self._rule.learned(vars.params),
            "inner": vars.inner,
        }
        for field, players in groups.items():
            for player, leaves in players.items():
                if leaves:
                    yield learners.norm_name(field, player)

    def compile(
        self,
        d_optimizer=None,
        g_optimizer=None,
        *,
        d_rate_optimizer=None,
        g_rate_optimizer=None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool = False,
        **refused,
    ) -> None:
        """Choose the outer optimisers, one per player.

        Their variables exist from here on, so that whatever restores a state
        (load_weights, BackupAndRestore) restores theirs.

        Args:
          d_optimizer: of the discriminator's meta-weights: a Keras optimizer
            or its name. None: as the settings outer_optimizer, outer_rate, ...
            say.
          g_optimizer: the same for the generator.
          d_rate_optimizer: of what the discriminator's inner optimiser learns;
            only used with learned_rates or inner_statistics="learned".
          g_rate_optimizer: the same for the generator.
          run_eagerly: as in Keras.
          steps_per_execution: as in Keras.
          jit_compile: as in Keras, but off by default.
          **refused: Keras's other arguments have no meaning here.

        Raises:
          TypeError, ValueError: an argument has no effect here.
        """
        if refused:
            raise TypeError(
                f"compile() got {', '.join(sorted(refused))}; expected an "
                "optimizer per player, as the losses are settings of the "
                "model. Use compile(d_optimizer=..., g_optimizer=...) and "
                "MetaGAN(..., loss=...)."
            )
        chosen = (d_optimizer, g_optimizer, d_rate_optimizer, g_rate_optimizer)
        chosen = dict(zip(_OPTIMIZERS, chosen, strict=True))
        with self.distribute_strategy.scope():
            chosen = {n: keras.optimizers.get(x) for n, x in chosen.items()}
        model_checks.check_optimizers(
            chosen,
            players=self._rule.game.players,
            learned_inner=self._variables_of_players().inner,
            settings=self._optimizer_settings.intersection(
                self._settings.given
            ),
        )
        model_checks.check_learns(self._rule)
        model_checks.check_devices(
            chosen.values(),
            self.distribute_strategy,
            steps_per_execution=steps_per_execution,
        )
        self._compile(
            chosen,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
        )

    def _compile(self, chosen: dict, **options) -> None:
        strategy = self.distribute_strategy
        vars = self._variables_of_players()
        made = outer_optimizers.make_optimizers(
            self._settings, vars, strategy, classical=self._rule.classical
        )
        kinds = ("{}_optimizer", "{}_rate_optimizer")
        for kind, optimizers in zip(kinds, made, strict=True):
            for player in self._rule.game.players:
                name = kind.format(player)
                if chosen.get(name) is not None and player in optimizers:
                    optimizers[player] = chosen[name]
                setattr(self, name, optimizers.get(player))
        super().compile(optimizer=None, **options)
        self._compile_options = options
        self.optimizer = _Optimizers([x for o in made for x in o.values()])
        self._learner = self._settings.call(
            learners.Learner,
            self._rule,
            vars,
            optimizers=made[0],
            rate_optimizers=made[1],
            strategy=strategy,
            meta_step=self.meta_step.value,
        )

    def fit(self, x, *, callbacks=None, validation_data=None, **options):
        """Meta-train: one batch of tasks is one meta-step.

        Logs the metrics of the command line, means over an epoch, and "loss",
        the sum of the players' outer losses (D_val + G_val), for callbacks
        that expect it: it is not finite when one of them is not.

        Args:
          x: `tf_metagan.tasks(...)`, or another dataset of TaskBatch.
          callbacks: as in Keras.
          validation_data: tasks with num_batches, of split="test".
          **options: epochs, steps_per_epoch, verbose and others of Keras.

        Returns:
          History.

        Raises:
          TypeError, ValueError: the tasks do not fit the model.
        """
        model_checks.check_dataset(x, **self._fitting())
        if validation_data is not None:
            model_checks.check_dataset(validation_data, **self._fitting())
        if hasattr(x, "beginning_at"):
            x, callbacks = task_position.following(x, self, callbacks)
        options = {"shuffle": False, **options}  # Keras warns of its default
        return super().fit(
            x, callbacks=callbacks, validation_data=validation_data, **options
        )

    def evaluate(self, x, **options):
        """Return the outer losses on tasks, without learning from them.

        Args:
          x: tasks with num_batches; else give steps.
          **options: as in Keras.
        """
        model_checks.check_dataset(x, **self._fitting())
        return super().evaluate(x, **options)

    def train_step(self, data):
        """Do one meta-step, in replica context; Keras calls this."""
        metrics = self._learner.replica_step(self._prepare(data))
        self._learner.advance()
        return self._report(metrics)

    def test_step(self, data):
        """Return the metrics of tasks, in replica context."""
        return self._report(self._learner.replica_metrics(self._prepare(data)))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Skip what Keras does for unbuilt models under a strategy.

        It would add up the first batch over the devices, which fails for
        numbers of tasks that the devices cannot share evenly.
        """

    def call(self, latents, training=False):
        """Map latents [n, z] to images [n, H, W, C] by the meta-weights."""
        return self.generator(latents, training=training)

    @property
    def metrics(self) -> list[keras.Metric]:
        """The means that `fit` and `evaluate` report."""
        return list(self._means.values())

    def adapt(self, images, steps: int | None = None, seed: int = 0) -> Adapted:
        """Adapt to a few images of one class; the model does not change.

        Args:
          images: [n, H, W, C], uint8, or floating in [-1, 1]; n >= 1. More
            than adapt_batch_size, or inner_batch_size, are divided over the
            steps.
          steps: steps of adaptation; adapt_steps, else inner_steps, if None.
          seed: equal seeds give equal results.

        Returns:
          Adapted, which draws images of the class.

        Raises:
          TypeError, ValueError: the images or the steps are not usable.
        """
        values = self._settings.config
        if steps is None:
            steps = values.adapt_steps
        if steps is None:
            steps = values.inner_steps
        if steps < 0:
            raise ValueError(
                f"steps={steps} is not possible; expected 0 or more. Leave it "
                f"out to use {values.inner_steps}."
            )
        batches = sampling.step_batches(
            model_checks.as_support(images, image_shape=self._image_shape()),
            batch_size=values.adaptation_batch,
            steps=steps,
            seed=seed,
        )
        vars = self._values()
        adapted, metrics = self._adapt(
            vars,
            tf.cast(batches, _dtype(vars)),
            None,
            sampling.adaptation_seed(seed),
            tf.constant(steps),
        )
        metrics = {name: x.numpy() for name, x in metrics.items()}
        return Adapted(self._draw, adapted, metrics)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw images by the meta-weights, before any adaptation.

        Args:
          n: number of images.
          seed: equal seeds give equal images.

        Returns:
          [n, H, W, C] in [-1, 1].
        """
        return self._draw(self._values(), n, seed)

    def _draw(self, vars: Vars, n: int, seed: int) -> np.ndarray:
        if n < 1:
            raise ValueError(
                f"n={n} asks for no image; expected at least 1. Use n=16, say."
            )
        return sampling.draw_images(
            self._sample, vars, num_samples=n, seed=seed
        )

    def _values(self) -> Vars:
        if self.compiled:
            return self._learner.averaged()
        vars = self._variables_of_players()
        return tf.nest.map_structure(tf.convert_to_tensor, vars)

    def _report(self, metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        losses = [
            tf.reduce_mean(metrics[f"{p.upper()}_val"])
            for p in self._rule.game.players
        ]
        metrics = {"loss": tf.add_n(losses), **metrics}
        for name, value in metrics.items():
            self._means[name].update_state(value)
        return {name: self._means[name].result() for name in metrics}

    def _prepare(self, tasks) -> TaskBatch:
        """Return the tasks of a step, checked, in the dtype of the weights."""
        if type(tasks) is tuple:  # from train_on_batch and test_on_batch
            tasks = tasks[0]
        model_checks.check_tasks(tasks, **self._fitting())
        model_checks.assert_range(tasks.support)
        model_checks.assert_range(tasks.query)
        dtype = _dtype(self._variables_of_players())
        support, query, others = (
            None if x is None else tf.cast(x, dtype) for x in tasks[:3]
        )
        return tasks._replace(support=support, query=query, others=others)

    def _fitting(self) -> dict:
        """Return what tasks must be like, for `model_checks`."""
        return {
            "image_shape": self._image_shape(),
            "inner_steps": self._rule.inner_steps,
        }

    def _image_shape(self) -> tf.TensorShape:
        return tf.TensorShape(self.generator.output_shape[1:])

    def get_config(self) -> dict:
        """Return the constructor's arguments, defaults as they were chosen."""
        settings = self._settings
        values = vars(settings.config)
        kept = set(settings.used) - self._optimizer_settings
        kept = sorted((kept | set(settings.given)) - {"algo"})
        parts = {name: values[name] for name in kept}
        if self._networks_given:
            parts["generator"] = self.generator
            parts["discriminator"] = self.discriminator
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "algorithm": values["algo"],
            **{name: serialize(value) for name, value in parts.items()},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make the model that `get_config` describes; its weights are new."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(
                    value, custom_objects=custom_objects
                )
                for name, value in config.items()
            }
        )

    def get_compile_config(self) -> dict:
        """Return what `compile_from_config` needs; Keras saves it."""
        if not self.compiled:
            return {}
        serialize = keras.saving.serialize_keras_object
        optimizers = {name: getattr(self, name) for name in _OPTIMIZERS}
        return {
            **{name: serialize(x) for name, x in optimizers.items()},
            **self._compile_options,
        }

    def compile_from_config(self, config) -> None:
        """Compile as the saved model was; Keras calls this."""
        deserialize = keras.saving.deserialize_keras_object
        options = {n: x for n, x in config.items() if n not in _OPTIMIZERS}
        self._compile(
            {n: deserialize(config[n]) for n in _OPTIMIZERS}, **options
        )


class _Optimizers:
    """Stands for all players' optimisers where callbacks ask for one."""

    built = True

    def __init__(self, optimizers: list[keras.Optimizer]):
        self.optimizers = optimizers

    @property
    def iterations(self):
        return self.optimizers[0].iterations

    @property
    def variables(self) -> list[keras.Variable]:
        return [v for optimizer in self.optimizers for v in optimizer.variables]


def _resolve(algorithm: str, given: dict) -> Settings:
    if "algo" in given:
        raise TypeError(
            f"algo={given['algo']!r} is spelled differently in Python; "
            f"expected algorithm. Use MetaGAN(algorithm={given['algo']!r})."
        )
    if algorithm not in registry.ALGORITHMS:
        raise ValueError(
            f"algorithm={algorithm!r} is not a known algorithm. "
            + registry.suggest(str(algorithm), registry.ALGORITHMS.known())
        )
    settings = Settings(Config, [({**given, "algo": algorithm}, True)])
    misplaced = [
        name
        for name, described in fields.describe(Config).items()
        if name in given
        and name not in model_checks.NETWORK_SETTINGS
        and (described.section == config.DATA or name == "meta_batch")
    ]
    if misplaced:
        raise ValueError(
            f"{', '.join(misplaced)} has no effect on the model; expected its "
            "own settings, not those of the data. Give it to "
            "tf_metagan.tasks(...)."
        )
    settings = assembly.with_algorithm_defaults(settings)
    return settings.with_defaults({"channels": 1})  # as assembly has it


def _dtype(vars: Vars) -> str:
    weight = next(iter(vars.params["g"].values()))
    return keras.backend.standardize_dtype(weight.dtype)
