"""Measure a trained run on unseen classes: python -m tf_metagan.evaluate

The command line only; evaluation/evaluator.py tells the story.
"""

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import sys
import types
from collections.abc import Iterator
from typing import Any

from tf_metagan import cli
from tf_metagan.evaluation.protocol import QUICK, Protocol
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_WHAT = "What to evaluate"
_HOW = "Protocol: the default is that of the paper's table"
_WHERE = "Networks, data and results"

RESULTS = "eval"  # folder in that of the run


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Every setting of an evaluation."""

    run: str | None = setting(
        None,
        "Folder of a trained run, the --logdir of training. Its newest "
        "checkpoint is evaluated on the classes it kept for the test. Or that "
        "of an exported model.",
        section=_WHAT,
        path=True,
    )
    tasks: int = setting(
        Protocol.tasks,
        "Test tasks: classes drawn with replacement. Fewer are the first of "
        "more.",
        section=_HOW,
        unit="tasks",
        interval="[1, inf)",
    )
    samples: int = setting(
        Protocol.samples,
        "Images to draw for each task.",
        section=_HOW,
        unit="images",
        interval="[2, inf)",
    )
    steps: int = setting(
        Protocol.steps,
        "Steps of adaptation.",
        section=_HOW,
        unit="steps",
        interval="[0, 10000]",
    )
    shots: int = setting(
        Protocol.shots,
        "Support images of each task. 0: a new batch of the whole class at "
        "every step.",
        section=_HOW,
        unit="images",
        interval="[0, inf)",
    )
    classes: str = setting(
        Protocol.classes,
        "Classes the tasks are of: those kept for the test, or those of the "
        "training.",
        section=_HOW,
        choices=("test", "train"),
    )
    seed: int = setting(
        Protocol.seed,
        "Root of tasks and samples; equal seeds give equal numbers, and every "
        "run meets the same tasks.",
        section=_HOW,
        interval="[0, 2147483647]",
    )
    curve_tasks: int = setting(
        Protocol.curve_tasks,
        "Tasks behind each point of the curves over steps and shots. 0: no "
        "curves.",
        section=_HOW,
        unit="tasks",
        interval="[0, inf)",
    )
    curve_samples: int = setting(
        Protocol.curve_samples,
        "Images to draw for each task and point of a curve.",
        section=_HOW,
        unit="images",
        interval="[2, inf)",
    )
    quick: bool = setting(
        False,
        "A first look: "
        + ", ".join(f"--{name}={value}" for name, value in QUICK.items())
        + ", where these are not given.",
        section=_HOW,
    )
    critic: str | None = setting(
        None,
        "Folder of the critic. None: the one of the package or, where it has "
        "none for the data set, the one that python -m tf_metagan.critic "
        "trained.",
        section=_WHERE,
        path=True,
    )
    inception_weights: str | None = setting(
        None,
        "File with the weights of Keras's InceptionV3, for pooled metrics on "
        "its features beside those of the critic; download fetches Keras's "
        "own, once. None: the critic only.",
        section=_WHERE,
        path=True,
    )
    cache_dir: str | None = setting(
        None,
        "Folder of trained critics. None: the user's cache.",
        section=_WHERE,
        path=True,
    )
    data_dir: str | None = setting(
        None,
        "Folder of TensorFlow Datasets. None: where training found them.",
        section=_WHERE,
        path=True,
    )
    image_folder: str | None = setting(
        None,
        "Folder of images of a run on a folder. None: where training found "
        "them.",
        section=_WHERE,
        path=True,
    )
    output: str | None = setting(
        None,
        f"Folder of the results. None: RUN/{RESULTS}/PROTOCOL, and "
        f"runs/NAME/{RESULTS}/PROTOCOL for a run that is not a folder.",
        section=_WHERE,
        path=True,
    )
    force: bool = setting(
        False,
        "Evaluate again where results of the same protocol and checkpoint are.",
        section=_WHERE,
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[EvaluateConfig]) -> int:
    """Evaluate; TensorFlow is imported here, so that --help is instant."""
    from absl import logging

    from tf_metagan import assembly

    if settings.config.quick:
        settings = settings.with_defaults(QUICK)
    for name in vars(settings.config):
        settings.take(name)
    config = settings.config
    if config.run is None:
        raise ValueError(
            "--run is missing: expected the folder of a trained run. Such as: "
            "python -m tf_metagan.evaluate --run=runs/demo --quick"
        )
    assembly.set_graph_options()
    evaluator = build(config)
    settings.check_all_used()
    with _stoppable():
        results = evaluator.run(
            command=command_line(settings), force=config.force
        )
    logging.info("\n%s", summary(results))
    logging.info("results: %s", evaluator.store.results_path)
    return cli.EXIT_OK


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM end an evaluation as exceptions do.

    Also where SIGINT was ignored before, as in the background of a script.
    """

    def stop(number: int, frame: types.FrameType | None) -> None:
        del number, frame
        raise SystemExit(cli.EXIT_PREEMPTED)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def build(config: EvaluateConfig) -> Any:
    """Load run, data and critic.

    Args:
      config: the settings; `run` is given.

    Returns:
      An `evaluation.evaluator.Evaluator`.

    Raises:
      OSError: the run, its data or the critic cannot be read.
      ValueError: they do not fit together.
    """
    from tf_metagan import assembly, serve, trained_runs
    from tf_metagan import settings as settings_lib
    from tf_metagan.config import Config
    from tf_metagan.data import base as data
    from tf_metagan.evaluation import evaluator, exported, subject
    from tf_metagan.evaluation.tasks import UnseenTasks
    from tf_metagan.metrics import critic as critics

    assert config.run is not None
    protocol = protocol_of(config)
    served = serve.find(config.run)
    where = served or config.run
    if served is not None:
        model = serve.load(served)
        exported.check(model, protocol)
        stored, split = exported.training_of(model)
        judged: Any = exported.ExportedSubject(model)
    else:
        run = trained_runs.load_run(config.run)
        trained_runs.require_steps(run, "tf_metagan.evaluate")
        stored, split = run.settings, run.split
        judged = subject.of_run(run, config.run)
    values = dataclasses.asdict(stored.config)
    for name in ("data_dir", "image_folder"):
        values[name] = getattr(config, name) or values[name]
    trained = settings_lib.Settings(Config, [(values, False)])
    images = assembly.load_images(trained)
    data.check_split(split, images)
    classes = getattr(split, config.classes)
    critic = critics.load(
        dataset=trained.config.dataset,
        image_size=trained.config.image_size,
        channels=trained.config.channels,
        classes=classes,
        cache_dir=config.cache_dir,
        folder=config.critic,
    )
    return evaluator.Evaluator(
        judged,
        subject.scratch_of(trained, seed=trained.config.seed + 1),
        UnseenTasks(
            images,
            classes=classes,
            batch_size=trained.config.adaptation_batch,
            seed=protocol.seed,
        ),
        critic=critic,
        protocol=protocol,
        folder=config.output or results_folder(where, protocol),
        more_nets=_more_nets(config),
    )


