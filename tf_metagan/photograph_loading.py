"""Photographs that a run is given: from files, from its data set, drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from tf_metagan import assembly, registry
from tf_metagan.data import base as data
from tf_metagan.data import picture_files, pixels
from tf_metagan.evaluation import photographs
from tf_metagan.trained_runs import Run

MOST_ASPECT = 8
"""Longer by shorter side of a photograph that is given after training."""


class Photograph(NamedTuple):
    """A picture in the width of a run.

    Attributes:
      name: of its file.
      image: [H, W, C] in [-1, 1].
    """

    name: str
    image: np.ndarray


def landscapes(
    number: int, *, width: int, channels: int, seed: int = 0
) -> np.ndarray:
    """Draw landscapes by formula, photographs that need no file.

    Args:
      number: how many.
      width: in pixels.
      channels: 1 or 3.
      seed: of all that is random.

    Returns:
      uint8 [number, height, width, channels].
    """
    draw = registry.find(registry.DATASETS, "landscapes")
    drawn: np.ndarray = draw(
        image_size=width, channels=channels, num_classes=number, seed=seed
    ).images
    return drawn


def load(run: Run, images: Sequence[str]) -> list[Photograph]:
    """Load photographs in the width and channels of a run.

    Args:
      run: a run that models photographs.
      images: files, or folders of which all pictures are taken.

    Raises:
      FileNotFoundError: no such file or folder.
      OSError: a broken file.
      ValueError: no pictures, one that is too long, or one that the run does
        not model.
    """
    found = [_load_one(run, path) for path in picture_files.collect(images)]
    for name, image in found:
        if not run.algorithm.game.knows(run.vars, image):
            raise ValueError(
                f"{name} is not the photograph that this run was trained on, "
                f"and --algo={run.settings.config.algo} models no other. Give "
                "that one, or use a run of --algo=internal."
            )
    return found


def load_one(run: Run, path: str) -> Photograph:
    """Load one photograph; see `load`.

    Raises:
      ValueError: the path is of a folder with several, or see `load`.
    """
    found = load(run, [path])
    if len(found) > 1:
        raise ValueError(
            f"{path} holds {len(found)} pictures; expected one photograph. "
            f"Name one of them, such as {found[0].name}."
        )
    return found[0]


def loaded_again(
    run: Run, images: Sequence[str] = ()
) -> list[photographs.Subject]:
    """Load photographs that a run can model, to be scored.

    Args:
      run: a run that models photographs.
      images: files or folders; those of its data set if there are none.

    Returns:
      Those that the run can model. Of a run of one photograph that one is
      "seen", wherever it was loaded from.

    Raises:
      OSError: a file or the data set is gone or broken.
      ValueError: the data set is not that of the run, or a file is too long.
    """
    if images:
        group = "seen" if run.algorithm.one_task else "given"
        found = [
            photographs.Subject(*_load_one(run, path), group)
            for path in picture_files.collect(images)
        ]
    else:
        found = _data_of(run)
    game = run.algorithm.game
    return [x for x in found if game.knows(run.vars, x.image)]


def _data_of(run: Run) -> list[photographs.Subject]:
    source = assembly.load_images(run.settings)
    data.check_split(run.split, source)
    found = []
    for place, label in enumerate(source.label.tolist()):
        image = data.to_range(source.images[source.first[place]])
        if source.height is not None:
            image = image[: source.height[place]]
        group = "seen" if label in run.split.train else "unseen"
        found.append(photographs.Subject(source.name[place], image, group))
    return found


def _load_one(run: Run, path: Path) -> Photograph:
    """Load a photograph in its own aspect; the only one in that of training.

    Noise of another height is not the z* that stands for the photograph.
    """
    config = run.settings.config
    picture = picture_files.open_plain(path)
    if not run.algorithm.one_task:
        _check_aspect(path, picture.size)
    fitted = pixels.fit_width(
        picture,
        image_size=config.image_size,
        channels=config.channels or 3,
        aspects=pixels.ASPECTS if run.algorithm.one_task else None,
    )
    return Photograph(path.name, data.to_range(fitted))


def _check_aspect(path: Path, size: tuple[int, int]) -> None:
    """Refuse a picture that leaves no row of pixels at the coarsest scale.

    Nor one so high that its pixels have no end.
    """
    short, long = sorted(size)
    if long > MOST_ASPECT * short:
        raise ValueError(
            f"{path} has {size[0]} x {size[1]} pixels; expected an aspect "
            f"between 1 : {MOST_ASPECT} and {MOST_ASPECT} : 1. "
            "Crop it."
        )


def load_like(path: str, given: Photograph) -> np.ndarray:
    """Load a picture in the size of a photograph: [H, W, C] in [-1, 1]."""
    height, width, channels = given.image.shape
    picture = picture_files.open_plain(picture_files.existing(path))
    picture = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    fitted = pixels.fit_width(
        picture, image_size=width, channels=channels, aspects=None
    )
    return data.to_range(fitted)


def load_mask(path: str, size: tuple[int, int]) -> np.ndarray:
    """Load a mask: [height, width], 1 where a picture is bright, else 0.

    Raises:
      ValueError: nothing is bright.
    """
    picture = picture_files.open_plain(
        picture_files.existing(path), ground="black"
    )
    picture = picture.convert("L").resize(size[::-1], PIL.Image.Resampling.BOX)
    mask = (np.asarray(picture) > 127).astype(np.float32)
    if not mask.any():
        raise ValueError(
            f"--mask={path} is dark everywhere in {size[1]} x {size[0]} pixels,"
            " the size of the photograph; expected a picture that is bright "
            "where the other one was changed. Paint larger parts of it white."
        )
    return mask
