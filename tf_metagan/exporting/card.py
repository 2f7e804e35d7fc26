"""README.md of an exported model, for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from tf_metagan.exporting.form import Example, Form
from tf_metagan.serve import Model

FILE = "README.md"
PICTURE = "samples.png"


def write(
    folder: Path,
    model: Model,
    form: Form,
    examples: list[Example],
    *,
    source: str,
) -> None:
    """Write the card and its picture.

    Args:
      folder: to write to.
      model: loaded from there; draws the picture.
      form: of the export.
      examples: one row of the picture each, with equally many images.
      source: where the examples are from.
    """
    picture = form.picture(model, examples)
    PIL.Image.fromarray(picture).save(folder / PICTURE)
    text = _text(model.info, form, source)
    (folder / FILE).write_text(text, encoding="utf-8")


def _text(info: Mapping[str, Any], form: Form, source: str) -> str:
    versions = info["versions"]
    lines = [
        f"# {info['name']}, version {info['version']}",
        "",
        form.promise(info),
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
        *(f"| {name} | {value} |" for name, value in form.bounds(info).items()),
        "",
        *_metric_lines(info["metrics"]),
        "```python",
        ">>> from tf_metagan import serve",
        f'>>> model = serve.load("{info["name"]}")',
        f">>> {form.usage()}",
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
