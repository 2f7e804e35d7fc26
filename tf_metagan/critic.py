"""Train the classifier that judges images: python -m tf_metagan.critic

Says where the critic of a data set is, and trains it first if there is none.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from tf_metagan import cli, versions
from tf_metagan.config import Config
from tf_metagan.fields import check_all, describe, setting
from tf_metagan.settings import Settings

_DATA = "Data"
_NETWORK = "Network"
_TRAINING = "Training"
_PLACE = "Where it is kept"
_ABOUT_FILES = ("cache_dir", "output", "retrain")
_NOT_RECORDED = (*_ABOUT_FILES, "data_dir")


def _same(name: str) -> Any:
    """Return a field with the words of a setting of training."""
    words = describe(Config)[name]._asdict()
    default, text = words.pop("default"), words.pop("help")
    for derived in ("name", "kind", "optional", "is_list"):
        del words[derived]
    return setting(default, text, **words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Every setting of a critic with its default, unit, range and meaning."""

    dataset: str = _same("dataset")
    data_dir: str | None = _same("data_dir")
    image_folder: str | None = _same("image_folder")
    image_size: int = _same("image_size")
    channels: int | None = _same("channels")
    num_classes: int = _same("num_classes")
    images_per_class: int = _same("images_per_class")
    classes: tuple[int, ...] | None = setting(
        None,
        "Class ids to tell apart. None: all; of a set with more than 100 "
        "those that it reserves for the test.",
        section=_DATA,
        interval="[0, inf)",
    )
    learn_along: bool = setting(
        False,
        "Learn the data set's other classes along with these and forget them "
        "at the end; it helps where images are few.",
        section=_DATA,
    )
    examine_on: str = setting(
        "auto",
        "Images to measure with and not to learn from: the data set's own "
        "test split, a share of each class, or auto = the former where every "
        "class has such images.",
        section=_DATA,
        choices=("auto", "test_split", "share"),
    )
    held_out: float = setting(
        0.1,
        "The share of each class, at least one image.",
        section=_DATA,
        interval="(0, 1)",
        chosen_by="examine_on",
    )

    widths: tuple[int, ...] = setting(
        (32, 64, 128, 128),
        "Channels of the four residual blocks.",
        section=_NETWORK,
        unit="channels",
        interval="[1, inf)",
    )
    dropout: float = setting(
        0.2,
        "Share of the features that training leaves out.",
        section=_NETWORK,
        interval="[0, 1)",
    )

    steps: int = setting(
        10000,
        "Updates; about 1,000 images a second and core at 32 pixels.",
        section=_TRAINING,
        unit="steps",
        interval="[1, inf)",
    )
    batch_size: int = setting(
        64,
        "Images of an update.",
        section=_TRAINING,
        unit="images",
        interval="[1, inf)",
    )
    rate: float = setting(
        3e-3,
        "Greatest step size of the cycle.",
        section=_TRAINING,
        interval="(0, inf)",
    )
    weight_decay: float = setting(
        0.05,
        "Weight decay of AdamW.",
        section=_TRAINING,
        interval="[0, inf)",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of the probability that the aim gives to all classes alike.",
        section=_TRAINING,
        interval="[0, 1)",
    )
    affine: float = setting(
        0.6,
        "Strength of random shifts, turns, scalings and shears; 0 is off.",
        section=_TRAINING,
        interval="[0, 4]",
    )
    elastic: float = setting(
        0.5,
        "Strength of smooth random distortions; 0 is off.",
        section=_TRAINING,
        unit="pixels",
        interval="[0, inf)",
    )
    seed: int = setting(
        0,
        "Root of all random numbers.",
        section=_TRAINING,
        interval="[0, 2147483647]",
    )

    cache_dir: str | None = setting(
        None,
        "Folder of caches. None: tf_metagan in XDG_CACHE_HOME or ~/.cache.",
        section=_PLACE,
        path=True,
    )
    output: str | None = setting(
        None,
        "Folder to write the critic to. None: one in the cache, where other "
        "commands find it.",
        section=_PLACE,
        path=True,
    )
    retrain: bool = setting(
        False,
        "Train even if there is such a critic. Those of the package stay the "
        "default; another is chosen by its folder.",
        section=_PLACE,
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[CriticConfig]) -> int:
    """Find or train the critic; TensorFlow is imported here."""
    from absl import logging

    from tf_metagan.metrics import critic

    for name in _ABOUT_FILES:
        settings.take(name)
    config = settings.config
    if not config.retrain and config.output is None:
        found = critic.find(
            dataset=config.dataset,
            image_size=config.image_size,
            channels=config.channels,
            settings={
                name: getattr(config, name)
                for name in settings.given
                if name not in _NOT_RECORDED
            },
            cache_dir=config.cache_dir,
        )
        if found:
            _report(critic.read(found[0]), found[0])
            logging.info("It was there; --retrain makes a new one.")
            return cli.EXIT_OK
    trained = _train(settings)
    folder = (
        critic.new_folder(
            config.dataset, trained.card.settings, config.cache_dir
        )
        if config.output is None
        else Path(config.output)
    )
    critic.save(trained, folder)
    _report(critic.read(folder), folder)
    return cli.EXIT_OK


