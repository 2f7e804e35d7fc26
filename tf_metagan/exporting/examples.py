"""Images to show what an exported model does."""

import dataclasses

import numpy as np
from absl import logging

from tf_metagan import assembly, trained_runs
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.data import base as data
from tf_metagan.exporting.form import Example

_CLASSES = 4
_SHOTS = 8


def of_run(
    run: trained_runs.Run, *, data_dir: str | None, image_folder: str | None
) -> list[Example]:
    """Return images of classes that a run kept for the test.

    Args:
      run: a trained run.
      data_dir: folder of TensorFlow Datasets; None: where training found them.
      image_folder: folder of images; None: where training found them.

    Returns:
      A few classes with equally many images; none where the data set is not
      on this machine, which is said in the log.
    """
    values = dataclasses.asdict(run.settings.config)
    values["data_dir"] = data_dir or values["data_dir"]
    values["image_folder"] = image_folder or values["image_folder"]
    settings = settings_lib.Settings(Config, [(values, False)])
    try:
        images = assembly.load_images(settings)
    except OSError as error:
        logging.info("no images for the model card: %s", error)
        return []
    data.check_split(run.split, images)
    rows = data.class_rows(images, run.split.test)
    count = min(_SHOTS, int(np.diff(images.first)[rows].min()))
    return [
        Example(
            images.name[row],
            data.to_range(images.images[begin : begin + count, :height]),
        )
        for row in rows[:_CLASSES]
        for begin in [images.first[row]]
        for height in [None if images.height is None else images.height[row]]
    ]
