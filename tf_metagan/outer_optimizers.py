"""The optimisers of the outer loop, one for each player."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tf_metagan import schedules
from tf_metagan.settings import Settings
from tf_metagan.types import Vars


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
    schedule = settings.call(
        schedules.make_schedule, rate=rate, meta_steps=meta_steps
    )
    if moves > 1 and not isinstance(schedule, float):
        schedule = schedules.Slowed(schedule, moves)
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
