"""An evaluation from its first task to its results, told in one class."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from absl import logging

from tf_metagan import versions
from tf_metagan.evaluation import curves, pictures, pooled, scoring
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.evaluation.reals import Reals
from tf_metagan.evaluation.store import Part, Store, key_of
from tf_metagan.evaluation.subject import Subject
from tf_metagan.evaluation.tasks import UnseenTask, UnseenTasks
from tf_metagan.metrics import base as metrics


class Evaluator:
    """Evaluates one subject by one protocol, and goes on where it stopped.

    Nothing is changed but the folder of the results.
    """

    def __init__(
        self,
        subject: Subject,
        scratch: Subject,
        tasks: UnseenTasks,
        *,
        critic: metrics.FeatureNet,
        protocol: Protocol,
        folder: str | Path,
        more_nets: Sequence[metrics.FeatureNet] = (),
    ):
        """Put everything together; nothing is computed yet.

        Args:
          subject: what is evaluated.
          scratch: what its curves are compared with.
          tasks: of the classes it was not trained on.
          critic: classifier of these classes.
          protocol: how much of what.
          folder: of the results.
          more_nets: further networks for the pooled metrics.

        Raises:
          ValueError: the critic does not know a class, or a class has too few
            images for the shots.
        """
        tasks.draw(steps=protocol.steps, shots=protocol.shots)
        self._subject = subject
        self._scratch = scratch
        self._tasks = tasks
        self._protocol = protocol
        self._nets = (critic, *more_nets)
        self._reals = Reals(
            tasks.images,
            classes=tasks.classes,
            critic=critic,
            seed=protocol.seed,
        )
        # Nothing of how or where: equal keys mean equal numbers.
        self._facts = {
            "protocol": protocol.as_dict(),
            "subject": _lasting(subject.facts),
            "scratch": _lasting(scratch.facts),
            "critic": {
                "name": critic.name,
                "classes": len(critic.classes),
                "held_out_accuracy": critic.held_out_accuracy,
            },
            "more_networks": [net.name for net in more_nets],
            "test_classes": [int(label) for label in tasks.classes],
        }
        self.store = Store(folder, key_of(self._facts))

    def run(self, *, command: str = "", force: bool = False) -> dict[str, Any]:
        """Evaluate, or return the results that are there.

        Args:
          command: the command line, for the record.
          force: evaluate again.

        Returns:
          What results.json holds.

        Raises:
          FloatingPointError: adaptation diverged.
          KeyboardInterrupt: finished tasks are kept.
        """
        if force:
            self.store.forget_parts()
        elif (found := self.store.results()) is not None:
            logging.info(
                "already evaluated: %s (--force evaluates again)",
                self.store.results_path,
            )
            return found
        began = time.monotonic()
        done: list[Part] = []
        try:
            for part in self._score_tasks():
                done.append(part)
            drawn = self._draw_curves()
        finally:
            # Also after an interruption: what is finished can be looked at.
            self.store.write_tasks(self._rows(done))
        results = self._results(done, drawn)
        results["command"] = command
        results["seconds"] = round(time.monotonic() - began, 1)
        pictures.write_curves(self.store.folder, drawn)
        self._write_samples()
        self.store.write_results(results)
        return self.store.results() or results

    # The main protocol.

    def _score_tasks(self) -> Iterator[Part]:
        protocol = self._protocol
        task = self._tasks.draw(steps=protocol.steps, shots=protocol.shots)
        numbers = range(protocol.tasks)
        kept = sum(self.store.has_part(_task_part(i)) for i in numbers)
        if kept:
            logging.info("going on: %d of %d tasks kept", kept, len(numbers))
        size = self._size()

        def score(number: int) -> Part:
            return scoring.score_task(
                self._subject,
                task(number),
                protocol=protocol,
                reals=self._reals,
                size=size,
                more_nets=self._nets[1:],
            )

        for number in tqdm.tqdm(
            numbers, desc="tasks", unit="task", disable=None
        ):
            yield self.store.part(_task_part(number), partial(score, number))

    def _size(self) -> scoring.Sizes:
        first = self._reals.of(self._reals.classes[0])
        return scoring.sizes(
            self._protocol,
            fewest=self._reals.fewest,
            width=first.seen.features.shape[1],
        )

    def _rows(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Return the lines of tasks.csv."""
        return [
            {
                "task": number,
                "class": self._tasks.name(int(part["label"])),
                **{n: v.item() for n, v in part.items() if not v.ndim},
            }
            for number, part in enumerate(parts)
        ]

    def _results(
        self, parts: Sequence[Part], drawn: Mapping[str, Any]
    ) -> dict[str, Any]:
        protocol, reals, size = self._protocol, self._reals, self._size()
        critic = reals.critic
        names = {
            column: name
            for column, name in scoring.column_names(
                protocol, size, critic.name
            ).items()
            if column in parts[0]
        }
        found = {
            name: metrics.estimate(float(p[column]) for p in parts)
            for column, name in names.items()
        }
        left_out = scoring.left_out(protocol, size, fewest=reals.fewest)
        for number, net in enumerate(self._nets):
            pool = pooled.gather(
                parts,
                reals,
                net,
                most=size.pooled,
                suffix=f"_{number}" if number else "",
            )
            measured, missing = pooled.measure(pool, protocol, net)
            found |= measured
            left_out |= missing
        return {
            **self._facts,
            "protocol": {"name": protocol.name, **protocol.as_dict()},
            "subject": dict(self._subject.facts),
            "metrics": found,
            "columns": names,
            "real": reals.row(),
            "curves": drawn,
            "left_out": left_out,
            "versions": versions.installed(),
            "commit": versions.git_commit(),
        }

    # Curves.

    def _draw_curves(self) -> dict[str, Any]:
        """Return {curve: {"adapted": summary, "scratch": summary}}."""
        if not self._protocol.curve_tasks:
            return {}
        return {
            name: {
                "adapted": curve(self._subject, "adapted"),
                "scratch": curve(self._scratch, "scratch"),
            }
            for name, curve in (
                ("steps", self._steps_curve),
                ("shots", self._shots_curve),
            )
        }

    def _steps_curve(self, subject: Subject, who: str) -> dict[str, Any]:
        protocol = self._protocol
        x = protocol.curve_steps
        task = self._tasks.draw(steps=max(x), shots=protocol.shots)

        def score(number: int) -> Part:
            return curves.along_steps(
                subject,
                task(number),
                steps=x,
                samples=protocol.curve_samples,
                reals=self._reals,
            )

        return curves.summary(x, self._curve_parts(f"steps_{who}", score))

    def _shots_curve(self, subject: Subject, who: str) -> dict[str, Any]:
        protocol = self._protocol
        x = [k for k in protocol.curve_shots if k < self._reals.fewest]
        draws = [
            self._tasks.draw(steps=protocol.steps, shots=shots) for shots in x
        ]

        def score(number: int) -> Part:
            points = [
                curves.point(
                    subject,
                    draw(number),
                    steps=protocol.steps,
                    samples=protocol.curve_samples,
                    reals=self._reals,
                )
                for draw in draws
            ]
            return {c: np.array([p[c] for p in points]) for c in curves.COLUMNS}

        return curves.summary(x, self._curve_parts(f"shots_{who}", score))

    def _curve_parts(
        self, name: str, score: Callable[[int], Part]
    ) -> list[Part]:
        return [
            self.store.part(f"{name}_{number:05d}", partial(score, number))
            for number in tqdm.tqdm(
                range(self._protocol.curve_tasks),
                desc=name,
                unit="task",
                disable=None,
            )
        ]

    # Pictures.

    def _write_samples(self) -> None:
        protocol = self._protocol
        task = self._tasks.draw(steps=protocol.steps, shots=protocol.shots)
        chosen: dict[int, UnseenTask] = {}
        for number in range(min(protocol.tasks, 10 * pictures.TASKS)):
            found = task(number)
            chosen.setdefault(found.label, found)
            if len(chosen) == pictures.TASKS:
                break
        pictures.write_samples(
            self.store.folder,
            list(chosen.values()),
            self._subject,
            self._scratch,
            steps=protocol.steps,
        )


def _task_part(number: int) -> str:
    return f"task_{number:05d}"


def _lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what does not change any number: where a run lies."""
    return {name: value for name, value in facts.items() if name != "run"}
