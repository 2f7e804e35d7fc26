"""A trained run behind the page, looked at after every inner step."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan import assembly, sampling, trained_runs
from tf_metagan import settings as settings_lib
from tf_metagan.algorithms import base as algorithms
from tf_metagan.config import Config
from tf_metagan.core import functional, rng
from tf_metagan.core.rollout import Task
from tf_metagan.demo_page.model import (
    Card,
    Frame,
    Limits,
    Model,
    check_finite,
    check_time,
    default_steps,
    leaps,
)
from tf_metagan.types import Vars

_WALK = 3  # stream of a seed; those before it belong to `sampling`
_LOSSES = ("D_loss", "G_loss")
_CORNERS = 4  # latents that a walk passes


class RunModel(Model):
    """Steps of the inner loop one by one, where the algorithm takes such.

    Where it does more than its rollout, it is asked anew for each number of
    steps. Drawings are those of `sampling.draw` with the same seed.
    """

    def __init__(self, run: trained_runs.Run, name: str, *, limits: Limits):
        """Take a run.

        Args:
          run: from `trained_runs.load_run`.
          name: for people.
          limits: of a request.
        """
        config = run.settings.config
        self._config = config
        self._algorithm = run.algorithm
        self._vars = run.vars
        self._rollout = run.algorithm.rollout
        self._stepwise = _takes_plain_steps(run.algorithm)
        self._dtype = next(iter(run.vars.params["g"].values())).dtype
        size = config.image_size
        shape = (size, size, config.channels or 1)
        networks = assembly.make_networks(run.settings)
        self._generator = _walkable(networks, shape)
        steps = config.adapt_steps
        self.card = Card(
            name=name,
            about=f"{config.algo}, {run.meta_step} meta-steps on "
            f"{config.dataset}",
            image=shape,
            dataset=config.dataset,
            steps=default_steps(
                config.inner_steps if steps is None else steps,
                sees_images=_sees_images(run, shape),
                most=limits.steps,
            ),
            least_images=run.algorithm.game.least_images,
            best_of=config.candidates,
            limits=limits,
            inputs=("strokes", "files") if shape[-1] == 1 else ("files",),
            scratch=True,
        )
        self.walk = None if self._generator is None else self._walk
        self._latents = networks["g"].inputs[0].shape[-1]
        self._build(run.algorithm.game, _first_candidates(run), shape)

    def _build(
        self, game: Any, draft: Any, shape: tuple[int, int, int]
    ) -> None:
        """Define the graphs: none depends on the number of images."""
        rollout, algorithm = self._rollout, self._algorithm
        weights = _specs(self._vars)
        carry = _specs(rollout.begin(self._vars))
        batches = tf.TensorSpec([None, None, *shape], self._dtype)
        number = tf.TensorSpec([], tf.int32)
        seed = tf.TensorSpec([2], tf.int64)

        def graph(function: Any, *signature: Any) -> Any:
            return tf.function(
                function, input_signature=signature, autograph=False
            )

        def sampler(chosen: Any) -> Any:
            def draw(
                vars: Any, carry: Any, batches: Any, n: Any, s: Any
            ) -> Any:
                adapted = rollout.assemble(vars, carry)
                return chosen.sample(game.remember(adapted, batches), s, n)

            return graph(draw, weights, carry, batches, number, seed)

        def step(
            vars: Any, carry: Any, index: Any, batches: Any, s: Any
        ) -> Any:
            task = Task(batches, None, None, s)
            moved = rollout.step(vars, carry, index, task)
            losses = [moved.metrics[name] for name in _LOSSES]
            return moved.carry, tf.stack(losses)

        def prior(vars: Any, n: Any, s: Any) -> Any:
            return draft.sample(vars, s, n)

        def leap(
            vars: Any, batches: Any, root: Any, steps: Any, n: Any, s: Any
        ) -> Any:
            adapted, log = algorithm.adapt(vars, batches, None, root, steps)
            losses = tf.cond(
                steps > 0,
                lambda: tf.stack([log[name][-1] for name in _LOSSES]),
                lambda: tf.zeros([len(_LOSSES)], self._dtype),
            )
            return game.sample(adapted, s, n), losses

        self._step = graph(step, weights, carry, number, batches, seed)
        self._prior = graph(prior, weights, number, seed)
        self._leap = graph(leap, weights, batches, seed, number, number, seed)
        self._begin = tf.function(rollout.begin, autograph=False)
        self._draw, self._choose = sampler(draft), sampler(game)

    def prior(
        self, *, num_samples: int, seed: int, deadline: float
    ) -> np.ndarray:
        """See `Model`."""
        check_time(deadline)
        drawn = self._prior(
            self._vars, tf.constant(num_samples), sampling.sample_seed(seed)
        )
        return np.asarray(drawn, np.float32)

    def unfold(
        self,
        images: np.ndarray,
        *,
        steps: int,
        num_samples: int,
        seed: int,
        deadline: float,
        scratch: bool = False,
    ) -> Iterator[Frame]:
        """See `Model`."""
        vars = self._start(seed) if scratch else self._vars
        batches = self._batches(images, steps, seed)
        if len(images) < self.card.least_images:
            steps = 0
        number, drawing = tf.constant(num_samples), sampling.sample_seed(seed)
        if not self._stepwise:
            adapting = sampling.adaptation_seed(seed)
            for step in leaps(steps):
                check_time(deadline)
                drawn, losses = self._leap(
                    vars, batches, adapting, tf.constant(step), number, drawing
                )
                yield _frame(step, drawn, losses if step else None)
            return
        losses = None
        for step, carry, losses in self._adapting(
            vars, batches, steps, seed, deadline
        ):
            drawn = self._draw(vars, carry, batches, number, drawing)
            yield _frame(step, drawn, losses)
        if self.card.best_of > 1:
            check_time(deadline)
            drawn = self._choose(vars, carry, batches, number, drawing)
            yield _frame(steps, drawn, losses)._replace(chosen=True)

    def _walk(
        self,
        images: np.ndarray,
        *,
        steps: int,
        frames: int,
        seed: int,
        deadline: float,
    ) -> np.ndarray:
        """See `Walk`; a generator that sees an image is given the first."""
        batches = self._batches(images, steps, seed)
        if len(images) < self.card.least_images:
            steps = 0
        vars = self._vars
        *_, (_, carry, _) = self._adapting(vars, batches, steps, seed, deadline)
        adapted = self._rollout.assemble(vars, carry)
        root = rng.fold(rng.make_seed(seed), _WALK)
        corners = rng.normal(root, [_CORNERS, self._latents], self._dtype)
        inputs: Any = circle(corners.numpy(), frames)
        if len(self._generator.inputs) == 2:
            inputs = [inputs, np.repeat(batches.numpy()[0, :1], frames, axis=0)]
        network = functional.from_keras(self._generator)
        drawn, _ = network.apply(
            adapted.params["g"], adapted.state["g"], inputs, root
        )
        drawn = np.asarray(drawn, np.float32)
        check_finite(drawn, steps)
        return drawn

    def warm_up(self) -> None:
        """See `Model`."""
        images = -np.ones([2, *self.card.image], np.float32)
        request: dict[str, Any] = {"seed": 0, "deadline": math.inf}
        self.prior(num_samples=1, **request)
        for _ in self.unfold(images, steps=1, num_samples=1, **request):
            pass
        if self.walk is not None:
            self.walk(images, steps=0, frames=1, **request)

    def _adapting(
        self, vars: Vars, batches: Any, steps: int, seed: int, deadline: float
    ) -> Iterator[tuple[int, Any, Any]]:
        """Yield (steps done, weights, losses) from no step on."""
        carry = self._begin(vars)
        yield 0, carry, None
        root = sampling.adaptation_seed(seed)
        for index in range(steps):
            check_time(deadline)
            carry, losses = self._step(
                vars, carry, tf.constant(index), batches, root
            )
            yield index + 1, carry, losses

    def _batches(self, images: np.ndarray, steps: int, seed: int) -> Any:
        divided = sampling.step_batches(
            images,
            batch_size=self._config.adaptation_batch,
            steps=steps,
            seed=seed,
        )
        return tf.constant(divided, self._dtype)

    def _start(self, seed: int) -> Vars:
        """Return freshly drawn weights; what a game keeps stays."""
        drawn = self._algorithm.init(seed)
        return self._vars._replace(params=drawn.params, inner=drawn.inner)


def circle(corners: np.ndarray, frames: int) -> np.ndarray:
    """Return latents on a closed way through corners, on great circles.

    Args:
      corners: [c, z].
      frames: points of the way, spread evenly over its parts.

    Returns:
      [frames, z]; the first is the first corner. Between two corners the
      length changes evenly from that of one to that of the other, so that
      every latent is as long as a drawn one may be.

    >>> circle(np.array([[2.0, 0.0], [0.0, 4.0]]), 4).round(3).tolist()
    [[2.0, 0.0], [2.121, 2.121], [0.0, 4.0], [2.121, 2.121]]
    """
    place = np.arange(frames) * len(corners) / frames
    left = place.astype(int)
    share = (place - left)[:, np.newaxis]
    a, b = corners[left], corners[(left + 1) % len(corners)]
    length_a = np.linalg.norm(a, axis=1, keepdims=True)
    length_b = np.linalg.norm(b, axis=1, keepdims=True)
    a, b = a / length_a, b / length_b
    angle = np.arccos(np.clip(np.sum(a * b, 1, keepdims=True), -1.0, 1.0))
    sine = np.maximum(np.sin(angle), 1e-6)
    turned = np.sin((1 - share) * angle) * a + np.sin(share * angle) * b
    length = (1 - share) * length_a + share * length_b
    found: np.ndarray = (length * turned / sine).astype(corners.dtype)
    return found


def _frame(step: int, drawn: Any, losses: Any) -> Frame:
    samples = np.asarray(drawn, np.float32)
    check_finite(samples, step)
    if losses is None:
        return Frame(step, samples)
    d_loss, g_loss = (float(x) for x in losses)
    return Frame(step, samples, d_loss, g_loss)


def _takes_plain_steps(algorithm: Any) -> bool:
    return type(algorithm).adapt is algorithms.Algorithm.adapt


def _sees_images(run: trained_runs.Run, shape: tuple[int, int, int]) -> bool:
    blank = tf.zeros([1, 1, *shape])
    remembered = run.algorithm.game.remember(run.vars, blank)
    return set(remembered.state) != set(run.vars.state)


def _first_candidates(run: trained_runs.Run) -> Any:
    """Return the game that draws each image once and chooses none."""
    values = dataclasses.asdict(run.settings.config)
    if values["candidates"] == 1:
        return run.algorithm.game
    settings = settings_lib.Settings(
        Config, [({**values, "candidates": 1}, False)]
    )
    return assembly.make_game(settings, assembly.make_networks(settings))


def _walkable(networks: dict[str, Any], shape: tuple[int, int, int]) -> Any:
    """Return a generator of normal latents, with or without an image.

    None where it takes something else, or where others make its latents.
    """
    generator = networks["g"]
    inputs = [tuple(x.shape[1:]) for x in generator.inputs]
    if set(networks) != {"d", "g"} or len(inputs[0]) != 1:
        return None
    return generator if inputs[1:] in ([], [shape]) else None


def _specs(values: Any) -> Any:
    return tf.nest.map_structure(
        lambda x: tf.TensorSpec(x.shape, x.dtype), values
    )
