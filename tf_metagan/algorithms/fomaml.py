"""FOMAML: the outer gradient with every inner Jacobian replaced by one."""

import tensorflow as tf

from tf_metagan.algorithms import base
from tf_metagan.algorithms import step_weights as schedules
from tf_metagan.core import rollout as rollouts
from tf_metagan.core import tree
from tf_metagan.core.rollout import Rollout, Task
from tf_metagan.types import Vars


class Fomaml(base.Algorithm):
    """First-order model-agnostic meta-learning.

    grad_p = sum_s w_s dL_p/dp at the weights after step s: no tape leaves a
    step, so memory does not depend on the number of inner steps. Learned step
    sizes are the exception: their gradient needs each step's direction.

    Source: Finn et al. (2017), section 5.2; MAML-GAN, algorithm 1.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        inner_steps: int,
        step_weights: str = "uniform",
        annealing_steps: int | None = None,
        inner_loop: str = "while",
        meta_learn=("*",),
        parallel_tasks: int | None = None,
        task_mapping: str = "loop",
    ):
        """Fix the rule.

        Args:
          rollout: the inner loop.
          inner_steps: k.
          step_weights: "uniform", "final" or "annealed".
          annealing_steps: meta-steps the annealing takes.
          inner_loop: "while" or "unrolled", a faster step for a slower start.
          meta_learn: patterns of the weights that the outer loop learns.
          parallel_tasks: tasks worked on at the same time.
          task_mapping: how; see `base.Algorithm`.

        Raises:
          ValueError: statistics are to be learned, which has no first-order
            gradient, or annealing has no length.
        """
        super().__init__(
            rollout,
            inner_steps=inner_steps,
            meta_learn=meta_learn,
            parallel_tasks=parallel_tasks,
            task_mapping=task_mapping,
        )
        check_annealing(step_weights, annealing_steps)
        rules = rollout.rules.values()
        if any(rule.statistics == "learned" for rule in rules):
            raise ValueError(
                "inner_statistics='learned' has no first-order gradient: the "
                "step a statistic changes is a constant to fomaml. Use "
                "--algo=maml, or inner_statistics 'reset' or 'carried'."
            )
        self._step_weights = step_weights
        self._annealing_steps = annealing_steps or 1
        self._unrolled = inner_loop == "unrolled"
        self._learns_rates = any(rule.learned_rates != "none" for rule in rules)

    def metric_shapes(self) -> dict[str, list[int]]:
        """Return {name: shape} of the metrics of `task_gradients`."""
        return self._log_shapes(self._names())

    def task_gradients(self, vars: Vars, task: Task, meta_step) -> base.Result:
        """Return the outer gradients of one task; see `base.Algorithm`."""
        k = self.inner_steps
        dtype = task.support.dtype
        weights = schedules.step_weights(
            meta_step,
            inner_steps=k,
            schedule=self._step_weights,
            annealing_steps=self._annealing_steps,
            dtype=dtype,
        )
        learned = self.learned(vars.params)
        wanted, moving = learned, {}
        if self._learns_rates:  # of every leaf that moves, learned or not
            moving = self.rollout.adapted(vars.params)
            wanted = tree.merge(learned, moving)
        wrt = {p: tuple(leaves) for p, leaves in wanted.items() if leaves}

        def visit(index, _, moved, extra):
            grads, log, history = extra
            slopes, outcome = self.game.gradients(
                self.rollout.assemble(vars, moved.carry),
                *self.rollout.validation(index, task),
                wrt,
            )
            slopes = {p: slopes.get(p, {}) for p in wanted}
            values = {f"{p.upper()}_val": x for p, x in outcome.loss.items()}
            log = rollouts.note(log, index, {**moved.metrics, **values})
            if self._learns_rates:
                validated = tree.scale(
                    self.rollout.adapted(slopes), weights[index]
                )
                history = _record(history, index, moved.directions, validated)
            slopes = {
                p: {leaf: slopes[p][leaf] for leaf in leaves}
                for p, leaves in learned.items()
            }
            return tree.add_scaled(grads, weights[index], slopes), log, history

        log = {name: tf.zeros([k], dtype) for name in self._names()}
        history = ()
        if self._learns_rates:
            history = _empty_history((moving, moving), k)
        carry, (grads, log, history) = self.rollout.scan(
            vars,
            task,
            k,
            visit,
            (tree.zeros_like(learned), log, history),
            unrolled=self._unrolled,
        )
        adapted = self.rollout.assemble(vars, carry)
        inner = vars.inner
        if self._learns_rates:
            inner = self._rate_gradients(vars, moving, history)
        return base.Result(
            grads=Vars(grads, {}, inner),
            state=adapted.state,
            metrics=self._task_metrics(vars, adapted, log),
        )

    def _rate_gradients(self, vars: Vars, moving: dict, history) -> dict:
        """Return the gradient of learned rates, directions held constant.

        With w_s = w_0 - sum_{i<s} rate_i d_i, the derivative with respect to
        rate_i is -d_i times the sum of the validation gradients after step i.
        """

        def body(index, later, grads):
            directions, validated = tf.nest.pack_sequence_as(
                (moving, moving), [array.read(index) for array in history]
            )
            later = tree.add(later, validated)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                inner = tf.nest.map_structure(tf.identity, vars.inner)
                tape.watch(inner)
                after = {
                    p: self.rollout.rules[p].move(
                        leaves, directions[p], inner[p], index
                    )
                    for p, leaves in moving.items()
                    if p in inner
                }
            grown = tape.gradient(
                after,
                inner,
                output_gradients={p: later[p] for p in after},
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return index - 1, later, tree.add(grads, grown)

        _, _, grads = tf.while_loop(
            lambda index, later, grads: index >= 0,
            body,
            (
                tf.constant(self.inner_steps - 1),
                tree.zeros_like(moving),
                tree.zeros_like(vars.inner),
            ),
            parallel_iterations=1,
        )
        return grads

    def _names(self) -> tuple[str, ...]:
        return (
            *self.rollout.metric_names(),
            *base.validation_names(self.game),
        )


def check_annealing(step_weights: str, annealing_steps: int | None) -> None:
    """Refuse annealing without a length and a length without annealing."""
    if (step_weights == "annealed") != (annealing_steps is not None):
        raise ValueError(
            f"step_weights={step_weights!r} and annealing_steps="
            f"{annealing_steps} do not fit: annealing needs its number of "
            "meta-steps, the other schedules have none. Set both or neither."
        )


def _empty_history(like, steps: int) -> tuple[tf.TensorArray, ...]:
    return tuple(
        tf.TensorArray(x.dtype, steps, element_shape=x.shape)
        for x in tf.nest.flatten(like)
    )


def _record(history, index, directions: dict, validated: dict):
    directions = {
        p: {leaf: directions[p][leaf] for leaf in leaves}
        for p, leaves in validated.items()
    }
    return tuple(
        array.write(index, x)
        for array, x in zip(
            history, tf.nest.flatten((directions, validated)), strict=True
        )
    )
