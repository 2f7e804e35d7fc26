"""Internal learning: hypernetworks that make a GAN of one photograph."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from tf_metagan.algorithms.photographs import Photographs


class Internal(Photographs):
    """Learn heads and embeddings that model any photograph in a forward pass.

    In each phase the newest heads of G, its embedding and all of D learn.

    Source: Meta Internal Learning (Bensadoun et al., 2021); the settings are
      those of its public program.
    """

    name: ClassVar[str] = "internal"
    defaults: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            "architecture": "pyramid",
            "dataset": "photographs",
            "image_size": 250,
            "inner_steps": 1,
            "inner_batch_size": 1,
            "adapt_steps": 0,
            "update_order": "sequential",
            "penalty_weight": 0.1,
            "penalty_norm": "pixel",
            "meta_batch": 16,
            "meta_steps": 28000,
            "outer_optimizer": "adam",
            "outer_rate": 5e-5,
            "outer_epsilon": 1e-8,
            "outer_schedule": "drop",
            "outer_clip_norm": 1.0,
        }
    )
