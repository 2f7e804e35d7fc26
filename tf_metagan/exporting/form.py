"""What differs between exports: of runs that adapt, and of photographs."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan.serve import Model

SERVING_DEFAULT = "serving_default"
Request = dict[str, Any]
"""{input: array or NumPy scalar}."""


class Example(NamedTuple):
    """Something to draw from.

    Attributes:
      name: what it shows.
      images: [K, H, W, C] in [-1, 1]; of a photograph K is 1.
    """

    name: str
    images: np.ndarray


class Form(abc.ABC):
    """Which signatures an export offers, and what is asked of them.

    Attributes:
      purposes: {signature: what it does}, in the order of the model card.
      asked: names of the settings of an export that bound its requests.
      golden: signature of the request that is kept with its answer.
      own: what `own_example` shows.
    """

    purposes: ClassVar[Mapping[str, str]]
    asked: ClassVar[tuple[str, ...]]
    golden: ClassVar[str]
    own: ClassVar[str]

    @abc.abstractmethod
    def terms(self, config: Any, run: Any) -> Any:
        """Return sizes, limits and defaults.

        Args:
          config: an `export.ExportConfig`.
          run: a `trained_runs.Run`.

        Returns:
          A `terms.Terms`, or a `photograph_terms.Terms`.
        """

    @abc.abstractmethod
    def module(self, run: Any, terms: Any) -> tf.Module:
        """Return what is saved.

        Every name in `purposes` is one of its attributes, a tf.function. Its
        method `facts` gives plain values for model.json.
        """

    @abc.abstractmethod
    def load(self, run: Any, images: Sequence[str]) -> list[Example]:
        """Load pictures, files or folders of them, as examples for a run."""

    @abc.abstractmethod
    def own_example(self, model: Model) -> Example:
        """Return an example that needs no data set and gives none away."""

    @abc.abstractmethod
    def golden_request(self, model: Model) -> Request:
        """Return inputs of the signature `golden`."""

    @abc.abstractmethod
    def warm_requests(self, model: Model) -> dict[str, Request]:
        """Return small inputs of each signature that clients wait for."""

    @abc.abstractmethod
    def picture(self, model: Model, examples: list[Example]) -> np.ndarray:
        """Draw from examples: uint8 [height, width, 3]."""

    @abc.abstractmethod
    def promise(self, info: Mapping[str, Any]) -> str:
        """Return what the model does, a sentence of the card."""

    @abc.abstractmethod
    def bounds(self, info: Mapping[str, Any]) -> dict[str, str]:
        """Return the rows of the card about requests."""

    @abc.abstractmethod
    def usage(self) -> str:
        """Return the line of Python that asks a loaded model."""
