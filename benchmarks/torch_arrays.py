"""Weights and data of the workload as tensors of PyTorch, and back."""

from typing import NamedTuple

import numpy as np
import torch

import benchmarks
from benchmarks.torch_networks import Weights
from benchmarks.torch_operations import Variant


class Draws(NamedTuple):
    """Data of one meta-step, or task, as tensors; see `benchmarks.Arrays`."""

    support: torch.Tensor
    query: torch.Tensor
    latent: torch.Tensor
    mix: torch.Tensor


def _grid(array, axis, side):
    """Split the flat axis of length side * side * channels, channels last."""
    shape = array.shape
    return array.reshape(*shape[:axis], side, side, -1, *shape[axis + 1 :])


def _flat_to_torch(array, axis, side):
    grid = np.moveaxis(_grid(array, axis, side), axis + 2, axis)
    return grid.reshape(array.shape)


def _flat_to_keras(array, axis):
    shape = array.shape
    grid = array.reshape(*shape[:axis], -1, 7, 7, *shape[axis + 1 :])
    return np.moveaxis(grid, axis, axis + 2).reshape(shape)


_FLAT_AXIS = {"head/kernel": 0, "project/kernel": 1, "project/bias": 0}


def to_torch(
    leaves: dict[str, np.ndarray], variant: Variant, *, side: int = 7
) -> Weights:
    """Convert the weights of one player from the layout of Keras.

    Args:
      leaves: {layer/kernel, layer/bias: array}, in order; the dense layer of
        the generator is called "project", that of the critic "head".
      variant: gives the layout.
      side: height and width of the smallest feature map.
    """
    last = variant.layout == "channels_last"
    weights = []
    for leaf, array in leaves.items():
        if leaf in _FLAT_AXIS and not last:
            array = _flat_to_torch(array, _FLAT_AXIS[leaf], side)
        if array.ndim == 4 and last:
            order = np.ascontiguousarray(array.transpose(3, 0, 1, 2))
            weight = torch.from_numpy(order).permute(0, 3, 1, 2)
        elif array.ndim == 4:
            order = np.ascontiguousarray(array.transpose(3, 2, 0, 1))
            weight = torch.from_numpy(order)
        else:
            weight = torch.from_numpy(np.ascontiguousarray(array))
        weights.append(weight)
    return tuple(weights)


def to_keras(
    weights: Weights, leaves: dict[str, np.ndarray], variant: Variant
) -> dict[str, np.ndarray]:
    """Convert back; `leaves` gives the names, in order."""
    found = {}
    for leaf, weight in zip(leaves, weights, strict=True):
        array = weight.numpy()
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if leaf in _FLAT_AXIS and variant.layout == "nchw":
            array = _flat_to_keras(array, _FLAT_AXIS[leaf])
        found[leaf] = array
    return found


def to_draws(arrays: benchmarks.Arrays) -> Draws:
    """Convert the data of one meta-step."""

    def images(array):
        return torch.from_numpy(array).movedim(-1, -3)

    return Draws(
        images(arrays.support),
        images(arrays.query),
        torch.from_numpy(arrays.latent),
        torch.from_numpy(arrays.mix),
    )
