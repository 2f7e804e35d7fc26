"""The growing GAN of a single photograph."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms.photographs import Photographs


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
            "architecture": "growing",
            "dataset": "photographs",
            "image_size": 250,
            "smallest_size": 34,
            "width": 64,
            "noise_amplitude": "at_start",
            "reconstruction_weight": 10.0,
            "inner_steps": 1,
            "inner_batch_size": 1,
            "adapt_steps": 0,
            "update_order": "sequential",
            "n_critic": 3,
            "n_generator": 3,
            "penalty_weight": 0.1,
            "penalty_norm": "pixel",
            "meta_batch": 1,
            "meta_steps": 12000,
            "panel_tasks": 1,
            "outer_optimizer": "adam",
            "outer_rate": 5e-4,
            "outer_epsilon": 1e-8,
            "outer_schedule": "drop",
        }
    )
