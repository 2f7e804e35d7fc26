"""A request with its answer, to tell whether another machine computes alike."""

from pathlib import Path

import numpy as np

from tf_metagan.serve import Model

FILE = "golden.npz"
TOLERANCE = 1e-3
"""By how much samples may differ, of a range of 2: other threads or another
processor add in another order, and the inner optimiser enlarges that."""

_IMAGES, _SAMPLES = 4, 8


def write(path: Path, model: Model) -> None:
    """Ask a model for an answer and keep both.

    The images are drawings of the model itself, so that no data set is needed
    and none is given away.

    Args:
      path: file to write.
      model: loaded from what was just written.
    """
    limits = model.info["limits"]
    images = model.sample_prior(
        num_samples=min(_IMAGES, limits["images"]), seed=1
    )
    request = {
        "images": np.clip(images.numpy(), -1.0, 1.0),
        "num_samples": np.int32(min(_SAMPLES, limits["samples"])),
        "steps": np.int32(model.info["defaults"]["steps"]),
        "seed": np.array([2, 3], np.int64),
    }
    np.savez_compressed(
        path,
        **{f"request/{name}": value for name, value in request.items()},
        **{
            f"answer/{name}": value.numpy()
            for name, value in model.adapt_and_sample(**request)
            ._asdict()
            .items()
            if value is not None
        },
    )


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (request, answer), {name: value} each."""
    with np.load(path) as stored:
        return tuple(  # type: ignore[return-value]
            {
                name.removeprefix(part): stored[name]
                for name in stored.files
                if name.startswith(part)
            }
            for part in ("request/", "answer/")
        )
