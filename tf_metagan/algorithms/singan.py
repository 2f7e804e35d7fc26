"""The GAN of a single photograph, trained on it alone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms.photographs import Photographs


class Singan(Photographs):
    """Learn the weights of one photograph's pyramid, scale by scale.

    Source: SinGAN (Shaham et al., 2019); the settings are those of its public
      program, for a photograph in landscape format: with 34 pixels the
      coarsest scale of 3 : 4 has 25 rows, and there are nine of them.
    """

    name: ClassVar[str] = "singan"
    one_task: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            "architecture": "stacks",
            "dataset": "photographs",
            "image_size": 250,
            "smallest_size": 34,
            "scale_factor": 0.75,
            "width": 32,
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
            "meta_steps": 18000,
            "panel_tasks": 1,
            "outer_optimizer": "adam",
            "outer_rate": 5e-4,
            "outer_epsilon": 1e-8,
            "outer_schedule": "drop",
        }
    )
