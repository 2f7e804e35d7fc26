"""Show that a folder larger than memory streams: memory flat, no starving.

    python -m benchmarks.streaming
    python -m benchmarks.streaming --files=20000 --steps=50

Writes a folder of many small pictures, loads it as `--dataset=folder` does,
and meta-trains on it. Memory is what belongs to the process alone (RssAnon);
pages of the mapped file, which the system takes back when it needs them, are
counted apart (RssFile). Prints a Markdown table.
"""

import argparse
import io
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import facts, processes

_DIFFERENT = 500  # pictures; the folder repeats them
_PER_CLASS = 100
_SIZE = 32


def write_folder(root: pathlib.Path, files: int) -> None:
    """Write `files` colour pictures of 32x32 pixels, 100 in each class."""
    from PIL import Image

    draw = np.random.default_rng(0)
    contents = []
    for _ in range(_DIFFERENT):
        coarse = draw.integers(0, 256, (4, 4, 3), np.uint8)
        picture = coarse.repeat(_SIZE // 4, 0).repeat(_SIZE // 4, 1)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    for number in range(files):
        place, within = divmod(number, _PER_CLASS)
        folder = root / f"{place:05d}"
        if not within:
            folder.mkdir(parents=True)
        content = contents[(number * 7 + place) % _DIFFERENT]
        (folder / f"{within:03d}.png").write_bytes(content)


def memory() -> tuple[float | None, float | None]:
    """Return MB of this process's own memory and of mapped files."""
    return (processes.memory_mb("RssAnon"), processes.memory_mb("RssFile"))


class Moment(NamedTuple):
    """A line of the table.

    Attributes:
      what: happened.
      own_mb: memory of this process alone.
      mapped_mb: pages of files.
      seconds: it took; the median meta-step until then.
      waiting: share of the meta-steps until then spent waiting for images.
    """

    what: str
    own_mb: float | None
    mapped_mb: float | None
    seconds: float | None = None
    waiting: float | None = None


def measure(
    root: pathlib.Path, cache_dir: pathlib.Path, steps: int
) -> Iterator[Moment]:
    """Yield moments of decoding, loading again and training.

    Args:
      root: folder of pictures.
      cache_dir: where they are kept decoded.
      steps: meta-steps, of 4 tasks with 5 inner steps on 16 images.
    """
    import tensorflow as tf

    from tf_metagan import assembly
    from tf_metagan import settings as settings_lib
    from tf_metagan.config import Config
    from tf_metagan.data import base, folder

    def load():
        return folder.load(
            image_size=_SIZE,
            channels=3,
            image_folder=str(root),
            cache_dir=str(cache_dir),
        )

    yield Moment("start", *memory())
    for what in ("decode into the file", "load again"):
        begun = time.perf_counter()
        source = load()
        seconds = time.perf_counter() - begun
        yield Moment(what, *memory(), seconds)
    sizes = {"width": 8, "image_size": _SIZE, "channels": 3, "inner_steps": 5}
    settings = settings_lib.Settings(Config, [(sizes, True)])
    split = base.make_split(source, dataset="folder", seed=0)
    sampler = assembly.make_sampler(
        settings, source, classes=split.train, stream=0
    )
    algorithm = assembly.make_algorithm(settings)
    learner = assembly.make_learner(
        settings, algorithm, tf.distribute.get_strategy()
    )
    tasks = iter(sampler.dataset())
    learner.step(next(tasks))
    yield Moment("first meta-step", *memory())
    waits, walls = [], []
    for number in range(1, steps + 1):
        begun = time.perf_counter()
        batch = next(tasks)
        waits.append(time.perf_counter() - begun)
        metrics = learner.step(batch)
        metrics["D_loss"].numpy()
        walls.append(time.perf_counter() - begun)
        if number % max(1, steps // 4) == 0:
            share = sum(waits) / sum(walls)
            median = statistics.median(walls)
            yield Moment(f"meta-step {number}", *memory(), median, share)


_COLUMNS = (
    ("moment", lambda row: row.what),
    ("own MB", lambda row: facts.number(row.own_mb)),
    ("mapped MB", lambda row: facts.number(row.mapped_mb)),
    ("seconds", lambda row: facts.number(row.seconds)),
    ("waiting for data", lambda row: facts.percent(row.waiting)),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--files", type=int, default=200_000, help="default: %(default)s")
    add("--steps", type=int, default=400, help="meta-steps; %(default)s")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name, "pictures")
        print(f"writing {args.files} pictures", file=sys.stderr)
        write_folder(root, args.files)
        rows = []
        for row in measure(root, pathlib.Path(name, "cache"), args.steps):
            print(*row, file=sys.stderr)
            rows.append(row)
    print(facts.table(_COLUMNS, rows))


if __name__ == "__main__":
    main()
