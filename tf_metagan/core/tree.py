"""Arithmetic on nested structures of tensors.

A tree is anything `tf.nest` understands; here, dictionaries and NamedTuples.
"""

import tensorflow as tf

zip_map = tf.nest.map_structure


def add(a, b):
    """Return a + b, leaf by leaf."""
    return zip_map(tf.add, a, b)


def scale(a, factor):
    """Return factor * a, leaf by leaf; the factor takes each leaf's dtype."""

    def times(x):
        # A Python number stays exact; tf.cast would round it to float32.
        return (
            tf.cast(factor, x.dtype) if tf.is_tensor(factor) else factor
        ) * x

    return zip_map(times, a)


def zeros_like(a):
    """Return a tree of zeros with the shapes and dtypes of `a`."""
    return zip_map(tf.zeros_like, a)


def add_scaled(a, factor, b):
    """Return a + factor * b, leaf by leaf."""
    return add(a, scale(b, factor))


def global_norm(a) -> tf.Tensor:
    """Return the Euclidean norm of all leaves together; 0 for an empty tree."""
    leaves = tf.nest.flatten(a)
    if not leaves:
        return tf.constant(0.0)
    return tf.linalg.global_norm(leaves)


def merge(below: dict, above: dict) -> dict:
    """Return {player: {leaf: x}} of both; `above` wins where both have one."""
    players = {**below, **above}
    return {p: {**below.get(p, {}), **above.get(p, {})} for p in players}


def select(trees: dict, keep) -> dict:
    """Return the leaves {player: {leaf: x}} that keep(player, leaf) accepts."""
    return {
        player: {leaf: x for leaf, x in leaves.items() if keep(player, leaf)}
        for player, leaves in trees.items()
    }


def names(trees: dict) -> list[str]:
    """Return "player/leaf" of every leaf, sorted as `tf.nest.flatten` does."""
    return [f"{p}/{leaf}" for p in sorted(trees) for leaf in sorted(trees[p])]


def require_connected(grads: dict) -> None:
    """Raise if a leaf does not influence its player's own loss at all.

    Args:
      grads: {player: {leaf: gradient or None}}.

    Raises:
      ValueError: some gradient is None; names each player and leaf.
    """
    dead = [
        f"{player}/{leaf}"
        for player, leaves in sorted(grads.items())
        for leaf, gradient in sorted(leaves.items())
        if gradient is None
    ]
    if dead:
        raise ValueError(
            f"{', '.join(dead)} cannot learn: the player's own loss does not "
            "depend on it, or an operation on the way has no gradient. Remove "
            "what detaches it, or leave it out by --adapt and --meta_learn."
        )
