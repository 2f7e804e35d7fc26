"""Do siblings of drawn symbols belong to the symbol? python -m \
benchmarks.drawn_siblings

Takes unseen Omniglot characters, follows the middle of their lines with the
pen of the demo page, and lets the shipped model draw siblings from these
drawings and from the images themselves. The shipped critic, which knows all
characters of both, says how many of the siblings it takes for the character.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds

from tf_metagan import assembly, trained_runs
from tf_metagan.data import base as data
from tf_metagan.data import prepared
from tf_metagan.demo_page import strokes
from tf_metagan.demo_page.model import Limits
from tf_metagan.demo_page.run_model import RunModel
from tf_metagan.metrics import critic as critics

_HAND = strokes.hand_of("omniglot")
_AS_IS = _HAND._replace(sizes=(0.0, 2.0), spread=2.0)


def skeleton(ink: np.ndarray) -> np.ndarray:
    """Thin lines to the width of a pixel.

    Args:
      ink: bool [h, w].

    Source: Zhang and Suen (1984), a fast parallel algorithm for thinning
      digital patterns.
    """
    image = np.pad(ink, 1).astype(np.int8)
    ring = (
        (-1, 0),
        (-1, 1),
        (0, 1),
        (1, 1),
        (1, 0),
        (1, -1),
        (0, -1),
        (-1, -1),
    )
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            p = [np.roll(image, (-y, -x), (0, 1)) for y, x in ring]
            around = sum(p)
            rises = sum(
                (a == 0) & (b == 1)
                for a, b in zip(p, p[1:] + p[:1], strict=True)
            )
            up, right, down, left = p[0], p[2], p[4], p[6]
            if first:
                free = (up * right * down == 0) & (right * down * left == 0)
            else:
                free = (up * right * left == 0) & (up * down * left == 0)
            gone = (image == 1) & (around >= 2) & (around <= 6)
            gone &= (rises == 1) & free
            image[gone] = 0
            changed |= bool(gone.any())
    return image[1:-1, 1:-1] == 1


def traced(image: np.ndarray) -> list[np.ndarray]:
    """Return strokes along the middle of the lines of uint8 [h, w] ink."""
    thin = skeleton(image > 127)
    side = len(image)
    found = []
    for y, x in zip(*np.nonzero(thin), strict=True):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            v, u = y + dy, x + dx
            if v < side and 0 <= u < side and thin[v, u]:
                ends = [(x + 0.5, y + 0.5), (u + 0.5, v + 0.5)]
                found.append([(a / side, b / side, 0.5) for a, b in ends])
    return [np.array(stroke) for stroke in found]


def enlarged(drawing: list[np.ndarray]) -> list[np.ndarray]:
    """Draw one and a half times as large, and aside, as people may."""
    return [
        np.concatenate(
            [(stroke[:, :2] - 0.5) * 1.5 + 0.55, stroke[:, 2:]], axis=1
        )
        for stroke in drawing
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and print JSON lines: shares of siblings, means over classes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=24)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 3, 10])
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args(argv)
    run = trained_runs.load_pretrained("omniglot")
    model = RunModel(run, "omniglot", limits=Limits())
    critic = critics.load(dataset="omniglot")
    columns = {label: i for i, label in enumerate(critic.card.classes)}
    unseen = [label for label in run.split.test if label in columns]
    draw = np.random.default_rng(words.seed)
    chosen = draw.choice(unseen, words.classes, replace=False).tolist()
    drawn = originals(set(chosen), words.shots)

    def inked(hand: strokes.Hand, change: Callable) -> Callable:
        def images(label: int) -> np.ndarray:
            drawings = [change(traced(image)) for image in drawn[label]]
            return strokes.draw(drawings, image_size=32, hand=hand)

        return images

    known = assembly.load_images(run.settings)
    kinds: dict[str, Callable] = {
        "images": lambda label: data.images_of(known, label)[: words.shots],
        "followed": inked(_AS_IS, lambda drawing: drawing),
        "large, aside": inked(_AS_IS, enlarged),
        "large, aside, put right": inked(_HAND, enlarged),
    }
    for kind, images in kinds.items():
        given = {label: data.to_range(images(label)) for label in chosen}
        for steps in words.steps:
            shares = []
            for label, support in given.items():
                *_, last = model.unfold(
                    support,
                    steps=steps,
                    num_samples=words.samples,
                    seed=label,
                    deadline=math.inf,
                )
                found = critic(last.samples).log_probs.argmax(1)
                shares.append(np.mean(found == columns[label]))
            error = np.std(shares, ddof=1) / math.sqrt(len(shares))
            line = {
                "given": kind,
                "steps": steps,
                "recognised": round(float(np.mean(shares)), 3),
                "standard_error": round(float(error), 3),
                "classes": len(shares),
                "images": words.shots,
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    return 0


def originals(labels: set[int], shots: int) -> dict[int, list[np.ndarray]]:
    """Return the first images of classes at their own size, ink bright."""
    builder = tfds.builder("omniglot", data_dir=prepared.folder())
    found: dict[int, list[np.ndarray]] = {label: [] for label in labels}
    for split in ("train", "test"):
        for example in builder.as_dataset(split=split).as_numpy_iterator():
            image, label = example["image"], int(example["label"])
            if label in labels and len(found[label]) < shots:
                found[label].append(255 - image[..., 0])
    return found


if __name__ == "__main__":
    sys.exit(main())