def _report(critic: Any, folder: Path) -> None:
    from absl import logging

    logging.info(
        "%s: %.2f %% of %d held-out images right, NLL %.4f; in %s",
        critic.name,
        100 * critic.held_out_accuracy,
        critic.num_held_out,
        critic.card.held_out_nll,
        folder,
    )


def _train(settings: Settings[CriticConfig]) -> Any:
    """Train a critic by the settings; return it with its card."""
    import numpy as np
    from absl import logging

    from tf_metagan import assembly
    from tf_metagan.data import base as data
    from tf_metagan.metrics import (
        critic,
        critic_card,
        critic_data,
        critic_network,
        critic_training,
    )

    source = assembly.load_images(settings)
    settings = assembly.with_channels(settings, source)
    on_split = critic_data.uses_test_split(source, settings.take("examine_on"))
    division = settings.call(
        critic_data.divide,
        source,
        held_out=None if on_split else settings.take("held_out"),
    )
    logging.info(
        "%d classes, %d images to learn from, %d held out",
        len(division.classes),
        len(division.images),
        len(division.held_images),
    )
    model = settings.call(
        critic_network.build, num_classes=division.num_columns
    )
    recipe = settings.call(critic_training.Recipe)
    critic_training.check(recipe, num_images=len(division.images))
    settings.check_all_used()
    critic_training.train(model, division.images, division.column, recipe)
    model = critic_network.first_columns(model, len(division.classes))
    critic.to_stored_precision(model)
    card = critic_card.Card(
        dataset=settings.config.dataset,
        image_size=settings.config.image_size,
        channels=source.images.shape[-1],
        classes=division.classes,
        num_images=division.num_images,
        held_out=division.held_out,
        held_out_accuracy=np.nan,
        held_out_nll=np.nan,
        settings={
            name: getattr(settings.config, name)
            for name in settings.used
            if name not in _NOT_RECORDED
        },
        versions=versions.installed(),
    )
    accuracy, nll = critic.examine(
        critic.Critic(model, card),
        data.to_range(division.held_images),
        division.held_column,
    )
    card = card._replace(held_out_accuracy=accuracy, held_out_nll=nll)
    return critic.Critic(model, card)


COMMAND = cli.Command(
    module="tf_metagan.critic",
    purpose="Train the classifier that judges drawn images, or say where it "
    "is. Critics of mnist and omniglot at 32 pixels come with the package.",
    examples=(
        "python -m tf_metagan.critic --dataset=mnist",
        "python -m tf_metagan.critic --flagfile=flags/critic_omniglot.flags "
        "--retrain",
        "python -m tf_metagan.critic --dataset=folder --image_folder=my_images",
    ),
    settings=CriticConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
