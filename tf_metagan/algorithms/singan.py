"""The GAN of a single photograph, trained on it alone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms.photographs import ONE_PHOTOGRAPH, Photographs


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
            **ONE_PHOTOGRAPH,
            "architecture": "stacks",
            "scale_factor": 0.75,
            "width": 32,
            "meta_steps": 18000,
        }
    )
