"""The folder of an evaluation: what is kept while it runs and what stays.

While it runs, every finished piece of work is one file in `parts`, so that an
interrupted evaluation goes on where it was. In the end there are

  results.json   every number, with its protocol, subject, critic and versions
  tasks.csv      one line per task; while it runs, of the finished tasks
  *.png          pictures
"""

import csv
import hashlib
import json
import math
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tf_metagan.data import atomic

RESULTS_FILE = "results.json"
TASKS_FILE = "tasks.csv"
PARTS = "parts"
FORMAT = 1

Part = dict[str, np.ndarray]


def key_of(facts: Mapping[str, Any]) -> str:
    """Return a hash of everything that the numbers depend on.

    Args:
      facts: plain values: protocol, subject, networks.
    """
    text = json.dumps([FORMAT, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """The results of one evaluation, finished or not."""

    def __init__(self, folder: str | Path, key: str):
        """Open a folder; nothing is made before there is something to keep.

        Args:
          folder: of this protocol.
          key: see `key_of`.
        """
        self.folder = Path(folder)
        self.key = key

    @property
    def results_path(self) -> Path:
        """Where the results are, or will be."""
        return self.folder / RESULTS_FILE

    def results(self) -> dict[str, Any] | None:
        """Return the finished results of the same key, if there are any.

        Raises:
          ValueError: there is a results.json that cannot be read.
        """
        if not self.results_path.exists():
            return None
        found = read_results(self.folder)
        return found if found["key"] == self.key else None

    def part(self, name: str, compute: Callable[[], Part]) -> Part:
        """Return a piece of work: the stored one, or computed and stored.

        Args:
          name: unique within the evaluation: "task_0007".
          compute: gives {name: array}.
        """
        path = self._part_path(name)
        if path.exists():
            try:
                with open(path, "rb") as file, np.load(file) as content:
                    return dict(content)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                logging.warning("%s is damaged (%s); again", path, error)
        part = compute()
        with atomic.replacement(path) as temporary:
            np.savez(temporary, **part)  # type: ignore[arg-type]
        return part

    def has_part(self, name: str) -> bool:
        """Tell whether a piece of work is there already."""
        return self._part_path(name).exists()

    def _part_path(self, name: str) -> Path:
        # The key is part of the path: work on other weights does not count.
        return self.folder / PARTS / self.key[:16] / f"{name}.npz"

    def forget_parts(self) -> None:
        """Drop all pieces, those of other keys among them."""
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def write_tasks(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write tasks.csv, one line per task.

        Args:
          rows: {column: value}, the same columns in each.
        """
        rows = list(rows)
        if not rows:
            return
        path = self.folder / TASKS_FILE
        with (
            atomic.replacement(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json; the pieces are not needed any more.

        Args:
          results: plain values; numbers that are not finite become null.
        """
        content = {"format": FORMAT, "key": self.key, **results}
        write_json(self.results_path, content)
        self.forget_parts()


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, all or nothing.

    Args:
      path: the file.
      content: plain values; numbers that are not finite become null.
    """
    text = json.dumps(_plain(content), indent=1, allow_nan=False)
    with atomic.replacement(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_results(folder: str | Path) -> dict[str, Any]:
    """Read the results.json of a folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is no such file.
    """
    path = Path(folder) / RESULTS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format is {found['format']}")
        found["key"], found["metrics"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be used ({type(error).__name__}: {error}); "
            f"expected results of format {FORMAT} as evaluate writes them. "
            "Delete it, or give another --output."
        ) from error
    return dict(found)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
