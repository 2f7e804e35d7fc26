"""Use the model of a photograph: python -m tf_metagan.apply

The command line only; applications.py does the work.
"""

import dataclasses
import sys
import time

from tf_metagan import cli
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_WHAT = "What to do"
_HOW = "Sizes and noise"
_LEARN = "Fine-tuning"
_RADIUS = {"harmonise": 7.0, "edit": 20.0}
_INJECTED = ("harmonise", "edit", "paint")


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
    )
    mask: str | None = setting(
        None,
        "Picture that is bright where the other one was changed.",
        section=_WHAT,
        path=True,
    )
    output: str = setting(
        "applied.png",
        "Picture to write; a .gif for animate.",
        section=_WHAT,
        path=True,
    )
    num_samples: int = setting(
        16, "Images to draw.", section=_HOW, unit="images", interval="[1, 1000]"
    )
    height: int | None = setting(
        None,
        "Height of samples. None: that of the photograph.",
        section=_HOW,
        unit="pixels",
        interval="[16, 2048]",
    )
    width: int | None = setting(
        None,
        "Width of samples. None: that of the photograph.",
        section=_HOW,
        unit="pixels",
        interval="[16, 2048]",
    )
    random_from: int = setting(
        0,
        "First scale with noise in samples and animation; coarser ones are "
        "those of the photograph, whose layout stays.",
        section=_HOW,
        interval="[0, inf)",
    )
    scale: int = setting(
        2,
        "First scale that draws when a picture is injected, and the first "
        "whose weights are interpolated. Small ones change more. A growing "
        "generator takes pictures at its coarsest stage.",
        section=_HOW,
        interval="[0, inf)",
    )
    space: str = setting(
        "weights",
        "Where models between two photographs lie: between their weights or "
        "between their embeddings. The same without --head_hidden.",
        section=_HOW,
        choices=("weights", "features"),
    )
    factor: float = setting(
        4.0,
        "Factor of both sides for superres.",
        section=_HOW,
        interval="(1, 16]",
    )
    frames: int = setting(
        100,
        "Frames of an animation, ten a second.",
        section=_HOW,
        unit="frames",
        interval="[1, 10000]",
    )
    smoothness: float = setting(
        0.9,
        "Share of its motion that an animation keeps from frame to frame.",
        section=_HOW,
        interval="[0, 1)",
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
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[ApplyConfig]) -> int:
    """Draw; TensorFlow is imported here."""
    from absl import logging

    from tf_metagan import (
        applications,
        assembly,
        photograph_loading,
        sampling,
        trained_runs,
    )

    for name in vars(settings.config):
        settings.take(name)
    config = settings.config
    _check(config)
    assembly.set_graph_options()
    run = trained_runs.load_run(config.run)
    trained_runs.require_photographs(run, "tf_metagan.apply")
    (given,) = photograph_loading.load(run, [config.image])
    if config.task in _INJECTED:
        applications.check_scale(run, given.image, config.scale)
    if config.task == "interpolate":
        applications.check_space(config.space, _finetuning(config))
    if config.task == "superres":
        applications.check_enlarges(run, given.image)
    settings.check_all_used()
    began = time.monotonic()
    if config.task == "animate":
        sampling.save_animation(
            config.output,
            applications.walk(
                _model(config, run, given),
                frames=config.frames,
                smoothness=config.smoothness,
                random_from=config.random_from,
                seed=config.seed,
            ),
        )
    else:
        sampling.save_picture(config.output, _picture(config, run, given))
    seconds = time.monotonic() - began
    logging.info("%s, %.1f s: %s", config.task, seconds, config.output)
    return cli.EXIT_OK


def _check(config: ApplyConfig) -> None:
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
    gif = config.output.lower().endswith(".gif")
    if gif != (config.task == "animate"):
        raise ValueError(
            f"--output={config.output} does not suit --task={config.task}: "
            "expected a .gif for animate and a .png for all else. Name such "
            "a file."
        )


def _finetuning(config: ApplyConfig):
    from tf_metagan import applications

    return applications.Finetuning(
        config.finetune_steps, config.finetune_rate, config.seed
    )


def _model(config: ApplyConfig, run, given):
    from tf_metagan import applications

    return applications.finetuned(run, given.image, _finetuning(config))


def _picture(config: ApplyConfig, run, given):
    """Return what the task draws: uint8 [height, width, 3]."""
    from tf_metagan import applications, pictures
    from tf_metagan.core import rng

    if config.task == "interpolate":
        return _interpolation(config, run, given)
    model = _model(config, run, given)
    seed = rng.make_seed(config.seed)
    if config.task in _INJECTED:
        return _injection(config, run, given, model)
    if config.task == "superres":
        drawn = model.enlarge(given.image[None], config.factor, seed).numpy()
        return pictures.grid({"": drawn[None]}, [""], per_line=1)
    if config.task == "reconstruct":
        columns = {
            "photograph": [given.image[None]],
            "reconstruction": [model.reconstruct().numpy()],
        }
        return applications.grid(columns, [given])
    height, width, _ = given.image.shape
    size = (config.height or height, config.width or width)
    drawn = model.resized(size).sample(
        seed, config.num_samples, random_from=config.random_from
    )
    columns = {"photograph": [given.image[None]], "samples": [drawn.numpy()]}
    return applications.grid(columns, [given])


def _interpolation(config: ApplyConfig, run, given):
    import numpy as np

    from tf_metagan import applications, photograph_loading, pictures

    (other,) = photograph_loading.load(run, [config.other])
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    found = applications.between(
        run,
        given.image,
        other.image,
        strengths=strengths,
        num_samples=min(config.num_samples, 6),
        first_scale=config.scale,
        seed=config.seed,
        space=config.space,
        how=_finetuning(config),
    )
    rebuilt, drawn = (list(x) for x in zip(*found, strict=True))
    return pictures.grid(
        {"reconstruction": np.stack(rebuilt), "samples": np.stack(drawn)},
        [
            f"{(1 - t):.0%} {given.name}, {t:.0%} {other.name}"
            for t in strengths
        ],
        per_line=6,
    )


def _injection(config: ApplyConfig, run, given, model):
    from tf_metagan import applications, photograph_loading

    height, width, _ = given.image.shape
    edited = photograph_loading.load_like(config.other, given)
    mask = None
    if config.mask is not None:
        mask = photograph_loading.load_mask(config.mask, (height, width))
    drawn = applications.injected(
        run,
        model,
        edited,
        scale=config.scale,
        mask=mask,
        radius=_RADIUS.get(config.task, 0.0),
    )
    columns = {
        "photograph": [given.image[None]],
        "given": [edited[None]],
        "drawn": [drawn[None]],
    }
    return applications.grid(columns, [given])


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
