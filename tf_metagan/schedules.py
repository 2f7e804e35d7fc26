"""Schedules of the outer step size."""

import keras


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
