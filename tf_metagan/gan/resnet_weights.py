"""Weights of ResNets trained by others, for embeddings of photographs.

A file of NumPy arrays by the names of torchvision's state_dict:

  numpy.savez(path, **{k: v.numpy() for k, v in net.state_dict().items()})
"""

import re
import zipfile
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tf_metagan.core import tree
from tf_metagan.types import Vars

_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])
_PLACES = (
    (r"embed/stem_norm", r"bn1"),
    (r"embed/stem", r"conv1"),
    (r"embed/part(\d)_block(\d+)_conv(\d)", r"layer{}.{}.conv{}"),
    (r"embed/part(\d)_block(\d+)_norm(\d)", r"layer{}.{}.bn{}"),
    (r"embed/part(\d)_block(\d+)_short", r"layer{}.{}.downsample.0"),
    (r"embed/part(\d)_block(\d+)_short_norm", r"layer{}.{}.downsample.1"),
)
_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def put(vars: Vars, path: str) -> Vars:
    """Return `vars` whose embeddings begin with the weights of a file.

    The linear layer behind the average stays as it was drawn. torchvision's
    networks expect colours less a mean, in deviations: the first kernel and
    the statistics after it are changed so that photographs in [-1, 1] give the
    same, but for the frame of zeros, which is grey here and the mean colour
    there.

    Args:
      vars: of a game of hypernetworks.
      path: .npz file of resnet18 or resnet34.

    Raises:
      OSError: there is no such file.
      ValueError: the game has no such embedding, or the file is none of
        arrays or of another network.
    """
    owners = [p for p in vars.params if "embed/stem/kernel" in vars.params[p]]
    if not any("embed/stem_norm/moving_mean" in vars.state[p] for p in owners):
        raise ValueError(
            f"--embedding_weights={path} is for --embedding=resnet18 or "
            "resnet34, and these players have neither. Use one of them, with "
            "--algo=internal, or leave the file out."
        )
    stored = _for_symmetric_colours(path, _load(path))
    for p in owners:
        _check_same_blocks(path, stored, vars.params[p])
    filled = {
        part: {
            p: {
                leaf: _find(path, stored, leaf, x)
                for leaf, x in getattr(vars, part)[p].items()
                if _key(leaf) is not None
            }
            for p in owners
        }
        for part in ("params", "state")
    }
    return vars._replace(
        params=tree.merge(vars.params, filled["params"]),
        state=tree.merge(vars.state, filled["state"]),
    )


def _load(path: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file):
            file.seek(0)
            return dict(np.load(file))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"{path} is no file of NumPy arrays ({error}); expected the "
            "state_dict of a ResNet of torchvision, written by numpy.savez. "
            "docs/internal.md shows how."
        ) from error


def _check_same_blocks(path: str, stored: dict, leaves: Iterable[str]) -> None:
    """Refuse a file of a deeper network, whose first blocks would fit."""
    wanted = {_key(leaf) for leaf in leaves}
    over = sorted(
        name
        for name in stored
        if re.fullmatch(r"layer\d\.\d+\.conv\d\.weight", name)
        and name not in wanted
    )
    if over:
        raise ValueError(
            f"{path} has {over[0]} and {len(over) - 1} other convolutions more "
            "than the embedding; expected those that it has. Use the file of "
            "the ResNet that --embedding names."
        )


def _for_symmetric_colours(path: str, stored: dict) -> dict:
    """Let the first layer take values in [-1, 1]."""
    try:
        kernel, mean = stored["conv1.weight"], stored["bn1.running_mean"]
    except KeyError as e:
        raise ValueError(
            f"{path} has no {e.args[0]}; expected the state_dict of a ResNet "
            "of torchvision, as numpy.savez writes it by the names in it."
        ) from None
    if kernel.shape[1] != len(_MEAN):
        raise ValueError(
            f"{path} takes images of {kernel.shape[1]} channels; expected 3."
        )
    kernel = kernel / _DEVIATION[:, np.newaxis, np.newaxis]
    shift = kernel * (0.5 - _MEAN)[:, np.newaxis, np.newaxis]
    return stored | {
        "conv1.weight": kernel / 2,
        "bn1.running_mean": mean - shift.sum((1, 2, 3)),
    }


def _key(leaf: str) -> str | None:
    """Return the name of a leaf in the file; None where it is not there."""
    layer, _, name = leaf.rpartition("/")
    for pattern, place in _PLACES:
        match = re.fullmatch(pattern, layer)
        if match:
            numbers = list(match.groups())
            if len(numbers) > 1:
                numbers[1] = str(int(numbers[1]) - 1)
            return f"{place.format(*numbers)}.{_NAMES[name]}"
    return None


def _find(path: str, stored: dict, leaf: str, like: tf.Tensor) -> tf.Tensor:
    key = _key(leaf)
    found = stored.get(key)
    if found is not None and found.ndim == 4:
        found = found.transpose(2, 3, 1, 0)
    if found is None or found.shape != tuple(like.shape):
        came = "nothing" if found is None else f"{found.shape}"
        raise ValueError(
            f"{path} has {came} for {key}; expected {tuple(like.shape)}, "
            "height, width, inputs and outputs first. Use the file of the "
            "ResNet that --embedding names, and colour photographs."
        )
    return tf.constant(found, like.dtype)
