"""From a folder of images to a picture of samples, by any form of export."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tf_metagan.serving import pictures
from tf_metagan.serving.model import Endpoint


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
      picture: a PNG file.
      number: samples in it.
    """

    picture: bytes
    number: int


def draw(
    endpoint: Endpoint, folder: str, asked: Mapping[str, int | float | str]
) -> Drawn:
    """Draw from the images in a folder.

    Args:
      endpoint: a model.
      folder: of PNG or JPEG files, or such a file.
      asked: {flag: value} of those that were given.

    Raises:
      FileNotFoundError: there are no images.
      ValueError: a flag means nothing to this model, or the model refuses.
    """
    form = next((x for x in _FORMS if x in endpoint.signatures), None)
    if form is None:
        raise ValueError(
            "the model has the signatures "
            f"{', '.join(sorted(endpoint.signatures))}; expected "
            f"{' or '.join(_FORMS)}"
        )
    flags, function = _FORMS[form]
    for flag in asked:
        if flag not in flags:
            raise ValueError(
                f"--{flag} has no meaning for this model; expected of "
                f"{', '.join('--' + name for name in flags)}"
            )
    return function(endpoint, pictures.read_images(folder), dict(asked))


def _adapted(
    endpoint: Endpoint, files: list[bytes], asked: dict[str, Any]
) -> Drawn:
    """Draw more of what all images show."""
    answer = endpoint.adapt_and_sample_bytes(files, **asked)
    return Drawn(pictures.grid(answer.samples), len(answer.samples))


def _photographs(
    endpoint: Endpoint, files: list[bytes], asked: dict[str, Any]
) -> Drawn:
    """Draw each photograph again and then samples of it, or of a blend."""
    other, strength = asked.pop("other", None), asked.pop("strength", None)
    if other is None and strength is not None:
        raise ValueError("--strength has no meaning without --other")
    blocks, count = [], 0
    for file in files:
        if other is None:
            rebuilt = endpoint.reconstruct_bytes(file)
            samples = endpoint.sample_bytes(file, **asked)
        else:
            blend = endpoint.interpolate_bytes(
                file, pictures.read(other), strength=strength, **asked
            )
            rebuilt, samples = blend.reconstruction, blend.samples
        blocks.append(pictures.grid([rebuilt, *samples]))
        count += len(samples)
    return Drawn(pictures.grid(blocks, columns=1, zoom=1), count)


_Function = Callable[[Endpoint, list[bytes], dict[str, Any]], Drawn]
_FORMS: dict[str, tuple[tuple[str, ...], _Function]] = {
    "adapt_and_sample_bytes": (("num_samples", "steps", "seed"), _adapted),
    "sample_bytes": (
        (
            "num_samples",
            "width",
            "height",
            "random_from",
            "other",
            "strength",
            "seed",
        ),
        _photographs,
    ),
}
