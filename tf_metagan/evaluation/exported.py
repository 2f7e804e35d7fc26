"""An exported model as the subject of an evaluation."""

import numpy as np

from tf_metagan import serve
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.data import base as data
from tf_metagan.evaluation.protocol import Protocol


class ExportedSubject:
    """A SavedModel, asked through its signatures and nothing else.

    It gets the batches of a task as they are, so that its numbers are those of
    the run it was exported from.
    """

    def __init__(self, model: serve.Model):
        """Take a loaded model; see `Subject` for the facts."""
        self._model = model
        info = model.info
        self.facts = {
            "kind": "export",
            "run": model.folder,
            "algo": info["algo"],
            "dataset": info["dataset"],
            "meta_step": info["meta_step"],
            "settings": info["settings_hash"],
            "weights": info["weights_hash"],
            "stored_as": info["stored_as"],
        }

    def adapt(
        self, support: np.ndarray, *, seed: np.ndarray, steps: int
    ) -> serve.Adapted:
        """Return adapted weights; see `Subject`."""
        return self._model.adapt(support, steps=steps, seed=seed)

    def sample(
        self, adapted: serve.Adapted, *, seed: np.ndarray, n: int
    ) -> np.ndarray:
        """Draw [n, H, W, C]; see `Subject`."""
        drawn: np.ndarray = self._model.sample_adapted(
            adapted, num_samples=n, seed=seed
        ).numpy()
        return drawn


def training_of(
    model: serve.Model,
) -> tuple[settings_lib.Settings[Config], data.Split]:
    """Return the settings and the split of the run behind an export."""
    training = model.info["training"]
    settings = settings_lib.Settings(Config, [(training["settings"], False)])
    split = training["split"]
    classes = {name: tuple(split[name]) for name in ("train", "test")}
    return settings, data.Split(**{**split, **classes})


def check(model: serve.Model, protocol: Protocol) -> None:
    """Refuse a protocol that asks for more than the model gives.

    Raises:
      ValueError: names the limit and the flag that raises it; or the model is
        one of photographs.
    """
    if "adapt" not in model.signatures:
        raise ValueError(
            "tf_metagan.evaluate takes exports that adapt to images of a "
            f"class; that in {model.folder} models photographs. Draw from it "
            "with python -m tf_metagan.serve."
        )
    limits = model.info["limits"]
    shots = protocol.shots or model.info["batch_size"]
    steps, samples = protocol.steps, protocol.samples
    work = steps * shots
    if protocol.curve_tasks:
        work = max(work, steps * max(protocol.curve_shots))
        steps = max(steps, *protocol.curve_steps)
        work = max(work, steps * shots)
        samples = max(samples, protocol.curve_samples)
    # Fresh images at every step make as many of them.
    wanted = {"steps": steps, "samples": samples, "step_images": work}
    for name, most in wanted.items():
        if most > limits[name]:
            raise ValueError(
                f"the protocol needs {name} = {most} and the export gives at "
                f"most {limits[name]}. Export with --max_{name}={most}, or "
                "evaluate less (--steps, --samples, --curve_tasks=0)."
            )
