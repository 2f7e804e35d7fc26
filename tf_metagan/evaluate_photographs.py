"""Score models of photographs: python -m tf_metagan.evaluate_photographs

The command line only; evaluation/photographs.py says what is measured.
"""

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from tf_metagan import cli, stopwatch
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_WHAT = "What to evaluate"
_HOW = "Protocol"
_WHERE = "Networks and results"

RESULTS = os.path.join("eval", "photographs")  # in the folder of the run
SCORES = "scores"  # not the name of what evaluate writes


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatePhotographsConfig:
    """Every setting of an evaluation of models of photographs."""

    run: tuple[str, ...] = setting(
        (),
        "Folders of runs that model photographs; several are compared on the "
        "photographs that all runs of a single photograph were trained on.",
        section=_WHAT,
        path=True,
    )
    images: tuple[str, ...] = setting(
        (),
        "Photographs, or a folder of them. None: those of the runs, seen and "
        "unseen in training.",
        section=_WHAT,
        path=True,
    )
    photographs: int | None = setting(
        None,
        "Most photographs of each kind, the first ones. None: all.",
        section=_WHAT,
        interval="[1, inf)",
    )
    samples: int = setting(
        50,
        "Images to draw of each model.",
        section=_HOW,
        unit="images",
        interval="[2, inf)",
    )
    levels: int = setting(
        3,
        "Levels of the Laplacian pyramid whose patches are compared.",
        section=_HOW,
        interval="[1, 8]",
    )
    seed: int = setting(
        0,
        "Root of samples, patches and directions; equal seeds give equal "
        "numbers.",
        section=_HOW,
        interval="[0, 2147483647]",
    )
    finetune_steps: int = setting(
        0,
        "Steps that a model takes on its photograph at each scale before it is "
        "scored, D and G one each. Not for runs of one photograph, which have "
        "learned from it.",
        section=_HOW,
        unit="steps",
        interval="[0, 100000]",
    )
    finetune_rate: float = setting(
        5e-4,
        "Step size of Adam in these steps.",
        section=_HOW,
        interval="(0, inf)",
        chosen_by="finetune_steps",
    )
    inception_weights: str | None = setting(
        None,
        "File with the weights of Keras's InceptionV3, for SIFID before the "
        "first pooling (64 channels) and the second (192); download fetches "
        "Keras's own, once. None: no SIFID.",
        section=_WHERE,
        path=True,
    )
    output: str | None = setting(
        None,
        f"Folder of {SCORES}.json, {SCORES}.md and photographs.png. None: "
        f"{RESULTS} in that of the first run.",
        section=_WHERE,
        path=True,
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[EvaluatePhotographsConfig]) -> int:
    """Evaluate; TensorFlow is imported here, so that --help is instant."""
    from absl import logging

    from tf_metagan import assembly, photograph_models, trained_runs, versions
    from tf_metagan.data import atomic
    from tf_metagan.evaluation import photographs, pictures, store

    config = settings.config
    for name in vars(config):
        if config.finetune_steps or name != "finetune_rate":
            settings.take(name)
    if not config.run:
        raise ValueError(
            "--run is missing: expected folders of runs that model "
            "photographs. Such as: python -m tf_metagan.evaluate_photographs "
            "--run=runs/places"
        )
    assembly.set_graph_options()
    runs = {folder: trained_runs.load_run(folder) for folder in config.run}
    for run in runs.values():
        trained_runs.require_photographs(run, "tf_metagan.evaluate_photographs")
    subjects = _subjects(config, runs)
    nets = _nets(config)
    protocol = photographs.Protocol(config.samples, config.levels, config.seed)
    how = photograph_models.Finetuning(
        config.finetune_steps, config.finetune_rate, config.seed
    )
    for name, run in runs.items():
        photographs.check(subjects[name], protocol)
        if not run.algorithm.one_task:
            images = [subject.image for subject in subjects[name]]
            photograph_models.check_finetuning(run, how, images)
    settings.check_all_used()
    folder = config.output or os.path.join(config.run[0], RESULTS)
    os.makedirs(folder, exist_ok=True)
    systems, shown = zip(
        *(
            _evaluated(run, name, subjects[name], protocol, nets, how)
            for name, run in runs.items()
        ),
        strict=True,
    )
    words = [settings.as_flag(name) for name in settings.given]
    store.write_json(
        os.path.join(folder, f"{SCORES}.json"),
        {
            "format": store.FORMAT,
            "command": shlex.join(
                ["python", "-m", "tf_metagan.evaluate_photographs", *words]
            ),
            "protocol": protocol._asdict(),
            "finetuning": how._asdict(),
            "inception": [net.name for net in nets],
            "systems": systems,
            "versions": versions.installed(),
            "commit": versions.git_commit(),
        },
    )
    text = photographs.table(systems)
    with atomic.replacement(os.path.join(folder, f"{SCORES}.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    pictures.write_photographs(
        Path(folder),
        subjects[config.run[0]],
        {
            f"{system['algo']}, {system['run']}": drawn
            for system, drawn in zip(systems, shown, strict=True)
        },
    )
    logging.info("\n%s", text)
    logging.info("results: %s", folder)
    return cli.EXIT_OK


def _subjects(config: EvaluatePhotographsConfig, runs: dict) -> dict:
    """Return {folder of a run: photographs that it is scored on}."""
    from tf_metagan import photograph_loading

    found = {
        folder: photograph_loading.loaded_again(run, config.images)
        for folder, run in runs.items()
    }
    single = [
        (run.algorithm.game, run.vars, found[folder])
        for folder, run in runs.items()
        if run.algorithm.one_task
    ]
    for folder, given in found.items():
        if single:
            given = _common(given, single)
        if config.photographs is not None:
            given = _first(given, config.photographs)
        if not given:
            raise ValueError(
                f"{folder} models none of the photographs asked for. Name some "
                "that it can by --images, or compare other runs."
            )
        found[folder] = given
    return found


def _common(subjects: list, single: list) -> list:
    """Return those that runs of one photograph know, by their names of them."""
    found = []
    for x in subjects:
        names = [
            own[0].name
            for game, vars, own in single
            if own and game.knows(vars, x.image)
        ]
        found += [x._replace(name=names[0])] if names else []
    return found


def _first(subjects: list, count: int) -> list:
    """Return the first of every group."""
    groups: dict[str, list] = {}
    for x in subjects:
        groups.setdefault(x.group, []).append(x)
    return [x for group in groups.values() for x in group[:count]]


def _nets(config: EvaluatePhotographsConfig) -> tuple[Any, ...]:
    if config.inception_weights is None:
        return ()
    from tf_metagan.metrics import sifid

    return sifid.places(config.inception_weights, channels=sifid.LAYERS)


def _evaluated(
    run, folder: str, subjects, protocol, nets, how
) -> tuple[dict[str, Any], dict]:
    """Return all results of a run, and some of what it draws of each."""
    from absl import logging

    from tf_metagan import photograph_models
    from tf_metagan.core import rng
    from tf_metagan.evaluation import photographs, pictures

    if run.algorithm.one_task:
        how = photograph_models.NONE
    model_of = photograph_models.finetuner(run, how)
    rows = []
    shown: dict[str, photographs.Drawn] = {}
    learning = dict.fromkeys(stopwatch.CLOCKS, 0.0)
    for subject in subjects:
        logging.info("%s: %s", folder, subject.name)
        watch = stopwatch.Stopwatch()
        model = model_of(subject.image)
        for clock, spent in watch.so_far().items():
            learning[clock] += spent if how.steps else 0.0
        drawn = photographs.draw(model, subject.image, protocol)
        few = drawn.samples[: pictures.SAMPLES]
        shown[subject.name] = photographs.Drawn(few, drawn.rebuilt)
        rows.append(
            {
                "name": subject.name,
                "group": subject.group,
                "scores": photographs.score(
                    drawn, subject.image, protocol, nets
                ),
            }
        )

    def draw():
        model = photograph_models.model_of(run, subjects[0].image)
        return model.sample(rng.make_seed(protocol.seed), 16).numpy()

    cost = {
        **photographs.cost(run, folder),
        **{
            f"forward_{clock}": spent
            for clock, spent in photographs.seconds_of(draw).items()
        },
        **{
            f"finetuning_{clock}": spent / len(rows)
            for clock, spent in learning.items()
        },
    }
    results = {
        "run": folder,
        "algo": run.settings.config.algo,
        "cost": cost,
        "means": photographs.means(rows),
        "photographs": rows,
    }
    return results, shown


COMMAND = cli.Command(
    module="tf_metagan.evaluate_photographs",
    purpose="Score the GANs that runs make of photographs, seen and unseen in "
    "training, and say what each of them cost.",
    examples=(
        "python -m tf_metagan.evaluate_photographs --run=runs/places",
        "python -m tf_metagan.evaluate_photographs "
        "--run=runs/places,runs/singan_12 --output=compared",
    ),
    settings=EvaluatePhotographsConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
