"""What an export of a run that models photographs promises."""

import dataclasses
from typing import Any, NamedTuple

LEAST_SIDE = 16
"""Pixels of a side that may be asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that one request may ask for; the graph refuses more.

    Attributes:
      images: photographs of a request to serving_default.
      samples: images to draw of each.
      pixels: of a photograph as it is given, encoded or not.
      aspect: longer by shorter side of a photograph.
      side: pixels of a side of what is drawn.
      sample_pixels: of all that is drawn together.
    """

    images: int = 16
    samples: int = 4096
    pixels: int = 2**22
    aspect: int = 8
    side: int = 2048
    sample_pixels: int = 2**22


class Defaults(NamedTuple):
    """What a request that does not say otherwise gets.

    Attributes:
      num_samples: images to draw.
      width: of them; 0 is that of the model.
      height: of them; 0 is that of the photograph in the model's width.
      random_from: first scale with noise.
      strength: share of the other photograph.
      first_scale: first scale with a share of the other.
      seed: root of random numbers.
    """

    num_samples: int
    width: int = 0
    height: int = 0
    random_from: int = 0
    strength: float = 0.5
    first_scale: int = 0
    seed: tuple[int, int] = (0, 0)


class Terms(NamedTuple):
    """Everything about an export beside its weights.

    Attributes:
      widths: of the scales of the pyramid; photographs are brought to the last.
      scales: that are trained, the coarsest ones.
      channels: 1 or 3.
      limits: of a request.
      defaults: of a request.
      weights: type in which weights are stored, see `terms.Terms`.
    """

    widths: tuple[int, ...]
    scales: int
    channels: int
    limits: Limits
    defaults: Defaults
    weights: str = "float32"

    def facts(self) -> dict[str, Any]:
        """Return what model.json says of them, plain values."""
        return {
            "image": {
                "height": None,
                "width": self.widths[-1],
                "channels": self.channels,
                "range": [-1, 1],
            },
            "widths": list(self.widths),
            "scales": self.scales,
            "limits": dataclasses.asdict(self.limits),
            "defaults": {
                **self.defaults._asdict(),
                "seed": list(self.defaults.seed),
            },
        }

    @property
    def default_pixels(self) -> int:
        """The most that the samples of a default request have together."""
        tallest = self.widths[-1] ** 2 * self.limits.aspect
        return self.defaults.num_samples * tallest

    def check(self) -> None:
        """Refuse defaults that the limits would refuse.

        Raises:
          ValueError: names the setting to change.
        """
        limits, count = self.limits, self.defaults.num_samples
        if count > limits.samples:
            raise ValueError(
                f"--default_samples={count} is more than a request may ask "
                f"for: expected at most --max_samples={limits.samples}. Raise "
                "it or ask for less by default."
            )
        if self.default_pixels > limits.sample_pixels:
            raise ValueError(
                f"--default_samples={count} of a photograph {limits.aspect} "
                f"times as high as wide have {self.default_pixels} pixels: "
                "expected at most "
                f"--max_sample_pixels={limits.sample_pixels}. Raise it, leave "
                "it out or ask for less by default."
            )
