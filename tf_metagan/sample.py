"""Draw more of what a few images show: python -m tf_metagan.sample

Adapts a trained run to the images and writes a picture of samples.
"""

import dataclasses
import sys
import time

from tf_metagan import cli
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_SECTION = "Sampling"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Every setting of sampling with its default, unit, range and meaning."""

    run: str | None = setting(
        None,
        "Folder of a trained run, the --logdir of training.",
        section=_SECTION,
        path=True,
    )
    images: tuple[str, ...] = setting(
        (),
        "PNG or JPEG files, or one folder of them: what to draw more of.",
        section=_SECTION,
        path=True,
    )
    num_samples: int = setting(
        64,
        "Images to draw.",
        section=_SECTION,
        unit="images",
        interval="[1, 10000]",
    )
    steps: int | None = setting(
        None,
        "Steps of adaptation. None: as many as in training; 0 draws from the "
        "meta-weights.",
        section=_SECTION,
        unit="steps",
        interval="[0, 10000]",
    )
    invert: bool = setting(
        False,
        "Exchange bright and dark in the images first. The runs on drawn "
        "characters here know bright strokes on dark ground.",
        section=_SECTION,
    )
    seed: int = setting(
        0,
        "Root of all random numbers; equal seeds give equal pictures.",
        section=_SECTION,
        interval="[0, 2147483647]",
    )
    output: str = setting(
        "samples.png",
        "Picture to write: the given images beside the drawn ones.",
        section=_SECTION,
        path=True,
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[SampleConfig]) -> int:
    """Adapt and draw; TensorFlow is imported here."""
    from absl import logging

    from tf_metagan import assembly, sampling, trained_runs

    for name in vars(settings.config):
        settings.take(name)
    config = settings.config
    if config.run is None or not config.images:
        missing = "--run" if config.run is None else "--images"
        raise ValueError(
            f"{missing} is missing: expected the folder of a trained run and "
            "some images. Such as: python -m tf_metagan.sample --run=runs/demo "
            "--images=my_images"
        )
    assembly.set_graph_options()
    run = trained_runs.load_run(config.run)
    if run.algorithm.game.model is not None:
        return _sample_photographs(settings, run)
    support = sampling.load_support(run, config.images, invert=config.invert)
    settings.check_all_used()
    began = time.monotonic()
    drawn = sampling.draw(
        run,
        support,
        num_samples=config.num_samples,
        steps=config.steps,
        seed=config.seed,
    )
    seconds = time.monotonic() - began
    sampling.write_picture(config.output, support, drawn)
    logging.info(
        "%d images, %d samples, %.1f s: %s",
        len(support),
        len(drawn),
        seconds,
        config.output,
    )
    return cli.EXIT_OK


def _sample_photographs(settings: Settings[SampleConfig], run) -> int:
    """Draw from the model of each photograph."""
    from absl import logging

    from tf_metagan import applications, photograph_loading, sampling

    config = settings.config
    if config.steps or config.invert:
        raise ValueError(
            "--steps and --invert have no effect on a run that models "
            "photographs by one forward pass. Remove them."
        )
    given = photograph_loading.load(run, config.images)
    settings.check_all_used()
    began = time.monotonic()
    picture = applications.overview(
        run, given, num_samples=config.num_samples, seed=config.seed
    )
    seconds = time.monotonic() - began
    sampling.save_picture(config.output, picture)
    logging.info(
        "%d photographs, %d samples of each, %.1f s: %s",
        len(given),
        config.num_samples,
        seconds,
        config.output,
    )
    return cli.EXIT_OK


COMMAND = cli.Command(
    module="tf_metagan.sample",
    purpose="Adapt a trained run to a handful of images and draw more of what "
    "they show.",
    examples=(
        "python -m tf_metagan.sample --run=runs/demo --images=my_images",
        "python -m tf_metagan.sample --run=runs/demo --images=a.png,b.png "
        "--num_samples=16 --output=more.png",
    ),
    settings=SampleConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
