"""What an exported model promises: sizes, limits and defaults."""

import dataclasses
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that one request may ask for; the graph refuses more.

    Attributes:
      images: support images, and encoded files.
      steps: steps of adaptation.
      samples: images to draw.
      step_images: steps times the images that a step looks at: the work of
        adaptation, and the images that may stand in the batches of `adapt`.
      pixels: of one encoded image.
      tasks: rows of a batch.
    """

    images: int = 64
    steps: int = 200
    samples: int = 4096
    step_images: int = 3200
    pixels: int = 2**22
    tasks: int = 16

    @property
    def row_samples(self) -> int:
        """Images that each row of a batch may draw.

        >>> Limits(samples=4096, tasks=16).row_samples
        256
        """
        return max(1, self.samples // self.tasks)

    def of_row(self) -> "Limits":
        """Return the limits of a row of a batch."""
        return dataclasses.replace(self, samples=self.row_samples)


class Defaults(NamedTuple):
    """What a request that does not say otherwise gets.

    Attributes:
      steps: steps of adaptation.
      samples: images to draw.
      seed: root of its random numbers.
    """

    steps: int
    samples: int
    seed: tuple[int, int] = (0, 0)


class Terms(NamedTuple):
    """Everything about an export beside its weights.

    Attributes:
      image_shape: (H, W, C) of what is adapted to and drawn.
      batch_size: images of an inner step; more are divided over the steps.
      limits: of a request.
      defaults: of a request.
      weights: type in which weights are stored: "float32", "float16",
        "bfloat16".
    """

    image_shape: tuple[int, int, int]
    batch_size: int
    limits: Limits
    defaults: Defaults
    weights: str = "float32"

    def facts(self) -> dict[str, Any]:
        """Return what model.json says of them, plain values."""
        height, width, channels = self.image_shape
        return {
            "image": {
                "height": height,
                "width": width,
                "channels": channels,
                "range": [-1, 1],
            },
            "batch_size": self.batch_size,
            "limits": {
                **dataclasses.asdict(self.limits),
                "row_samples": self.limits.row_samples,
            },
            "defaults": {
                "steps": self.defaults.steps,
                "num_samples": self.defaults.samples,
                "seed": list(self.defaults.seed),
            },
        }

    def check(self) -> None:
        """Refuse defaults that the limits would refuse.

        Raises:
          ValueError: names the setting to change.
        """
        limits, defaults = self.limits, self.defaults
        work = defaults.steps * min(self.batch_size, limits.images)
        for what, value, flag, most in (
            ("--default_steps", defaults.steps, "--max_steps", limits.steps),
            (
                "--default_samples",
                defaults.samples,
                "--max_samples",
                limits.samples,
            ),
            (
                "the default request's steps times images",
                work,
                "--max_step_images",
                limits.step_images,
            ),
        ):
            if value > most:
                raise ValueError(
                    f"{what} = {value} is more than a request may ask for: "
                    f"expected at most {flag}={most}. Raise {flag} or ask for "
                    "less by default."
                )
