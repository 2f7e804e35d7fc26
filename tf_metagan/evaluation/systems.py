"""The systems of the table: one line each."""

from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """A system of the table.

    Attributes:
      key: short name, for --rows and folders.
      system: name for people.
      flagfile: settings of its training; {dataset} stands for the data set.
      steps: of adaptation in the evaluation.
      start: (data set, settings of a training with whose weights this one
        begins) pairs; on others it begins as its own settings say.
      steps_on: (data set, steps) pairs; on others it is `steps`.
    """

    key: str
    system: str
    flagfile: str
    steps: int = 10
    start: tuple[tuple[str, str], ...] = ()
    steps_on: tuple[tuple[str, int], ...] = ()


ROWS = (
    Row("scratch", "Not pre-trained", "flags/table/{dataset}_scratch.flags"),
    Row("figr", "FIGR", "flags/table/{dataset}_figr.flags"),
    Row("metasgd", "MetaSGD-GAN", "flags/table/{dataset}_metasgd.flags", 1),
    Row("maml", "MAML-GAN", "flags/table/{dataset}_maml.flags"),
    Row("fomaml", "FOMAML-GAN", "flags/table/{dataset}_fomaml.flags"),
    Row("latent", "Latent MLPs", "flags/table/{dataset}_latent.flags", 200),
    Row("cdcgan", "cDCGAN", "flags/table/{dataset}_cdcgan.flags", 200),
    Row(
        "ours",
        "ours",
        "flags/ours_{dataset}.flags",
        start=(("omniglot", "flags/ours_omniglot_start.flags"),),
        # It draws digits better than it adapts to them.
        steps_on=(("mnist", 0),),
    ),
)
DATASETS = ("mnist", "omniglot")


class Entry(NamedTuple):
    """One line of the table on one data set.

    Attributes:
      row: the system.
      dataset: name of the data set.
      shots: fixed support images in the evaluation; 0: fresh ones.
      run: folder of the run.
    """

    row: Row
    dataset: str
    shots: int
    run: Path

    @property
    def flagfile(self) -> str:
        """Settings of the training."""
        return self.row.flagfile.format(dataset=self.dataset)

    @property
    def steps(self) -> int:
        """Steps of adaptation in the evaluation."""
        return dict(self.row.steps_on).get(self.dataset, self.row.steps)

    @property
    def start(self) -> "Entry | None":
        """The training that this one begins with."""
        flagfile = dict(self.row.start).get(self.dataset)
        if flagfile is None:
            return None
        row = self.row._replace(flagfile=flagfile, start=())
        return Entry(
            row, self.dataset, 0, self.run.with_name(f"{self.run.name}_start")
        )

    @property
    def system(self) -> str:
        """Name for people."""
        return self.row.system + (f", {self.shots}-shot" if self.shots else "")
