"""Exports of runs that adapt to a handful of images by steps."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tf_metagan import pictures, sampling
from tf_metagan.exporting.adapter import Adapter
from tf_metagan.exporting.form import (
    SERVING_DEFAULT,
    Example,
    Form,
    Request,
)
from tf_metagan.exporting.terms import Defaults, Limits, Terms
from tf_metagan.serve import Model

_GOLDEN_IMAGES, _GOLDEN_SAMPLES = 4, 8
_OWN = 8  # drawings of the model in place of given images
_SHOWN = 8  # samples beside each other
_SAMPLES = 64


class FewShot(Form):
    """Adapt to images, and draw more of them."""

    purposes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            SERVING_DEFAULT: "images alone; the rest has its default",
            "adapt_and_sample": "adapt to images and draw more of them",
            "adapt_and_sample_bytes": "the same from PNG or JPEG files to PNG "
            "files",
            "adapt_and_sample_batch": "the same for several tasks at once, "
            "with an error for each instead of one for all",
            "sample_prior": "draw before any adaptation",
            "adapt": "adapt to the batches of each step; gives the weights "
            "themselves",
            "sample_adapted": "draw from adapted weights",
        }
    )
    asked: ClassVar[tuple[str, ...]] = (
        "default_steps",
        "default_samples",
        "max_images",
        "max_steps",
        "max_samples",
        "max_step_images",
        "max_pixels",
        "max_tasks",
    )
    golden: ClassVar[str] = "adapt_and_sample"
    own: ClassVar[str] = "drawings of the model itself"

    def terms(self, config: Any, run: Any) -> Terms:
        """See `Form`."""
        trained = run.settings.config
        steps = config.default_steps
        if steps is None:
            steps = trained.adapt_steps
        if steps is None:
            steps = trained.inner_steps
        work = config.max_step_images
        if work is None:
            work = max(1, config.max_steps) * trained.adaptation_batch
        size = trained.image_size
        return Terms(
            image_shape=(size, size, trained.channels or 1),
            batch_size=trained.adaptation_batch,
            limits=Limits(
                images=config.max_images,
                steps=config.max_steps,
                samples=config.max_samples,
                step_images=work,
                pixels=config.max_pixels,
                tasks=config.max_tasks,
            ),
            defaults=Defaults(
                steps=steps, samples=config.default_samples or _SAMPLES
            ),
            weights=config.weights,
        )

    def module(self, run: Any, terms: Terms) -> tf.Module:
        """See `Form`."""
        return Adapter(run.algorithm, run.vars, terms)

    def load(self, run: Any, images: Sequence[str]) -> list[Example]:
        """See `Form`: all of them are one example."""
        return [Example("", sampling.load_support(run, images, invert=False))]

    def own_example(self, model: Model, *, number: int = _OWN) -> Example:
        """See `Form`: drawings of the model itself."""
        limits = model.info["limits"]
        number = min(number, limits["images"], limits["samples"])
        drawn = model.sample_prior(num_samples=number, seed=1).numpy()
        return Example("", np.clip(drawn, -1.0, 1.0))

    def golden_request(self, model: Model) -> Request:
        """See `Form`."""
        info = model.info
        return {
            "images": self.own_example(model, number=_GOLDEN_IMAGES).images,
            "num_samples": np.int32(
                min(_GOLDEN_SAMPLES, info["limits"]["samples"])
            ),
            "steps": np.int32(info["defaults"]["steps"]),
            "seed": np.array([2, 3], np.int64),
        }

    def warm_requests(self, model: Model) -> dict[str, Request]:
        """See `Form`."""
        images = self.own_example(model, number=2).images
        png = tf.io.encode_png(np.uint8((images[0] + 1) * 127.5)).numpy()
        scalars = {
            "num_samples": np.int32(1),
            "steps": np.int32(1),
            "seed": np.array([0, 0], np.int64),
        }
        return {
            SERVING_DEFAULT: {"images": images},
            "adapt_and_sample": {"images": images, **scalars},
            "adapt_and_sample_bytes": {
                "image_bytes": np.array([png], object),
                **scalars,
            },
            "sample_prior": {
                name: scalars[name] for name in ("num_samples", "seed")
            },
        }

    def picture(self, model: Model, examples: list[Example]) -> np.ndarray:
        """See `Form`: given images, and samples before and after the steps."""
        steps = model.info["defaults"]["steps"]
        count = min(2 * _SHOWN, model.info["limits"]["samples"])

        def drawn(number: int) -> np.ndarray:
            return np.stack(
                [
                    model.adapt_and_sample(
                        example.images, steps=number, num_samples=count
                    ).samples.numpy()
                    for example in examples
                ]
            )

        blocks = {
            "given": np.stack([example.images for example in examples]),
            "before adaptation": drawn(0),
        }
        if steps:
            blocks[f"after {steps} steps"] = drawn(steps)
        names = [example.name for example in examples]
        return pictures.grid(blocks, names, per_line=_SHOWN)

    def promise(self, info: Mapping[str, Any]) -> str:
        """See `Form`."""
        image = info["image"]
        size = f"{image['height']}x{image['width']}x{image['channels']}"
        return (
            f"A GAN that adapts to a handful of {size} images and draws more "
            "of them."
        )

    def bounds(self, info: Mapping[str, Any]) -> dict[str, str]:
        """See `Form`."""
        limits, defaults = info["limits"], info["defaults"]
        return {
            "a request may hold": f"{limits['images']} images, "
            f"{limits['steps']} steps, {limits['step_images']} steps times "
            f"images of a step, {limits['samples']} samples, "
            f"{limits['pixels']} pixels in a file, {limits['tasks']} tasks of "
            f"{limits['row_samples']} samples in a batch",
            "by default": f"{defaults['steps']} steps, "
            f"{defaults['num_samples']} samples",
        }

    def usage(self) -> str:
        """See `Form`."""
        return "answer = model.adapt_and_sample(images, num_samples=16, seed=1)"
