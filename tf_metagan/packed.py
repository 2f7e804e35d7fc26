"""A trained run in one small folder: what the package ships as pretrained.

A packed folder holds the settings and the split of a run as training wrote
them, and the meta-weights (their moving average where there is one) without
optimiser and checkpoint files. Wherever the folder of a trained run is asked
for, a packed one will do, and so will `pretrained:NAME`.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_metagan import fields, registry
from tf_metagan.config import Config
from tf_metagan.core import tree
from tf_metagan.data import atomic
from tf_metagan.types import Vars

WEIGHTS_FILE = "weights.npz"
PREFIX = "pretrained:"

_FOLDER = Path(__file__).parent / "pretrained" / "models"
_STEP = "meta_step"


def names() -> tuple[str, ...]:
    """Return the names of the models that the package ships."""
    if not _FOLDER.is_dir():
        return ()
    return tuple(sorted(p.name for p in _FOLDER.iterdir() if p.is_dir()))


def resolve(logdir: str) -> str:
    """Return the folder that `pretrained:NAME` stands for, or `logdir`.

    Raises:
      ValueError: the package ships no model of that name.
    """
    if not logdir.startswith(PREFIX):
        return logdir
    name = logdir.removeprefix(PREFIX)
    if name not in names():
        raise ValueError(
            f"{logdir} names no model that comes with the package. "
            + registry.suggest(name, names())
        )
    return str(_FOLDER / name)


def is_packed(folder: str) -> bool:
    """Tell whether a folder holds packed weights."""
    return os.path.exists(os.path.join(folder, WEIGHTS_FILE))


def write(
    folder: str,
    *,
    config: str,
    split: str,
    vars: Vars,
    meta_step: int,
    half: bool = True,
) -> None:
    """Pack meta-weights.

    Args:
      folder: to write to; made if absent.
      config: path of the run's config.json; folders and files that it names
        are left out of the copy.
      split: path of the run's split file.
      vars: meta-weights.
      meta_step: meta-steps done.
      half: store float16, half the size at a relative error of 5e-4.

    Raises:
      ValueError: a weight is not finite in the type it is stored in.
    """
    arrays = {_STEP: np.int64(meta_step)}
    kind = np.float16 if half else np.float32
    for name, value in _named(vars).items():
        array = value.numpy()
        if value.dtype.is_floating:
            with np.errstate(over="ignore"):  # refused below
                array = array.astype(kind)
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} is not finite as {array.dtype}; expected trained "
                "weights. Pack an earlier checkpoint, or with half=False."
            )
        arrays[name] = array
    record = json.loads(Path(config).read_text(encoding="utf-8"))
    for name, described in fields.describe(Config).items():
        if described.path:
            record["settings"][name] = described.default
    record.pop("devices", None)  # a packed run names none
    target = Path(folder)
    with atomic.replacement(target / WEIGHTS_FILE) as path:
        np.savez_compressed(path, **arrays)
    with atomic.replacement(target / Path(config).name) as path:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic.replacement(target / Path(split).name) as path:
        path.write_bytes(Path(split).read_bytes())


def read(folder: str, like: Callable[[int], Vars]) -> tuple[Vars, int]:
    """Read packed meta-weights.

    Args:
      folder: a packed folder.
      like: meta-steps done -> Vars of the same settings and phase; gives
        structure, shapes and dtypes.

    Returns:
      (Vars, meta-steps done).

    Raises:
      ValueError: the file is damaged or of other settings.
    """
    path = os.path.join(folder, WEIGHTS_FILE)
    try:
        with open(path, "rb") as file, np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}
        step = int(arrays.pop(_STEP))
    except (ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read: {error}. Expected the file as it was "
            "packed; restore it, or install the package again."
        ) from error
    pattern = like(step)
    expected = _named(pattern)
    shapes = {name: x.shape for name, x in arrays.items()}
    wanted = {name: tuple(x.shape) for name, x in expected.items()}
    if shapes != wanted:
        wrong = sorted(
            name
            for name in {*shapes, *wanted}
            if shapes.get(name) != wanted.get(name)
        )
        raise ValueError(
            f"{path} does not hold the weights that its settings make: "
            f"{', '.join(wrong)} differ. Restore config.json beside it."
        )
    values = [
        tf.constant(arrays[name], x.dtype) for name, x in expected.items()
    ]
    return tf.nest.pack_sequence_as(pattern, values), step


def _named(vars: Vars) -> dict[str, tf.Tensor]:
    """Return {"params/g/up1/kernel": weight}, in the order of tf.nest."""
    names = [
        f"{field}/{name}"
        for field, part in vars._asdict().items()
        for name in tree.names(part)
    ]
    return dict(zip(names, tf.nest.flatten(vars), strict=True))
