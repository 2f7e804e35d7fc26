"""No networks: the players of one photograph's GAN own their stacks.

The stacks of a pyramid are functions of their weights (gan/pyramid.py); with
--game=singan and growing the weights themselves are what is learned.
"""

import keras


def build(*, dtype="float32") -> dict[str, keras.Model]:
    """Return no network.

    Args:
      dtype: Keras dtype or policy; the stacks compute in that of the weights.

    Raises:
      ValueError: another dtype than that of the weights was asked for.
    """
    policy = keras.dtype_policies.get(dtype)
    if policy.compute_dtype != policy.variable_dtype:
        raise ValueError(
            f"--precision={policy.name} has no effect on the stacks of one "
            "photograph, which compute in the numbers of their weights. Use "
            "--precision=float32."
        )
    return {}
