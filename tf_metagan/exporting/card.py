"""README.md of an exported model, for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from tf_metagan import pictures
from tf_metagan.serve import Model

FILE = "README.md"
PICTURE = "samples.png"

_SHOWN = 8  # samples beside each other


class Example(NamedTuple):
    """Something to adapt to.

    Attributes:
      name: what it shows.
      images: [K, H, W, C] in [-1, 1].
    """

    name: str
    images: np.ndarray


def write(
    folder: Path, model: Model, examples: list[Example], *, source: str
) -> None:
    """Write the card and its picture.

    Args:
      folder: to write to.
      model: loaded from there; draws the picture.
      examples: one row of the picture each, with equally many images.
      source: where the examples are from.
    """
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
    picture = pictures.grid(
        blocks, [example.name for example in examples], per_line=_SHOWN
    )
    PIL.Image.fromarray(picture).save(folder / PICTURE)
    text = _text(model.info, source)
    (folder / FILE).write_text(text, encoding="utf-8")


def _text(info: Mapping[str, Any], source: str) -> str:
    image, limits = info["image"], info["limits"]
    size = f"{image['height']}x{image['width']}x{image['channels']}"
    versions = info["versions"]
    defaults = info["defaults"]
    lines = [
        f"# {info['name']}, version {info['version']}",
        "",
        f"A GAN that adapts to a handful of {size} images and draws more of "
        "them.",
        "",
        f"![given images and samples]({PICTURE})",
        "",
        f"The given images are {source}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| trained by | {info['algo']}, {info['meta_step']} meta-steps |",
        f"| networks | {info['architecture']} |",
        f"| data set | {info['dataset']} |",
        f"| licence of the data | {info['data_licence']} |",
        f"| weights | {info['weights_hash']}, stored as {info['stored_as']} |",
        f"| settings | {info['settings_hash']} |",
        f"| written by | tf_metagan {versions['tf-metagan']}, TensorFlow "
        f"{versions['tensorflow']} |",
        f"| a request may hold | {limits['images']} images, {limits['steps']} "
        f"steps, {limits['step_images']} steps times images of a step, "
        f"{limits['samples']} samples, {limits['pixels']} pixels in a file, "
        f"{limits['tasks']} tasks of {limits['row_samples']} samples in a "
        "batch |",
        f"| by default | {defaults['steps']} steps, "
        f"{defaults['num_samples']} samples |",
        "",
        *_metric_lines(info["metrics"]),
        "```python",
        ">>> from tf_metagan import serve",
        f'>>> model = serve.load("{info["name"]}")',
        ">>> answer = model.adapt_and_sample(images, num_samples=16, seed=1)",
        "```",
        "",
        "Images are float32 in [-1, 1]. TensorFlow 2.15.1 or later is enough; "
        "`model.json` describes every signature, its tensors and limits.",
        "",
        "| signature | what it does | inputs | outputs |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | {signature['purpose']} | "
        f"{_columns(signature['inputs'])} | {_columns(signature['outputs'])} |"
        for name, signature in info["signatures"].items()
    ]
    return "\n".join(lines) + "\n"


def _columns(tensors: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{name} {tensor['dtype']} "
        f"[{', '.join('?' if d is None else str(d) for d in tensor['shape'])}]"
        for name, tensor in tensors.items()
    )


def _metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics:
        return ["The weights have not been evaluated.", ""]
    lines = [
        "Numbers of the weights before they were exported:",
        "",
        "| metric | mean | 95 % interval |",
        "| --- | --- | --- |",
    ]
    for content in metrics.values():
        for name, value in content["metrics"].items():
            half = value["ci95"]
            interval = "" if half is None else f"± {half:.3g}"
            lines.append(f"| {name} | {value['mean']:.4g} | {interval} |")
    return [*lines, ""]
