"""Write a servable model: python -m tf_metagan.export

The command line only; exporting/write.py tells the story.
"""

import dataclasses
import os
import sys

from tf_metagan import cli, evaluate
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_WHAT = "What to export"
_REQUEST = "Requests: what they may ask for, and what they get by default"
_CARD = "Model card"
# The others depend on the run, see exporting/form.py.
_TAKEN = ("run", "output", "weights", "images", "data_dir", "image_folder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Every setting of an export with its default, unit, range and meaning."""

    run: str | None = setting(
        None,
        "Folder of a trained run, or pretrained:NAME.",
        section=_WHAT,
        path=True,
    )
    output: str | None = setting(
        None,
        "Folder of the model; its last part is the model's name. The next free "
        "version is written below it, and appears there when it is complete.",
        section=_WHAT,
        path=True,
    )
    weights: str = setting(
        "float32",
        "Type in which weights are stored; the graph computes in float32. The "
        "others take half the space, at a relative error of 5e-4 (float16) or "
        "4e-3 (bfloat16).",
        section=_WHAT,
        choices=("float32", "float16", "bfloat16"),
    )
    default_steps: int | None = setting(
        None,
        "Steps of adaptation of a request that does not say. None: as many as "
        "the run takes.",
        section=_REQUEST,
        unit="steps",
        interval="[0, inf)",
    )
    default_samples: int | None = setting(
        None,
        "Images to draw for a request that does not say. None: 64, or 16 of a "
        "photograph.",
        section=_REQUEST,
        unit="images",
        interval="[1, inf)",
    )
    max_images: int = setting(
        64,
        "Support images of a request, or its photographs.",
        section=_REQUEST,
        unit="images",
        interval="[1, 100000]",
    )
    max_steps: int = setting(
        200,
        "Steps of adaptation of a request.",
        section=_REQUEST,
        unit="steps",
        interval="[0, 100000]",
    )
    max_samples: int = setting(
        4096,
        "Images that a request draws.",
        section=_REQUEST,
        unit="images",
        interval="[1, 1000000]",
    )
    max_step_images: int | None = setting(
        None,
        "Steps times the images that a step looks at, which is what adaptation "
        "costs. None: --max_steps times the inner batch of the run.",
        section=_REQUEST,
        unit="images",
        interval="[1, 100000000]",
    )
    max_pixels: int = setting(
        2**22,
        "Pixels of an encoded image, refused before it is decoded.",
        section=_REQUEST,
        unit="pixels",
        interval="[1, 1000000000]",
    )
    max_tasks: int = setting(
        16,
        "Tasks of a batch; each draws at most --max_samples / --max_tasks.",
        section=_REQUEST,
        unit="tasks",
        interval="[1, 10000]",
    )
    max_side: int = setting(
        2048,
        "Width and height of what is drawn of a photograph.",
        section=_REQUEST,
        unit="pixels",
        interval="[16, 16384]",
    )
    max_sample_pixels: int | None = setting(
        None,
        "Pixels of all samples of photographs together. None: 2^22, or what "
        "--default_samples of the highest photograph have.",
        section=_REQUEST,
        unit="pixels",
        interval="[256, 1000000000]",
    )
    images: tuple[str, ...] = setting(
        (),
        "PNG or JPEG files, or one folder of them, for the picture. None: "
        "images of unseen classes, or drawings of the model itself where its "
        "data set is not at hand.",
        section=_CARD,
        path=True,
    )
    data_dir: str | None = setting(
        None,
        "Folder of TensorFlow Datasets. None: where training found them.",
        section=_CARD,
        path=True,
    )
    image_folder: str | None = setting(
        None,
        "Folder of images of a run on a folder. None: where training found "
        "them.",
        section=_CARD,
        path=True,
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[ExportConfig]) -> int:
    """Export; TensorFlow is imported here, so that --help is instant."""
    from tf_metagan import assembly, trained_runs
    from tf_metagan.exporting import examples, forms, write

    config = settings.config
    for name in _TAKEN:
        settings.take(name)
    if config.run is None or config.output is None:
        missing = "--run" if config.run is None else "--output"
        raise ValueError(
            f"{missing} is missing: expected a trained run and a folder to "
            "write to. Such as: python -m tf_metagan.export --run=runs/demo "
            "--output=export/models/demo"
        )
    assembly.set_graph_options()
    run = trained_runs.load_run(config.run)
    form = forms.of(run)
    for name in form.asked:
        settings.take(name)
    terms = form.terms(config, run)
    terms.check()
    if config.images:
        shown = form.load(run, config.images[: config.max_images])
        source = "not of its training"
    else:
        shown = examples.of_run(
            run, data_dir=config.data_dir, image_folder=config.image_folder
        )
        source = "of classes that it was not trained on"
    settings.check_all_used()
    write.export(
        run,
        config.output,
        terms,
        examples=shown,
        source=source,
        results=results_of(config.run),
    )
    return cli.EXIT_OK


def results_of(run: str) -> str:
    """Return the folder where evaluations of a run are, if there are any.

    >>> results_of("pretrained:mnist")
    'runs/pretrained_mnist/eval'
    """
    return os.path.dirname(evaluate.results_folder(run, Protocol()))


COMMAND = cli.Command(
    module="tf_metagan.export",
    purpose="Write a trained run as a SavedModel that adapts to images, or to "
    "a photograph, and samples, for TensorFlow Serving, for programs in C and "
    "for TensorFlow pipelines. It needs neither this package nor Keras.",
    examples=(
        "python -m tf_metagan.export --run=runs/demo "
        "--output=export/models/demo",
        "python -m tf_metagan.export --run=pretrained:mnist "
        "--output=export/models/mnist --weights=float16",
    ),
    settings=ExportConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
