"""Use the model of a photograph: python -m tf_metagan.apply

The command line only; applications.py does the work.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

from tf_metagan import cli
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_WHAT = "What to do"
_HOW = "Sizes and noise"
_LEARN = "Fine-tuning"
_RADIUS = {"harmonise": 7.0, "edit": 20.0}
_INJECTED = ("harmonise", "edit", "paint")
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_PER_LINE = 6  # samples of a model in between
_FIRST_DRAWN = 2  # scale, where a picture is injected
_ALWAYS = ("run", "task", "image", "output", "finetune_steps")
_OF_TASK = {
    "samples": ("num_samples", "height", "width", "random_from", "seed"),
    "reconstruct": (),
    **dict.fromkeys(_INJECTED, ("other", "mask", "scale")),
    "superres": ("factor", "seed"),
    "animate": ("frames", "smoothness", "random_from", "seed"),
    "interpolate": ("other", "num_samples", "scale", "space", "seed"),
}
_OF_FINETUNING = ("finetune_rate", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplyConfig:
    """Every setting with its default, unit, range and meaning."""

    run: str | None = setting(
        None,
        "Folder of a run of internal learning.",
        section=_WHAT,
        path=True,
    )
    task: str = setting(
        "samples",
        "samples, also in another size; reconstruct; harmonise, edit: draw a "
        "changed picture again where it was changed; paint: draw a sketch as "
        "the photograph; superres: enlarge; animate: a GIF; interpolate: "
        "models between two photographs.",
        section=_WHAT,
        choices=(
            "samples",
            "reconstruct",
            "harmonise",
            "edit",
            "paint",
            "superres",
            "animate",
            "interpolate",
        ),
    )
    image: str | None = setting(
        None,
        "The photograph that is modelled; it need not be of the training.",
        section=_WHAT,
        path=True,
    )
    other: str | None = setting(
        None,
        "The changed picture, the sketch, or the second photograph.",
        section=_WHAT,
        path=True,
        chosen_by="task",
    )
    mask: str | None = setting(
        None,
        "Picture that is bright where the other one was changed.",
        section=_WHAT,
        path=True,
        chosen_by="task",
    )
    output: str = setting(
        "applied.png",
        "Picture to write; a .gif for animate.",
        section=_WHAT,
        path=True,
    )
    num_samples: int | None = setting(
        None,
        f"Images to draw. None: 16, or {_PER_LINE} of each model for "
        "interpolate.",
        section=_HOW,
        unit="images",
        interval="[1, 1000]",
        chosen_by="task",
    )
    height: int | None = setting(
        None,
        "Height of samples. None: that of the photograph.",
        section=_HOW,
        unit="pixels",
        interval="[16, 2048]",
        chosen_by="task",
    )
    width: int | None = setting(
        None,
        "Width of samples. None: that of the photograph.",
        section=_HOW,
        unit="pixels",
        interval="[16, 2048]",
        chosen_by="task",
    )
    random_from: int = setting(
        0,
        "First scale with noise in samples and animation; coarser ones are "
        "those of the photograph, whose layout stays.",
        section=_HOW,
        interval="[0, inf)",
        chosen_by="task",
    )
    scale: int | None = setting(
        None,
        "First scale that draws when a picture is injected, and the first "
        "whose weights are interpolated. Small ones change more. None: "
        f"{_FIRST_DRAWN}, and 0 to interpolate. A growing generator takes "
        "pictures at its coarsest stage.",
        section=_HOW,
        interval="[0, inf)",
        chosen_by="task",
    )
    space: str = setting(
        "weights",
        "Where models between two photographs lie: between their weights or "
        "between their embeddings. The same without --head_hidden.",
        section=_HOW,
        choices=("weights", "features"),
        chosen_by="task",
    )
    factor: float = setting(
        4.0,
        "Factor of both sides for superres.",
        section=_HOW,
        interval="(1, 16]",
        chosen_by="task",
    )
    frames: int = setting(
        100,
        "Frames of an animation, ten a second.",
        section=_HOW,
        unit="frames",
        interval="[1, 10000]",
        chosen_by="task",
    )
    smoothness: float = setting(
        0.9,
        "Share of its motion that an animation keeps from frame to frame.",
        section=_HOW,
        interval="[0, 1)",
        chosen_by="task",
    )
    seed: int = setting(
        0,
        "Root of all random numbers; equal seeds give equal pictures.",
        section=_HOW,
        interval="[0, 2147483647]",
    )

    finetune_steps: int = setting(
        0,
        "Steps that the model takes on the photograph at each scale before it "
        "draws, D and G one each. 0: it is as the hypernetwork made it.",
        section=_LEARN,
        unit="steps",
        interval="[0, 100000]",
    )
    finetune_rate: float = setting(
        5e-4,
        "Step size of Adam in these steps.",
        section=_LEARN,
        interval="(0, inf)",
        chosen_by="finetune_steps",
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[ApplyConfig]) -> int:
    """Draw; TensorFlow is imported here."""
    from absl import logging

    from tf_metagan import assembly, sampling, trained_runs

    config = settings.config
    _check(config)
    for name in (*_ALWAYS, *_OF_TASK[config.task]):
        settings.take(name)
    if config.finetune_steps:
        for name in _OF_FINETUNING:
            settings.take(name)
    assembly.set_graph_options()
    run = trained_runs.load_run(config.run)
    trained_runs.require_photographs(run, "tf_metagan.apply")
    work = _prepare(config, run)
    settings.check_all_used()
    began = time.monotonic()
    if config.task == "animate":
        sampling.save_animation(config.output, work())
    else:
        sampling.save_picture(config.output, work())
    seconds = time.monotonic() - began
    logging.info("%s, %.1f s: %s", config.task, seconds, config.output)
    return cli.EXIT_OK


def _check(config: ApplyConfig) -> None:
    from tf_metagan.data import picture_files

    needed = {"run": config.run, "image": config.image}
    if config.task in (*_INJECTED, "interpolate"):
        needed["other"] = config.other
    missing = [f"--{name}" for name, value in needed.items() if value is None]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is missing for --task={config.task}. Such "
            "as: python -m tf_metagan.apply --run=runs/places "
            "--task=interpolate --image=a.jpg --other=b.jpg"
        )
    moving = config.task == "animate"
    endings = (".gif",) if moving else picture_files.SUFFIXES
    if not config.output.lower().endswith(endings):
        raise ValueError(
            f"--output={config.output} does not suit --task={config.task}: "
            "expected a .gif for animate and a .png for all else. Name such "
            "a file."
        )


def _prepare(config: ApplyConfig, run) -> Callable[[], Any]:
    """Load and check everything that a task needs.

    Returns:
      () -> what the task draws: uint8 [height, width, 3], or for animate the
      frames [H, W, C].
    """
    from tf_metagan import (
        applications,
        photograph_loading,
        photograph_models,
    )

    given = photograph_loading.load_one(run, config.image)
    how = photograph_models.Finetuning(
        config.finetune_steps, config.finetune_rate, config.seed
    )
    photograph_models.check_finetuning(run, how, [given.image])
    if config.task == "interpolate":
        applications.check_scale(run, config.scale or 0, least=0)
        applications.check_space(run, config.space, how)
        other = photograph_loading.load_one(run, config.other)
        photograph_models.check_finetuning(run, how, [other.image])
        return lambda: _interpolation(config, run, given, other, how)
    applications.check_random_from(run, config.random_from)
    model = photograph_models.model_of(run, given.image)

    def learned():
        if not how.steps:
            return model
        return photograph_models.finetuner(run, how)(given.image)

    if config.task in _INJECTED:
        scale = _FIRST_DRAWN if config.scale is None else config.scale
        applications.check_scale(run, scale, least=1)
        edited = photograph_loading.load_like(config.other, given)
        mask = None
        if config.mask is not None:
            size = given.image.shape[:2]
            mask = photograph_loading.load_mask(config.mask, size)
        return lambda: _injection(
            config, run, given, learned(), edited, mask, scale
        )
    if config.task == "animate":
        return lambda: applications.walk(
            learned(),
            frames=config.frames,
            smoothness=config.smoothness,
            random_from=config.random_from,
            seed=config.seed,
        )
    if config.task == "superres":
        applications.check_enlarges(run, model)
    return lambda: _picture(config, given, learned())


def _picture(config: ApplyConfig, given, model):
    """Draw what needs one photograph alone."""
    from tf_metagan import pictures
    from tf_metagan.core import rng

    seed = rng.make_seed(config.seed)
    if config.task == "superres":
        drawn = model.enlarge(given.image[None], config.factor, seed).numpy()
        return pictures.grid({"": drawn[None]}, [""], per_line=1)
    columns = {"photograph": [given.image[None]]}
    if config.task == "reconstruct":
        columns["reconstruction"] = [model.reconstruct().numpy()]
    else:
        height, width, _ = given.image.shape
        size = (config.height or height, config.width or width)
        drawn = model.resized(size).sample_in_parts(
            seed, config.num_samples or 16, random_from=config.random_from
        )
        columns["samples"] = [drawn.numpy()]
    return pictures.grid(columns, [given.name])


def _interpolation(config: ApplyConfig, run, given, other, how):
    from tf_metagan import applications, pictures

    found = applications.between(
        run,
        given.image,
        other.image,
        strengths=_STRENGTHS,
        num_samples=config.num_samples or _PER_LINE,
        first_scale=config.scale or 0,
        seed=config.seed,
        space=config.space,
        how=how,
    )
    rebuilt, drawn = zip(*found, strict=True)
    return pictures.grid(
        {"reconstruction": rebuilt, "samples": drawn},
        [
            f"{(1 - t):.0%} {given.name}, {t:.0%} {other.name}"
            for t in _STRENGTHS
        ],
        per_line=_PER_LINE,
    )


def _injection(config: ApplyConfig, run, given, model, edited, mask, scale):
    from tf_metagan import applications, pictures

    drawn = applications.injected(
        run,
        model,
        edited,
        scale=scale,
        mask=mask,
        radius=_RADIUS.get(config.task, 0.0),
    )
    columns = {
        "photograph": [given.image[None]],
        "given": [edited[None]],
        "drawn": [drawn[None]],
    }
    return pictures.grid(columns, [given.name])


COMMAND = cli.Command(
    module="tf_metagan.apply",
    purpose="Use the GAN that a run of internal learning makes of a "
    "photograph: samples of any size, edits, animations, interpolation.",
    examples=(
        "python -m tf_metagan.apply --run=runs/places --image=a.jpg "
        "--task=samples --width=200",
        "python -m tf_metagan.apply --run=runs/places --image=a.jpg "
        "--task=animate --output=a.gif",
        "python -m tf_metagan.apply --run=runs/places --image=a.jpg "
        "--finetune_steps=200",
    ),
    settings=ApplyConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
