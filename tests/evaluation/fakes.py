"""Classes that a line of pixels tells apart, and what looks at them.

An image of class id c is noise with one bright row, the row `ROWS.index(c)`.
"""

import numpy as np

from tf_metagan.data import base as data
from tf_metagan.evaluation.evaluator import Evaluator
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.evaluation.tasks import UnseenTasks
from tf_metagan.metrics.base import Predictions

ROWS = (2, 3, 5, 8, 13)  # class ids; not 0, 1, 2, ...
TEST = (5, 8, 13)
SIZE = 8
EACH = 30
TINY = Protocol(
    tasks=5,
    samples=12,
    steps=3,
    curve_tasks=2,
    curve_samples=6,
    curve_steps=(0, 4),
    curve_shots=(1, 3),
)


def draw_class(generator, label, n):
    """Return uint8 [n, SIZE, SIZE, 1]."""
    images = generator.integers(0, 60, (n, SIZE, SIZE, 1), np.uint8)
    images[:, ROWS.index(label)] += 180
    return images


def class_images(*, each=EACH, seed=0):
    """Return ClassImages of all classes."""
    generator = np.random.default_rng(seed)
    images = [draw_class(generator, label, each) for label in ROWS]
    return data.group(
        np.concatenate(images),
        np.repeat(ROWS, each),
        name={label: f"row {label}" for label in ROWS},
        test_label=TEST,
    )


class RowNet:
    """Knows the classes by their bright row; its features are row means."""

    held_out_accuracy = 0.75

    def __init__(self, *, classes=ROWS, name="rows", held_out=None):
        self.classes = classes
        self.name = name
        self.seen = 0
        if held_out is not None:
            self.held_out = held_out

    def __call__(self, images):
        images = np.asarray(images)
        assert images.dtype == np.float32
        assert np.abs(images).max() <= 1
        self.seen += len(images)
        rows = images.mean(axis=(2, 3))
        logits = 8.0 * rows[:, : len(ROWS)]
        log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return Predictions(rows, log_probs.astype(np.float32))


class Copier:
    """Draws noisy copies of its support; remembers what it was asked.

    Without steps it draws noise without a row.
    """

    def __init__(self, *, noise=0.2, weights="copier", breaks_at=None):
        self.facts = {"kind": "copier", "weights": weights, "run": "somewhere"}
        self.adapted = []
        self.drawn = []
        self.stop_after = None
        self._noise = noise
        self._breaks_at = breaks_at

    def adapt(self, support, *, seed, steps):
        if self.stop_after is not None and len(self.adapted) >= self.stop_after:
            raise KeyboardInterrupt
        self.adapted.append((steps, support.shape, tuple(seed.tolist())))
        return support.reshape(-1, *support.shape[2:]), steps

    def sample(self, adapted, *, seed, n):
        support, steps = adapted
        self.drawn.append(n)
        # Fewer are the first of more: one generator per image.
        draws = [
            np.random.default_rng([*seed.tolist(), i]).uniform(
                -1, 1, support.shape[1:]
            )
            for i in range(n)
        ]
        noise = np.float32(self._noise) * np.stack(draws).astype(np.float32)
        images = support[np.arange(n) % len(support)] if steps else 0.0
        images = np.clip(images + noise, -1, 1).astype(np.float32)
        if self._breaks_at is not None and steps >= self._breaks_at:
            images[0, 0, 0, 0] = np.nan
        return images


def evaluator(folder, subject=None, **changes):
    """Return the evaluation of a subject; `changes` replace its arguments."""
    protocol = changes.pop("protocol", TINY)
    images = changes.pop("images", class_images())
    critic = changes.pop("critic", None) or RowNet()
    return Evaluator(
        subject or Copier(),
        changes.pop("scratch", None) or Copier(noise=1.0, weights="scratch"),
        UnseenTasks(images, classes=TEST, batch_size=4, seed=protocol.seed),
        critic=critic,
        protocol=protocol,
        folder=folder,
        **changes,
    )
