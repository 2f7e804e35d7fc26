"""The picture of a run: what adaptation makes of classes never trained on."""

import numpy as np
import tensorflow as tf

from tf_metagan import pictures
from tf_metagan.core import rng
from tf_metagan.types import TaskBatch, Vars

_ADAPT, _PRIOR, _ADAPTED = range(3)


class Panel:
    """Draws the same unseen tasks again and again, as training goes on."""

    def __init__(
        self,
        algorithm,
        tasks: TaskBatch,
        names: list[str],
        *,
        steps: int,
        samples: int,
        seed: int,
    ):
        """Fix the tasks and draw what does not change: the scratch column.

        Args:
          algorithm: what adapts.
          tasks: episodes of meta-test classes.
          names: of the classes, one per task.
          steps: steps of adaptation.
          samples: images per task and column.
          seed: of the scratch weights.
        """
        self._algorithm = algorithm
        self._tasks = tasks
        self._names = names
        self._steps = steps
        self._samples = samples
        self._draw = tf.function(self._draw_task, autograph=False)
        self._rebuilds = algorithm.game.model is not None
        if not self._rebuilds:
            self._scratch = self._draw_all(algorithm.init(seed))[1]

    def picture(self, vars: Vars) -> np.ndarray:
        """Adapt `vars` to every task; return uint8 [height, width, 3].

        Of a game that remembers a photograph it shows the reconstruction.

        Adaptation may diverge where training does not: from scratch, or in
        more steps. Such images are blank, and the column says how many.
        """
        first, adapted = self._draw_all(vars)
        support = self._tasks.support.numpy()
        support = support.reshape(len(support), -1, *support.shape[3:])
        if self._rebuilds:
            columns = {
                "photograph": support[:, :1],
                "reconstruction": first,
                "samples": adapted,
            }
        else:
            columns = self._adaptation(support, first, adapted)
        return pictures.grid(
            dict(_without_diverged(*column) for column in columns.items()),
            self._names,
            per_line=4,
        )

    def _adaptation(self, support, prior, adapted) -> dict[str, np.ndarray]:
        return {
            "support (unseen classes)": support[:, : self._samples],
            "prior (no adaptation)": prior,
            f"adapted, {self._steps} steps": adapted,
            f"from scratch, {self._steps} steps": self._scratch,
        }

    def _draw_all(self, vars: Vars) -> tuple[np.ndarray, np.ndarray]:
        both = [
            self._draw(vars, support, seed)
            for support, seed in zip(
                self._tasks.support, self._tasks.seed, strict=True
            )
        ]
        first, adapted = zip(*both, strict=True)
        return np.stack(first), np.stack(adapted)

    def _draw_task(self, vars: Vars, support, seed):
        adapted, _ = self._algorithm.adapt(
            vars, support, None, rng.fold(seed, _ADAPT), self._steps
        )
        game = self._algorithm.game
        drawn = game.sample(adapted, rng.fold(seed, _ADAPTED), self._samples)
        if self._rebuilds:
            return game.model(adapted).reconstruct(), drawn
        prior = game.sample(vars, rng.fold(seed, _PRIOR), self._samples)
        return prior, drawn


def _without_diverged(
    caption: str, images: np.ndarray
) -> tuple[str, np.ndarray]:
    """Blank images [tasks, n, H, W, C] that are not finite, and count them."""
    sound = np.isfinite(images).all(axis=(2, 3, 4))
    if sound.all():
        return caption, images
    blank = np.where(sound[..., np.newaxis, np.newaxis, np.newaxis], images, 1)
    return f"{caption}, {(~sound).sum()} of {sound.size} diverged", blank
