"""What is measured on how much; part of the name of every number."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How many tasks, images and steps an evaluation consists of.

    Attributes:
      tasks: test tasks, classes drawn with replacement.
      samples: images drawn from the adapted weights of each task.
      steps: steps of adaptation.
      shots: support images of a task; 0: fresh images of the whole class at
        every step.
      classes: side of the run's split that the tasks are of: "test", or
        "train" for classes it has seen.
      seed: of tasks and samples.
      curve_tasks: tasks behind each point of a curve; 0: no curves.
      curve_samples: images drawn per task and point.
      curve_steps: steps of adaptation along the adaptation curve.
      curve_shots: support images along the curve of shots.

    Source: 256 tasks, 4,096 images and 10 steps of fresh images are those of
      MAML-GAN's table 1; the curves are ours.
    """

    tasks: int = 256
    samples: int = 4096
    steps: int = 10
    shots: int = 0
    classes: str = "test"
    seed: int = 0
    curve_tasks: int = 32
    curve_samples: int = 256
    curve_steps: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 50, 100)
    curve_shots: tuple[int, ...] = (1, 5, 10, 16)

    @property
    def name(self) -> str:
        """Name of the protocol, and of the folder of its results.

        >>> Protocol().name, Protocol(tasks=32, shots=5, seed=1).name
        ('256tasks_4096_10steps', '32tasks_4096_10steps_5shots_seed1')
        >>> Protocol(classes="train").name
        '256tasks_4096_10steps_seen'
        """
        return self.metric("").removeprefix("_")

    def metric(self, metric: str, *, images: int | None = None) -> str:
        """Name a metric that is a mean over tasks.

        Args:
          metric: what is measured: "nll".
          images: generated images of each task it looks at; `samples` if None.

        >>> Protocol().metric("coverage_k5", images=512)
        'coverage_k5_256tasks_512_10steps'
        """
        images = self.samples if images is None else images
        return f"{metric}_{self.tasks}tasks_{images}_{self._adaptation()}"

    def pooled(self, metric: str, images: int) -> str:
        """Name a metric of images of all tasks together.

        Args:
          metric: what is measured: "fid".
          images: generated images it looks at.

        >>> Protocol(steps=1).pooled("fid", 10240)
        'fid_pooled_10240_256tasks_1steps'
        """
        return (
            f"{metric}_pooled_{images}_{self.tasks}tasks_{self._adaptation()}"
        )

    def _adaptation(self) -> str:
        shots = f"_{self.shots}shots" if self.shots else ""
        seen = "_seen" if self.classes == "train" else ""
        seed = f"_seed{self.seed}" if self.seed else ""
        return f"{self.steps}steps{shots}{seen}{seed}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the default of `classes` left out.

        >>> "classes" in Protocol().as_dict()
        False
        >>> Protocol(classes="train").as_dict()["classes"]
        'train'
        """
        values = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        if self.classes == Protocol.classes:  # results from before stay good
            del values["classes"]
        return values


QUICK = {
    "tasks": 32,
    "samples": 256,
    "curve_tasks": 4,
    "curve_samples": 64,
}
"""What a first look takes instead: under a minute on two cores."""
