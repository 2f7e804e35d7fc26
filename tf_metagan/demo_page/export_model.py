"""An exported model behind the page, in the session that serves it."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan.demo_page.model import (
    Card,
    Frame,
    Limits,
    Model,
    check_time,
    default_steps,
    leaps,
)
from tf_metagan.serving import model as serving
from tf_metagan.serving.session import Session

_TYPES = {"images": np.float32}
_LONGEST = 3600.0  # seconds


class ExportModel(Model):
    """Asks an export anew for each number of steps that is looked at.

    An export holds neither untrained weights nor a way to its latents.

    Attributes:
      card: see `Model`.
      unseen: class ids of its data set that it was not trained on.
    """

    def __init__(self, path: str, *, limits: Limits):
        """Load an export.

        Args:
          path: folder of a version, or of a model, whose newest version is
            taken.
          limits: of a request; those of the export hold as well.

        Raises:
          FileNotFoundError: there is no exported model.
          ValueError: it was written by a later version of this package.
        """
        self._session = Session(path)
        info = self._session.info
        image, most = info["image"], info["limits"]
        limits = Limits(
            images=min(limits.images, most["images"]),
            steps=min(limits.steps, most["steps"]),
            samples=min(limits.samples, most["samples"]),
            frames=limits.frames,
        )
        self.unseen: list[int] = info["training"]["split"]["test"]
        grey = image["channels"] == 1
        self.card = Card(
            name=f"{info['name']}, version {info['version']}",
            about=f"{info['algo']}, {info['meta_step']} meta-steps on "
            f"{info['dataset']}",
            image=(image["height"], image["width"], image["channels"]),
            dataset=info["dataset"],
            steps=default_steps(
                info["defaults"]["steps"],
                sees_images="images"
                in info["signatures"]["sample_adapted"]["inputs"],
                most=limits.steps,
            ),
            least_images=1,
            best_of=1,
            limits=limits,
            inputs=("strokes", "files") if grey else ("files",),
            scratch=False,
        )

    def prior(
        self, *, num_samples: int, seed: int, deadline: float
    ) -> np.ndarray:
        """See `Model`."""
        found = self._ask(
            "sample_prior", deadline, num_samples=num_samples, seed=seed
        )
        return found["samples"]

    def unfold(
        self,
        images: np.ndarray,
        *,
        steps: int,
        num_samples: int,
        seed: int,
        deadline: float,
        scratch: bool = False,
    ) -> Iterator[Frame]:
        """See `Model`."""
        del scratch
        for step in leaps(steps):
            found = self._ask(
                "adapt_and_sample",
                deadline,
                images=images,
                num_samples=num_samples,
                steps=step,
                seed=seed,
            )
            losses = (float(found["d_loss"]), float(found["g_loss"]))
            yield Frame(
                step, found["samples"], *(losses if step else (None, None))
            )

    def warm_up(self) -> None:
        """See `Model`."""
        self._session.warm_up()

    def close(self) -> None:
        """See `Model`."""
        self._session.close()

    def _ask(
        self, signature: str, deadline: float, *, seed: int, **inputs: Any
    ) -> dict[str, np.ndarray]:
        check_time(deadline)
        fed = {"seed": np.array([0, seed], np.int64)}
        for name, value in inputs.items():
            fed[name] = np.asarray(value, _TYPES.get(name, np.int32))
        try:
            return self._session.run(
                signature,
                fed,
                seconds=min(deadline - time.monotonic(), _LONGEST),
            )
        except tf.errors.InvalidArgumentError as error:
            raise serving.refusal(error) from error
        except tf.errors.DeadlineExceededError as error:
            raise TimeoutError from error
