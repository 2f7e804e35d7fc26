"""The test tasks of a protocol: which class, which support images."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_metagan.data import base as data
from tf_metagan.data import episodes

STREAM = 2  # of episodes; training and its pictures have 0 and 1


class UnseenTask(NamedTuple):
    """One class to adapt to.

    Attributes:
      number: place among the tasks of the protocol, from 0.
      label: class id of the data set.
      name: of the class.
      support: [steps | 1, batch, H, W, C] in [-1, 1].
      seed: int64 [2], root of all latents of the task.
    """

    number: int
    label: int
    name: str
    support: np.ndarray
    seed: np.ndarray


class UnseenTasks:
    """Draws test tasks, each a function of (seed, number).

    Every subject meets the same classes in the same order, whatever it was
    trained with, and fewer tasks are the first of more.
    """

    def __init__(
        self,
        images: data.ClassImages,
        *,
        classes: Sequence[int],
        batch_size: int,
        seed: int,
        dtype: str = "float32",
    ):
        """Fix where tasks come from.

        Args:
          images: the data set.
          classes: class ids that were kept from training.
          batch_size: images of an inner step of the subject.
          seed: of the protocol.
          dtype: floating type of the images.
        """
        self.images = images
        self.classes = tuple(classes)
        self._batch_size = batch_size
        self._seed = int(np.random.default_rng([seed, STREAM]).integers(2**31))
        self._dtype = dtype
        rows = data.class_rows(images, self.classes)
        self._fewest = int(np.diff(images.first)[rows].min())
        self._samplers: dict[tuple[int, int], episodes.EpisodeSampler] = {}

    def name(self, label: int) -> str:
        """Return the name of a class id."""
        return self.images.name[int(data.class_rows(self.images, [label])[0])]

    def draw(self, *, steps: int, shots: int) -> Callable[[int], UnseenTask]:
        """Return the function from a task's number to the task.

        With fewer steps or fewer shots a task keeps its class, its seed and
        its first images.

        Args:
          steps: steps of adaptation; where shots is 0 each sees a batch of its
            own.
          shots: support images, fixed for the task; 0: of the whole class.

        Raises:
          ValueError: a class has too few images.
        """
        # Samplers are shared where a part of what they draw will do.
        most = min(self._batch_size, self._fewest - 1)
        sampler = self._sampler(
            max(1, steps) if not 0 < shots <= most else 1,
            most if 0 < shots <= most else shots,
        )

        def task(number: int) -> UnseenTask:
            batch = sampler.batch(number)
            label = int(batch.label[0])
            support = batch.support[0].numpy()
            return UnseenTask(
                number=number,
                label=label,
                name=sampler.class_name(label),
                support=support[:, :shots] if 0 < shots <= most else support,
                seed=batch.seed[0].numpy(),
            )

        return task

    def _sampler(self, steps: int, shots: int) -> episodes.EpisodeSampler:
        if (steps, shots) not in self._samplers:
            self._samplers[steps, shots] = episodes.EpisodeSampler(
                self.images,
                classes=self.classes,
                meta_batch=1,
                inner_batch_size=self._batch_size,
                inner_steps=steps,
                shots=shots,
                seed=self._seed,
                dtype=self._dtype,
            )
        return self._samplers[steps, shots]
