"""How much the loss after each inner step counts in the outer objective."""

import tensorflow as tf

SCHEDULES = ("uniform", "final", "annealed")


def step_weights(
    meta_step, *, inner_steps: int, schedule: str, annealing_steps: int, dtype
) -> tf.Tensor:
    """Return w_1 .. w_k, which sum to one.

    uniform:  w_s = 1/k
    final:    w_k = 1, all others 0
    annealed, with p = meta_step / annealing_steps:
              w_s = max(1/k - p/k, 0.03/k) for s < k
              w_k = 1 - the sum of the others = min(1/k + p(k-1)/k,
                    1 - (k-1) 0.03/k);  "final" from p = 1 on.

    Args:
      meta_step: integer scalar, meta-steps done before this one.
      inner_steps: k.
      schedule: one of SCHEDULES.
      annealing_steps: meta-steps the annealing takes.
      dtype: of the result.

    Returns:
      [k].

    Source: MAML-GAN, equations 3 and 4 (uniform); MAML++, section 4, as its
      public reference program computes it, with meta-steps for epochs.
    """
    k = inner_steps
    final = tf.one_hot(k - 1, k, dtype=dtype)
    if schedule == "uniform":
        return tf.fill([k], tf.constant(1.0 / k, dtype))
    if schedule == "final":
        return final
    if schedule != "annealed":
        raise ValueError(
            f"step_weights={schedule!r} is unknown. Use one of "
            f"{', '.join(SCHEDULES)}."
        )
    progress = tf.cast(meta_step, dtype) / annealing_steps
    other = tf.maximum((1.0 - progress) / k, 0.03 / k)
    weights = other * (1.0 - final) + (1.0 - (k - 1) * other) * final
    return tf.where(progress < 1.0, weights, final)