def results_folder(run: str, protocol: Protocol) -> str:
    """Return where results go when nothing else is said.

    Args:
      run: a folder, or the name of something that is no folder.
      protocol: of the evaluation.

    >>> results_folder("pretrained:mnist", Protocol())
    'runs/pretrained_mnist/eval/256tasks_4096_10steps'
    """
    if not os.path.isdir(run):
        run = os.path.join("runs", re.sub(r"\W+", "_", run))
    return os.path.join(run, RESULTS, protocol.name)


def _more_nets(config: EvaluateConfig) -> tuple[Any, ...]:
    if config.inception_weights is None:
        return ()
    from tf_metagan.metrics import features

    return (features.inception(config.inception_weights),)


def protocol_of(config: EvaluateConfig) -> Protocol:
    """Return the protocol that the settings describe."""
    names = {field.name for field in dataclasses.fields(Protocol)}
    return Protocol(**{n: v for n, v in vars(config).items() if n in names})


def command_line(settings: Settings[EvaluateConfig]) -> str:
    """Return the command that repeats the evaluation."""
    words = [settings.as_flag(name) for name in settings.given]
    return shlex.join(["python", "-m", "tf_metagan.evaluate", *words])


def summary(results: dict[str, Any]) -> str:
    """Return the numbers for people: a line per metric."""
    critic = results["critic"]
    lines = [
        f"{name}: {number(value)}" for name, value in results["metrics"].items()
    ]
    for which, row in results["real"].items():
        lines += [
            f"real images ({which}, {row['images']}), {name}: "
            + number(row[name])
            for name in ("nll", "accuracy")
            if name in row
        ]
    if critic["held_out_accuracy"] is not None:
        lines.append(
            f"accuracy of {critic['name']} on images it never saw: "
            f"{critic['held_out_accuracy']:.4f}"
        )
    lines += [
        f"left out: {what}: {why}" for what, why in results["left_out"].items()
    ]
    return "\n".join(lines)


def number(estimate: dict[str, Any]) -> str:
    """Return "mean ± half-width of the 95 % interval".

    >>> number({"mean": 1.23456, "ci95": 0.02, "n": 256})
    '1.235 ± 0.020'
    """
    mean, ci95 = estimate["mean"], estimate["ci95"]
    return f"{mean:.4g}" if ci95 is None else f"{mean:.3f} ± {ci95:.3f}"


COMMAND = cli.Command(
    module="tf_metagan.evaluate",
    purpose="Adapt a trained run to classes it has never seen, draw images "
    "and score them: under a critic, and against real images.",
    examples=(
        "python -m tf_metagan.evaluate --run=runs/demo --quick",
        "python -m tf_metagan.evaluate --run=runs/mnist_fomaml_001",
        "python -m tf_metagan.evaluate --run=runs/mnist_fomaml_001 --shots=5",
    ),
    settings=EvaluateConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
