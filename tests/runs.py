"""Runs of the command lines at the smallest size, and what they leave."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import tensorflow as tf

from tf_metagan import assembly, checkpoints, report, stopwatch
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config

ROOT = pathlib.Path(__file__).parent.parent

NETWORKS = {
    "architecture": "toy",
    "width": 4,
    "latent_size": 8,
    "image_size": 16,
    "channels": 1,
}
LOOP = {
    "inner_steps": 2,
    "inner_batch_size": 4,
    "meta_batch": 2,
    "panel_tasks": 1,
    "log_every": 1,
}
GLYPHS = {"num_classes": 10, "images_per_class": 8}
TOY = {**NETWORKS, **LOOP, **GLYPHS}

# What differs between two runs of the same settings.
CLOCK = (*stopwatch.CLOCKS, "tasks_per_second")


def flags(**values):
    """Write settings as words of a command line."""
    return [f"--{name}={value}" for name, value in values.items()]


def settings(**changes):
    """Return the settings of a toy run, as if given on the command line."""
    return settings_lib.Settings(Config, [({**TOY, **changes}, True)])


def spawn(module, *words, code=None, **environment):
    """Start a command line in a fresh process, as a user's shell would.

    Args:
      module: what to run: "tf_metagan.train".
      *words: of the command line.
      code: Python program to run instead of the module.
      **environment: variables to change; None takes one away.
    """
    changes = {"TF_CPP_MIN_LOG_LEVEL": None, **environment}
    kept = {k: v for k, v in os.environ.items() if k not in changes}
    added = {k: v for k, v in changes.items() if v is not None}
    start = ["-m", module] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *start, *words],
        cwd=ROOT,
        env={**kept, **added},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def process(module, *words, code=None, **environment):
    """Run a command line in a fresh process: (exit code, stdout, stderr)."""
    with spawn(module, *words, code=code, **environment) as started:
        try:
            out, err = started.communicate(timeout=250)
        finally:
            started.kill()
    return started.returncode, out, err


def keep_runtime(monkeypatch):
    """Leave threads and determinism alone: they can be set once per process."""

    def take(settings):
        for name in ("inter_op_threads", "intra_op_threads", "deterministic"):
            settings.take(name)

    monkeypatch.setattr(assembly, "configure_runtime", take)


def metrics(logdir):
    """Return the lines of metrics.jsonl without what the clock says."""
    text = pathlib.Path(logdir, report.METRICS_FILE).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def checkpoint(logdir):
    """Return the newest checkpoint of a run, or None."""
    return checkpoints.latest(os.path.join(logdir, assembly.CHECKPOINTS))


def variables(logdir, *, step=None):
    """Return {name: value} of the newest checkpoint, or that of a step."""
    path = checkpoint(logdir)
    if step is not None:
        path = os.path.join(logdir, assembly.CHECKPOINTS, f"ckpt-{step}")
    reader = tf.train.load_checkpoint(path)
    return {
        name.partition("/")[0].replace("..", "."): reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        # The latter counts checkpoints since the start, for TensorFlow alone.
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


def assert_same_variables(a, b):
    """Compare two results of `variables` bit for bit."""
    assert sorted(a) == sorted(b)
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], name, strict=True)


def changed(before, after):
    """Return the names of the entries that differ, sorted."""
    assert sorted(before) == sorted(after)
    return sorted(
        name for name in before if not np.array_equal(before[name], after[name])
    )


def write_pictures(folder, number, *, mode="L", size=16, seed=0):
    """Write `number` different pictures of noise; return their paths."""
    draw = np.random.default_rng(seed)
    shape = (size, size) if mode == "L" else (size, size, 3)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{mode}{i}.png" for i in range(number)]
    for path in paths:
        noise = draw.integers(0, 256, shape, np.uint8)
        PIL.Image.fromarray(noise).save(path)
    return paths


def write_classes(root, numbers, **options):
    """Write one folder of pictures per class: a, b, c, ..."""
    for place, number in enumerate(numbers):
        name = "abcdefgh"[place]
        write_pictures(pathlib.Path(root, name), number, seed=place, **options)
    return root
