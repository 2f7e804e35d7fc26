"""The growing GAN of a single photograph."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms.photographs import ONE_PHOTOGRAPH, Photographs


class Consingan(Photographs):
    """Learn a generator that grows, its newest stages together.

    G goes `n_generator` times by one gradient.

    Source: ConSinGAN (Hinz et al., 2021); the settings are those of its public
      program, for a photograph in landscape format.
    """

    name: ClassVar[str] = "consingan"
    one_task: ClassVar[bool] = True
    one_gradient: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            **ONE_PHOTOGRAPH,
            "architecture": "growing",
            "width": 64,
            "meta_steps": 12000,
        }
    )
