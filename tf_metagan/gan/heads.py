"""Heads of a hypernetwork: from the embedding of an image to weight tensors."""

import math

import numpy as np
import tensorflow as tf

from tf_metagan.types import Params


def init(
    seed: int,
    prefix: str,
    *,
    features: int,
    size: int,
    rank: int | None,
    hidden: int,
    dtype,
) -> Params:
    """Draw the weights of one head.

    Every matrix and constant is uniform in +-1/sqrt(numbers that enter). The
    second factor of a head of low rank is uniform with variance 1/rank, so
    that what the head yields has the spread of one of full rank.

    Args:
      seed: of the draw.
      prefix: in front of the names of its leaves.
      features: numbers in an embedding.
      size: numbers in the tensor that it makes.
      rank: None for one matrix, else the inner size of a product of two.
      hidden: layers of `features` units with ReLU in front.
      dtype: floating type.

    Returns:
      {leaf: weight}.

    Source: PyTorch's default for a linear layer, which Meta Internal Learning
      keeps; the product of two matrices is ours.
    """
    generator = np.random.default_rng([seed, *prefix.encode()])

    def uniform(shape, bound):
        return tf.constant(generator.uniform(-bound, bound, shape), dtype)

    bound = 1.0 / math.sqrt(features)
    leaves = {}
    for layer in range(hidden):
        name = f"{prefix}/hidden{layer + 1}"
        leaves[f"{name}/weights"] = uniform([features, features], bound)
        leaves[f"{name}/constant"] = uniform([features], bound)
    if rank is None:
        leaves[f"{prefix}/weights"] = uniform([features, size], bound)
    else:
        leaves[f"{prefix}/down"] = uniform([features, rank], bound)
        leaves[f"{prefix}/up"] = uniform([rank, size], math.sqrt(3.0 / rank))
    leaves[f"{prefix}/constant"] = uniform([size], bound)
    return leaves


def project(params: Params, prefix: str, embedding) -> tf.Tensor:
    """Make a tensor, flat, from each embedding.

    Args:
      params: holds the leaves that `init` drew.
      prefix: as in `init`.
      embedding: [n, features].

    Returns:
      [n, size].
    """
    x, layer = embedding, 1
    while f"{prefix}/hidden{layer}/weights" in params:
        name = f"{prefix}/hidden{layer}"
        x = x @ params[f"{name}/weights"] + params[f"{name}/constant"]
        x, layer = tf.nn.relu(x), layer + 1
    if f"{prefix}/weights" in params:
        x = x @ params[f"{prefix}/weights"]
    else:
        x = (x @ params[f"{prefix}/down"]) @ params[f"{prefix}/up"]
    return x + params[f"{prefix}/constant"]
