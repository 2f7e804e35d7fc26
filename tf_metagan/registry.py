"""Closed tables of everything that a flag can choose by name.

A part is one file and one line here: `"name": "module:object"`. Nothing is
imported before it is asked for, so that reading the tables costs no time.
"""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any


class Table(Mapping[str, str]):
    """Names of one kind of part and where each of them is defined.

    Iterating gives the names in the order in which they were written.

    Attributes:
      kind: what the names stand for, in the singular: "data set".
      flag: the setting that chooses from this table: "dataset".
      families: {prefix: "module:object"}: every name that starts with the
        prefix and goes on belongs to the table without a line of its own.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        *,
        flag: str,
        families: Mapping[str, str] | None = None,
    ):
        self.kind = kind
        self.flag = flag
        self.families = dict(families or {})
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        if name in self._entries:
            return self._entries[name]
        for prefix, place in self.families.items():
            if name.startswith(prefix) and len(name) > len(prefix):
                return place
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def known(self) -> tuple[str, ...]:
        """Return the names to list for a person, families as "prefix:NAME"."""
        return (*self, *(f"{prefix}NAME" for prefix in self.families))


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which names are known and which of them is nearest.

    Args:
      name: the name that came.
      known: the names that would have been accepted.

    Returns:
      The end of an error message, a sentence or two.

    >>> suggest("mamml", ["maml", "reptile"])
    "Known: maml, reptile. Did you mean 'maml'?"
    """
    known = tuple(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    question = f" Did you mean '{near[0]}'?" if near else ""
    return f"Known: {', '.join(known)}.{question}"


def find(table: Table, name: str) -> Any:
    """Import the part that has a name in a table.

    Args:
      table: one of the tables of this file.
      name: one of its names.

    Returns:
      The object that the table names: a function or a class.

    Raises:
      ValueError: the name is not in the table.
    """
    if name not in table:
        raise ValueError(
            f"--{table.flag}={name} is not the name of a known {table.kind}. "
            + suggest(name, table.known())
        )
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)


_TFDS = "tf_metagan.data.tfds_images:load"

ALGORITHMS = Table(
    "algorithm",
    {
        "maml": "tf_metagan.algorithms.maml:Maml",
        "fomaml": "tf_metagan.algorithms.fomaml:Fomaml",
        "metasgd": "tf_metagan.algorithms.metasgd:MetaSgd",
        "reptile": "tf_metagan.algorithms.reptile:Reptile",
        "latent": "tf_metagan.algorithms.latent:Latent",
        "joint": "tf_metagan.algorithms.joint:Joint",
        "internal": "tf_metagan.algorithms.internal:Internal",
        "singan": "tf_metagan.algorithms.singan:Singan",
        "consingan": "tf_metagan.algorithms.consingan:Consingan",
        "scratch": "tf_metagan.algorithms.scratch:Scratch",
    },
    flag="algo",
)

ARCHITECTURES = Table(
    "architecture",
    {
        "dcgan": "tf_metagan.architectures.dcgan:build",
        "figr_dcgan": "tf_metagan.architectures.figr_dcgan:build",
        "figr_resnet": "tf_metagan.architectures.figr_resnet:build",
        "exemplar": "tf_metagan.architectures.exemplar:build",
        "latent_dcgan": "tf_metagan.architectures.latent_dcgan:build",
        "cdcgan": "tf_metagan.architectures.cdcgan:build",
        "pyramid": "tf_metagan.architectures.pyramid:build",
        "stacks": "tf_metagan.architectures.stacks:build",
        "growing": "tf_metagan.architectures.stacks:build",
        "toy": "tf_metagan.architectures.toy:build",
    },
    flag="architecture",
)

GAMES = Table(
    "game",
    {
        "two_player": "tf_metagan.gan.duel:two_player",
        "exemplar": "tf_metagan.gan.exemplars:exemplar_game",
        "latent": "tf_metagan.gan.latents:latent_game",
        "labelled": "tf_metagan.gan.labels:labelled_game",
        "pyramid": "tf_metagan.gan.internal:pyramid_game",
        "singan": "tf_metagan.gan.singan:singan_game",
        "growing": "tf_metagan.gan.growing:growing_game",
    },
    flag="game",
)

MADE_FOR: Mapping[str, str] = MappingProxyType(
    {
        "exemplar": "exemplar",
        "latent_dcgan": "latent",
        "cdcgan": "labelled",
        "pyramid": "pyramid",
        "stacks": "singan",
        "growing": "growing",
    }
)
"""{architecture: game that it is made for}; two_player where it is absent."""

DATASETS = Table(
    "data set",
    {
        "glyphs": "tf_metagan.data.glyphs:load",
        "folder": "tf_metagan.data.folder:load",
        "photographs": "tf_metagan.data.photographs:load",
        "landscapes": "tf_metagan.data.landscapes:load",
        "mnist": _TFDS,
        "omniglot": _TFDS,
        "cifar10": _TFDS,
        "fashion_mnist": _TFDS,
        "kmnist": _TFDS,
        "emnist": _TFDS,
        "quickdraw_bitmap": _TFDS,
    },
    flag="dataset",
    families={"tfds:": _TFDS},
)

LOSSES = Table(
    "loss",
    {
        "wasserstein": "tf_metagan.gan.losses:wasserstein",
        "minimax": "tf_metagan.gan.losses:minimax",
        "non_saturating": "tf_metagan.gan.losses:non_saturating",
        "hinge": "tf_metagan.gan.losses:hinge",
        "least_squares": "tf_metagan.gan.losses:least_squares",
        "wasserstein_figr_as_published": (
            "tf_metagan.gan.losses:wasserstein_figr_as_published"
        ),
    },
    flag="loss",
)

PENALTIES = Table(
    "penalty",
    {
        "gradient": "tf_metagan.gan.penalties:gradient",
        "gradient_figr_as_published": "tf_metagan.gan.penalties"
        ":gradient_figr_as_published",
        "r1": "tf_metagan.gan.penalties:r1",
        "none": "tf_metagan.gan.penalties:none",
    },
    flag="penalty",
)

INNER_OPTIMIZERS = Table(
    "inner optimizer",
    {
        "sgd": "tf_metagan.core.optim:sgd",
        "momentum": "tf_metagan.core.optim:momentum",
        "rmsprop": "tf_metagan.core.optim:rmsprop",
        "adam": "tf_metagan.core.optim:adam",
    },
    flag="inner_optimizer",
)

OUTER_OPTIMIZERS = Table(
    "outer optimizer",
    {
        "sgd": "keras.optimizers:SGD",
        "rmsprop": "keras.optimizers:RMSprop",
        "adam": "keras.optimizers:Adam",
        "adamw": "keras.optimizers:AdamW",
        "nadam": "keras.optimizers:Nadam",
        "lion": "keras.optimizers:Lion",
        "lamb": "keras.optimizers:Lamb",
    },
    flag="outer_optimizer",
)
