"""What the page can show: anything that adapts to images and draws."""

import abc
import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

_FEW = 3


class Limits(NamedTuple):
    """The most that one request of the page may ask for.

    Attributes:
      images: to adapt to.
      steps: of adaptation.
      samples: images to draw.
      frames: of a walk.
    """

    images: int = 10
    steps: int = 50
    samples: int = 64
    frames: int = 96


class Card(NamedTuple):
    """What the page is told about a model.

    Attributes:
      name: of the model, as people call it.
      about: how it came about, one line.
      image: (H, W, C) of what is adapted to and drawn.
      dataset: that it was trained on, as --dataset names it.
      steps: of adaptation, by default.
      least_images: with fewer it cannot take steps.
      best_of: candidates of which its discriminator chooses each image.
      limits: of a request.
      inputs: how a person gives it images: "strokes", "files", or both.
      scratch: whether an untrained twin can be shown.
    """

    name: str
    about: str
    image: tuple[int, int, int]
    dataset: str
    steps: int
    least_images: int
    best_of: int
    limits: Limits
    inputs: tuple[str, ...]
    scratch: bool


class Frame(NamedTuple):
    """What is drawn at one moment of an adaptation.

    Attributes:
      step: steps done.
      samples: [n, H, W, C] in [-1, 1].
      d_loss: of the discriminator in that step, before its move; None where
        there was no step.
      g_loss: the same of the generator.
      chosen: whether the samples are the best of several candidates.
    """

    step: int
    samples: np.ndarray
    d_loss: float | None = None
    g_loss: float | None = None
    chosen: bool = False


class Walk(Protocol):
    """Adapts, and draws along a closed way through the latents."""

    def __call__(
        self,
        images: np.ndarray,
        *,
        steps: int,
        frames: int,
        seed: int,
        deadline: float,
    ) -> np.ndarray:
        """Return [frames, H, W, C] in [-1, 1]; after the last comes the first.

        Arguments and errors are those of `Model`.
        """


class Model(abc.ABC):
    """A model behind the page; callable from many threads.

    Equal arguments have equal answers. What takes longer than the deadline, of
    `time.monotonic`, is a TimeoutError; what the model refuses a ValueError,
    what diverged a FloatingPointError.

    Attributes:
      card: what the page is told.
      walk: a way through its latents; None where it has none.
    """

    card: Card
    walk: Walk | None = None

    @abc.abstractmethod
    def prior(
        self, *, num_samples: int, seed: int, deadline: float
    ) -> np.ndarray:
        """Draw from the meta-weights, before any image was seen."""

    @abc.abstractmethod
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
        """Adapt to images and draw on the way.

        Args:
          images: [K, H, W, C] in [-1, 1].
          steps: of adaptation, >= 0.
          num_samples: images to draw.
          seed: >= 0.
          deadline: see above.
          scratch: begin with freshly drawn weights; only where the card says
            that this can be shown.

        Yields:
          Frames of rising step, the first of step 0, the last of `steps`.
          Drawings of the last may come twice, chosen among candidates the
          second time.
        """

    @abc.abstractmethod
    def warm_up(self) -> None:
        """Do everything once, for the first visitor."""

    def close(self) -> None:  # noqa: B027
        """Free what the model holds."""


def default_steps(usual: int, *, sees_images: bool, most: int) -> int:
    """Return the steps that the page proposes.

    Players that are given the images draw the symbol before any step, and from
    as few as fit on the page steps fit the drawings rather than the symbol
    (docs/demo.md has numbers).

    Args:
      usual: of the model.
      sees_images: whether its players are given the images.
      most: that a request may ask for.

    >>> default_steps(10, sees_images=True, most=50)
    3
    """
    return min(most, usual, _FEW if sees_images else usual)


def check_time(deadline: float) -> None:
    """Raise TimeoutError after the deadline, of `time.monotonic`."""
    if time.monotonic() > deadline:
        raise TimeoutError


def check_finite(samples: np.ndarray, step: int) -> None:
    """Raise FloatingPointError where drawings are not finite."""
    if not np.isfinite(samples).all():
        raise FloatingPointError(
            f"the adaptation diverged: after {step} steps the drawings are "
            "not finite; take fewer steps or draw something else"
        )


def leaps(steps: int) -> list[int]:
    """Return the steps to look at where each look begins anew.

    They grow so that all looks together cost about as much as twice the last.

    >>> leaps(0), leaps(1), leaps(10), leaps(12)
    ([0], [0, 1], [0, 1, 2, 5, 10], [0, 1, 2, 5, 12])
    """
    found = [0]
    found += [digit * 10**power for power in range(4) for digit in (1, 2, 5)]
    before = [step for step in found if 2 * step <= steps]
    return [*before, steps] if steps else [0]
