"""Where prepared data sets of TensorFlow Datasets lie, without importing it."""

import os
import re
from collections.abc import Iterable
from pathlib import Path


def folder(data_dir: str | None = None) -> Path:
    """Return the folder of all sets.

    Args:
      data_dir: the folder itself; None for the environment variable
        TFDS_DATA_DIR, else ~/tensorflow_datasets.
    """
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR")
    return Path(os.path.expanduser(chosen or "~/tensorflow_datasets"))


def version(source: str, *, data_dir: str | None = None) -> str | None:
    """Return the newest version of a set that is there, or None.

    Args:
      source: name in TensorFlow Datasets, with the configuration.
      data_dir: see `folder`.
    """
    place = folder(data_dir) / source
    return newest(path.name for path in place.glob("*.*.*"))


def newest(names: Iterable[str]) -> str | None:
    """Return the highest of the names that are versions; None without one.

    >>> newest(["3.0.1", "3.0.10", "notes"])
    '3.0.10'
    """
    versions = [n for n in names if re.fullmatch(r"\d+\.\d+\.\d+", n)]
    order = [tuple(int(part) for part in n.split(".")) for n in versions]
    return max(zip(order, versions, strict=True))[1] if versions else None
