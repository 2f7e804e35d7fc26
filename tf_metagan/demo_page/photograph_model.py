"""What the page of photographs shows: a run or an export that models them."""

import abc
import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan import photograph_loading, trained_runs
from tf_metagan.data import base as data
from tf_metagan.demo_page.model import check_time
from tf_metagan.exporting import photograph_terms, photographs
from tf_metagan.serving import model as serving
from tf_metagan.serving.session import Session

_TYPES = {"image": np.float32, "other": np.float32, "strength": np.float32}
_LONGEST = 3600.0  # seconds
_DEFAULT_SAMPLES = 16


class Limits(NamedTuple):
    """The most that one request of the page may ask for.

    Attributes:
      samples: images to draw.
      least_side: the fewest pixels of a side.
      side: the most.
    """

    samples: int = 32
    least_side: int = 16
    side: int = 256


class Card(NamedTuple):
    """What the page is told about a model.

    Attributes:
      name: of the model, as people call it.
      about: how it came about, one line.
      width: to which photographs are brought.
      channels: 1 or 3.
      aspect: longer by shorter side of a photograph, at most.
      scales: of its pyramid.
      samples: drawn by default.
      limits: of a request.
      inputs: how a person gives it images.
    """

    name: str
    about: str
    width: int
    channels: int
    aspect: int
    scales: int
    samples: int
    limits: Limits
    inputs: tuple[str, ...] = ("photographs",)


class Asked(NamedTuple):
    """A request.

    Attributes:
      image: [h, w, C] in [-1, 1], the photograph.
      other: another one, or None.
      strength: share of the other, 0 to 1.
      number: of samples.
      height: of samples; 0 is that of the photograph.
      width: the same.
      random_from: coarser scales are those of the reconstruction.
      seed: >= 0.
    """

    image: np.ndarray
    other: np.ndarray | None
    strength: float
    number: int
    height: int
    width: int
    random_from: int
    seed: int


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
      reconstruction: [H, W, C] in [-1, 1].
      samples: [n, h, w, C] in [-1, 1].
    """

    reconstruction: np.ndarray
    samples: np.ndarray


class PhotographModel(abc.ABC):
    """A model behind the page; callable from many threads.

    Equal requests have equal answers. What takes longer than the deadline, of
    `time.monotonic`, is a TimeoutError, what the model refuses a ValueError.

    Attributes:
      card: what the page is told.
    """

    card: Card

    def draw(self, asked: Asked, *, deadline: float) -> Drawn:
        """Make the GAN of a photograph, or of two, and draw from it."""
        inputs: dict[str, Any] = {
            "image": asked.image,
            "num_samples": asked.number,
            "height": asked.height,
            "width": asked.width,
            "random_from": asked.random_from,
            "seed": np.array([0, asked.seed], np.int64),
        }
        if asked.other is None:
            samples = self._ask("sample", inputs, deadline)["samples"]
            given = {"image": asked.image}
            found = self._ask("reconstruct", given, deadline)
        else:
            inputs["other"] = asked.other
            inputs |= {"strength": asked.strength, "first_scale": 0}
            found = self._ask("interpolate", inputs, deadline)
            samples = found["samples"]
        return Drawn(found["reconstruction"], samples)

    def warm_up(self) -> None:
        """Do everything once, for the first visitor."""
        width, channels = self.card.width, self.card.channels
        drawn = photograph_loading.landscapes(2, width=width, channels=channels)
        first, second = data.to_range(drawn)
        deadline = time.monotonic() + _LONGEST
        for other in (None, second):
            asked = Asked(first, other, 0.5, 1, 0, 0, 0, 0)
            self.draw(asked, deadline=deadline)

    def close(self) -> None:  # noqa: B027
        """Free what the model holds."""

    def _ask(
        self, signature: str, inputs: dict[str, Any], deadline: float
    ) -> dict[str, np.ndarray]:
        """Return what a signature of an export answers."""
        check_time(deadline)
        fed = {
            name: np.asarray(
                value, None if name == "seed" else _TYPES.get(name, np.int32)
            )
            for name, value in inputs.items()
        }
        try:
            return self._answer(signature, fed, deadline - time.monotonic())
        except tf.errors.InvalidArgumentError as error:
            raise serving.refusal(error) from error
        except tf.errors.DeadlineExceededError as error:
            raise TimeoutError from error

    @abc.abstractmethod
    def _answer(
        self, signature: str, inputs: dict[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        """Return {output: array} of a signature."""


class PhotographRun(PhotographModel):
    """A trained run, asked as its export would be.

    The time is looked at between its two requests.
    """

    def __init__(self, run: trained_runs.Run, name: str):
        """Take a run that models photographs, and its name for people."""
        limits = Limits()
        terms = photographs.terms_of(
            run,
            photograph_terms.Limits(samples=limits.samples, side=limits.side),
            photograph_terms.Defaults(_DEFAULT_SAMPLES),
        )
        self._module = photographs.Photographs().module(run, terms)
        config = run.settings.config
        self.card = Card(
            name=name,
            about=f"{config.algo}, {run.meta_step} meta-steps on "
            f"{config.dataset}",
            width=terms.widths[-1],
            channels=terms.channels,
            aspect=terms.limits.aspect,
            scales=terms.scales,
            samples=_DEFAULT_SAMPLES,
            limits=limits,
        )

    def _answer(
        self, signature: str, inputs: dict[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        del seconds
        function = getattr(self._module, signature)
        found = function(**{k: tf.constant(v) for k, v in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}


class PhotographExport(PhotographModel):
    """An exported model, in the session that serves it."""

    def __init__(self, path: str):
        """Load an export; arguments and errors are those of `Session`."""
        self._session = Session(path)
        info = self._session.info
        most = info["limits"]
        limits = Limits()
        limits = limits._replace(
            samples=min(limits.samples, most["samples"]),
            side=min(limits.side, most["side"]),
        )
        self.card = Card(
            name=f"{info['name']}, version {info['version']}",
            about=f"{info['algo']}, {info['meta_step']} meta-steps on "
            f"{info['dataset']}",
            width=info["image"]["width"],
            channels=info["image"]["channels"],
            aspect=most["aspect"],
            scales=info["scales"],
            samples=min(_DEFAULT_SAMPLES, limits.samples),
            limits=limits,
        )

    def close(self) -> None:
        """See `PhotographModel`."""
        self._session.close()

    def _answer(
        self, signature: str, inputs: dict[str, np.ndarray], seconds: float
    ) -> dict[str, np.ndarray]:
        return self._session.run(
            signature, inputs, seconds=min(seconds, _LONGEST)
        )
