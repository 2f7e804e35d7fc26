"""Exports of runs that turn a photograph into a GAN by one forward pass."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tf_metagan import photograph_loading, pictures
from tf_metagan.data import base as data
from tf_metagan.exporting.form import (
    SERVING_DEFAULT,
    Example,
    Form,
    Request,
)
from tf_metagan.exporting.photograph_terms import Defaults, Limits, Terms
from tf_metagan.exporting.photographer import Photographer
from tf_metagan.serve import Model

_SAMPLES = 16
_GOLDEN_SAMPLES = 4
_SHOWN = 6  # samples beside each other


class Photographs(Form):
    """Draw from the GAN of a photograph, or from one between two."""

    purposes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            SERVING_DEFAULT: "photographs of one size alone; draws of each "
            "with the defaults",
            "sample": "draw images like a photograph, of any size",
            "sample_bytes": "the same from a PNG or JPEG file to PNG files",
            "reconstruct": "draw the photograph itself",
            "reconstruct_bytes": "the same from a file to a PNG file",
            "interpolate": "draw from the model between two photographs",
            "interpolate_bytes": "the same from two files to PNG files",
        }
    )
    asked: ClassVar[tuple[str, ...]] = (
        "default_samples",
        "max_images",
        "max_samples",
        "max_pixels",
        "max_side",
        "max_sample_pixels",
    )
    golden: ClassVar[str] = "sample"
    own: ClassVar[str] = "landscapes drawn by formula"

    def terms(self, config: Any, run: Any) -> Terms:
        """See `Form`."""
        limits = Limits(
            images=config.max_images,
            samples=config.max_samples,
            pixels=config.max_pixels,
            side=config.max_side,
        )
        defaults = Defaults(config.default_samples or _SAMPLES)
        found = terms_of(run, limits, defaults)
        sample_pixels = config.max_sample_pixels or max(
            limits.sample_pixels, found.default_pixels
        )
        limits = dataclasses.replace(limits, sample_pixels=sample_pixels)
        return found._replace(limits=limits, weights=config.weights)

    def module(self, run: Any, terms: Terms) -> tf.Module:
        """See `Form`."""
        return Photographer(run.algorithm.game, run.vars, terms)

    def load(self, run: Any, images: Sequence[str]) -> list[Example]:
        """See `Form`: each is an example."""
        given = photograph_loading.load(run, images)
        return [Example(x.name, x.image[np.newaxis]) for x in given]

    def own_example(self, model: Model, *, number: int = 0) -> Example:
        """See `Form`: a landscape of that number."""
        image = model.info["image"]
        drawn = photograph_loading.landscapes(
            number + 1, width=image["width"], channels=image["channels"]
        )
        return Example("a drawn landscape", data.to_range(drawn[-1:]))

    def golden_request(self, model: Model) -> Request:
        """See `Form`."""
        return {
            "image": self.own_example(model).images[0],
            **_scalars(model, min(_GOLDEN_SAMPLES, _most(model))),
            "seed": np.array([2, 3], np.int64),
        }

    def warm_requests(self, model: Model) -> dict[str, Request]:
        """See `Form`."""
        images = [self.own_example(model, number=i).images[0] for i in (0, 1)]
        files = [
            np.array(tf.io.encode_png(data.to_bytes(x)).numpy(), object)
            for x in images
        ]
        defaults = model.info["defaults"]
        mixture = {
            "strength": np.float32(defaults["strength"]),
            "first_scale": np.int32(defaults["first_scale"]),
        }
        scalars = _scalars(model, 1)
        return {
            SERVING_DEFAULT: {"images": images[0][np.newaxis]},
            "sample": {"image": images[0], **scalars},
            "sample_bytes": {"image_bytes": files[0], **scalars},
            "reconstruct": {"image": images[0]},
            "reconstruct_bytes": {"image_bytes": files[0]},
            "interpolate": {
                "image": images[0],
                "other": images[1],
                **mixture,
                **scalars,
            },
            "interpolate_bytes": {
                "image_bytes": files[0],
                "other_bytes": files[1],
                **mixture,
                **scalars,
            },
        }

    def picture(self, model: Model, examples: list[Example]) -> np.ndarray:
        """See `Form`: photographs, reconstructions and samples."""
        count = min(_SHOWN, _most(model))
        shown = [x.images[0] for x in examples]
        columns = {
            "given": [image[np.newaxis] for image in shown],
            "rebuilt": [
                model.reconstruct(image).numpy()[np.newaxis] for image in shown
            ],
            "samples": [
                model.sample(image, num_samples=count).numpy()
                for image in shown
            ],
        }
        return pictures.grid(columns, [x.name for x in examples])

    def promise(self, info: Mapping[str, Any]) -> str:
        """See `Form`."""
        return (
            "A network that turns a photograph, brought to a width of "
            f"{info['image']['width']} pixels, into a GAN of that photograph "
            "and draws from it."
        )

    def bounds(self, info: Mapping[str, Any]) -> dict[str, str]:
        """See `Form`."""
        limits = info["limits"]
        return {
            "widths of the pyramid": ", ".join(map(str, info["widths"]))
            + f" pixels, {info['scales']} scales trained",
            "a request may hold": f"a photograph of {limits['pixels']} pixels "
            f"and an aspect up to {limits['aspect']} : 1, {limits['samples']} "
            f"samples with sides up to {limits['side']} and of "
            f"{limits['sample_pixels']} pixels together",
            "by default": f"{info['defaults']['num_samples']} samples of the "
            "photograph's own size",
        }

    def usage(self) -> str:
        """See `Form`."""
        return "samples = model.sample(image, num_samples=16, seed=1)"


def terms_of(run: Any, limits: Limits, defaults: Defaults) -> Terms:
    """Return the terms of a run, a `trained_runs.Run`, within limits."""
    model = run.algorithm.game.model(run.vars)
    return Terms(
        widths=tuple(width for _, width in model.sizes),
        scales=len(model.weights),
        channels=run.settings.config.channels or 3,
        limits=limits,
        defaults=defaults,
    )


def _most(model: Model) -> int:
    found: int = model.info["limits"]["samples"]
    return found


def _scalars(model: Model, num_samples: int) -> Request:
    """Return the inputs of a request that draws in the photograph's size."""
    defaults = model.info["defaults"]
    return {
        "num_samples": np.int32(num_samples),
        **{
            name: np.int32(defaults[name])
            for name in ("width", "height", "random_from")
        },
        "seed": np.array(defaults["seed"], np.int64),
    }
