"""Scores of models of photographs, and what they cost.

No network is trained for any of them; SIFID needs weights of Inception-v3.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_metagan import stopwatch
from tf_metagan.core import rng
from tf_metagan.evaluation import progress
from tf_metagan.metrics import base, patch_kid, sifid, single_image
from tf_metagan.trained_runs import Run

SWD = "swd_laplacian"
ITSELF = "swd_laplacian_of_itself"

_CLOCKS = ("seconds each", "CPU seconds each")


class Subject(NamedTuple):
    """A photograph that is scored.

    Attributes:
      name: of its file, or of the class.
      image: [H, W, C] in [-1, 1].
      group: "seen" or "unseen" in training, or "given".
    """

    name: str
    image: np.ndarray
    group: str


class Protocol(NamedTuple):
    """What is drawn and compared.

    Attributes:
      samples: images of each model.
      levels: of the Laplacian pyramid.
      seed: of samples, patches and directions.
    """

    samples: int
    levels: int
    seed: int


def check(subjects: Iterable[Subject], protocol: Protocol) -> None:
    """Refuse photographs that cannot be scored, before any is.

    Args:
      subjects: photographs.
      protocol: levels of the pyramid.

    Raises:
      ValueError: one is too small for the patches, or of one grey.
    """
    for subject in subjects:
        image, twice = subject.image, np.stack([subject.image] * 2)
        try:
            single_image.patch_swd(
                image,
                twice,
                levels=protocol.levels,
                seed=protocol.seed,
                patches=2,
                projections=1,
            )
            single_image.pixel_diversity(twice, image)
            single_image.ssim(image, image)
        except ValueError as error:
            raise ValueError(
                f"{subject.name} cannot be scored: {error} Or leave it out."
            ) from error


class Drawn(NamedTuple):
    """What a model draws of its photograph [H, W, C].

    Attributes:
      samples: [n, H, W, C].
      rebuilt: [H, W, C], from z*.
    """

    samples: np.ndarray
    rebuilt: np.ndarray


def draw(model: Any, image: np.ndarray, protocol: Protocol) -> Drawn:
    """Draw what is scored.

    Args:
      model: a `gan.single_image.Model`.
      image: [H, W, C] in [-1, 1], the photograph.
      protocol: number of samples and seed.
    """
    root = rng.make_seed(protocol.seed)
    samples = model.sample_in_parts(root, protocol.samples)
    return Drawn(samples.numpy(), model.reconstruct().numpy()[0])


def score(
    drawn: Drawn,
    image: np.ndarray,
    protocol: Protocol,
    nets: Sequence[sifid.Places] = (),
) -> dict[str, float]:
    """Compare what a model draws with its photograph.

    Args:
      drawn: samples and reconstruction.
      image: [H, W, C] in [-1, 1], the photograph.
      protocol: levels and seed.
      nets: for SIFID, one of each number of channels.

    Returns:
      {metric: value}; `swd_laplacian` is the mean over its levels.

    Raises:
      ValueError: the photograph is too small for the patches.
    """
    fakes, rebuilt = drawn
    apart, itself = (
        single_image.patch_swd(
            image, others, levels=protocol.levels, seed=protocol.seed
        )
        for others in (fakes, image[np.newaxis])
    )
    kid = patch_kid.patch_kid(image, fakes, seed=protocol.seed)
    return {
        SWD: float(np.mean(apart)),
        **{f"{SWD}_level{i}": x for i, x in enumerate(apart)},
        ITSELF: float(np.mean(itself)),
        patch_kid.NAME: kid.mean,
        "diversity": single_image.pixel_diversity(fakes, image),
        "psnr_reconstruction": single_image.psnr(image, rebuilt),
        "ssim_reconstruction": single_image.ssim(image, rebuilt),
        **{
            f"sifid_{net.channels}": sifid.sifid(image, fakes, net)
            for net in nets
        },
    }


def means(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return {group: {metric: Estimate over its photographs}}.

    Args:
      rows: of photographs: {"group": name, "scores": {metric: value}}.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["scores"])
    return {
        group: {
            name: base.estimate([x[name] for x in found]) for name in found[0]
        }
        for group, found in groups.items()
    }


def seconds_of(draw: Callable[[], Any]) -> dict[str, float]:
    """Return what a call takes when it is made a second time, by each clock."""
    draw()
    watch = stopwatch.Stopwatch()
    draw()
    return watch.so_far()


def cost(run: Run, folder: str) -> dict[str, Any]:
    """Return what training took, in all and for each photograph.

    Seconds are None where the folder holds no log, as of a packed run.
    """
    count = len(run.split.train)
    found: dict[str, Any] = {
        "training_photographs": count,
        "meta_steps": run.meta_step,
    }
    for clock in stopwatch.CLOCKS:
        seconds = progress.training_seconds(Path(folder), clock)
        found[f"training_{clock}"] = seconds
        found[f"training_{clock}_per_photograph"] = (
            None if seconds is None else seconds / count
        )
    return found


def table(systems: Sequence[dict[str, Any]]) -> str:
    """Return results as Markdown: means, then a line per photograph.

    Args:
      systems: {"run", "algo", "cost", "means", "photographs"} of each run.
    """
    names = list(systems[0]["photographs"][0]["scores"])
    heads = ["run", "photographs", *_CLOCKS, *names]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for system in systems:
        for group, found in system["means"].items():
            count = found[names[0]].n
            lines.append(
                _line(
                    [
                        f"{system['algo']}, {system['run']}",
                        f"{group} ({count})",
                        *_seconds(system, group),
                        *(_number(found[name]) for name in names),
                    ]
                )
            )
    heads = ["photograph", "run", *_CLOCKS, *names]
    lines += ["", _line(heads), _line(["---"] * len(heads))]
    rows = [
        (row["name"], number, row, system)
        for number, system in enumerate(systems)
        for row in system["photographs"]
    ]
    for name, _, row, system in sorted(rows, key=lambda x: x[:2]):
        values = (f"{row['scores'][x]:.4g}" for x in names)
        cells = [name, f"{system['algo']}, {system['run']}"]
        lines.append(_line([*cells, *_seconds(system, row["group"]), *values]))
    return "\n".join(lines) + "\n"


def _seconds(system: dict[str, Any], group: str) -> Iterator[str]:
    """Yield what a model costs by each clock.

    That is training, but a forward pass if unseen; either way with what it
    learned afterwards.
    """
    cost = system["cost"]
    for clock in stopwatch.CLOCKS:
        learning = cost[f"finetuning_{clock}"]
        share = cost[f"training_{clock}_per_photograph"]
        if group != "seen":
            yield f"{cost[f'forward_{clock}'] + learning:.2f}"
        elif share is None:
            yield "unknown"
        else:
            yield f"{share + learning:.0f}"


def _number(found: base.Estimate) -> str:
    if found.n < 2 or not np.isfinite(found.ci95):
        return f"{found.mean:.4g}"
    return f"{found.mean:.4g} ± {found.ci95:.2g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
