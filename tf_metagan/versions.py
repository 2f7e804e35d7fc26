"""Which versions are installed, and whether training can run on them."""

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping

import tf_metagan

_TENSORFLOW_NAMES = (
    "tensorflow",
    "tensorflow-cpu",
    "tf-nightly",
    "tf-nightly-cpu",
    "tensorflow-rocm",
)
_RECORDED = ("keras", "tensorflow-datasets", "numpy", "pillow", "absl-py")
_NEEDED = {"TensorFlow": (2, 20), "Keras": (3, 12)}


def installed() -> dict[str, str | None]:
    """Return {name: version} of Python, this package and what it runs on.

    Nothing is imported; the version of a package that is absent is None.
    """
    tensorflow = filter(None, map(_version, _TENSORFLOW_NAMES))
    return {
        "tf-metagan": tf_metagan.__version__,
        "python": platform.python_version(),
        "tensorflow": next(tensorflow, None),
        **{name: _version(name) for name in _RECORDED},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit(folder: str | None = None) -> str | None:
    """Return the commit that the source code was checked out from.

    Args:
      folder: a folder of the working tree; by default the one of this package.

    Returns:
      The hash, with "+changes" when files that git tracks differ from it; None
      when the folder is not a part of a git working tree or git is absent.
    """
    folder = folder or os.path.dirname(os.path.abspath(__file__))
    commit = _git(folder, "rev-parse", "HEAD")
    tracked = _git(folder, "ls-files", "--error-unmatch", ".")
    if not commit or not tracked:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changes else commit


def _git(folder: str, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words],
            capture_output=True,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def check_training_stack(
    found: Mapping[str, str | None] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Refuse to train, evaluate or export on versions that cannot do it.

    Call it before TensorFlow is imported.

    Args:
      found: {"tensorflow": version, "keras": version}; by default what is
        installed.
      environment: the environment variables.

    Raises:
      ImportError: one sentence with the versions and the command that installs
        the right ones.
    """
    found = installed() if found is None else found
    wrong = [
        f"{name} {found[name.lower()] or '(not installed)'}"
        for name, needed in _NEEDED.items()
        if _numbers(found[name.lower()]) < needed
    ]
    if wrong:
        raise ImportError(
            "training, evaluation and export need TensorFlow >= 2.20 and "
            f"Keras >= 3.12, but found {' and '.join(wrong)}; run: "
            'pip install --upgrade "tensorflow>=2.20" "keras>=3.12"'
        )
    for name, value, good in (
        ("KERAS_BACKEND", environment.get("KERAS_BACKEND"), "tensorflow"),
        ("TF_USE_LEGACY_KERAS", environment.get("TF_USE_LEGACY_KERAS"), "0"),
    ):
        if value not in (None, "", good):
            raise ImportError(
                f"the environment variable {name}={value} selects another "
                f"Keras than the one training needs; run: unset {name}"
            )


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version or "")[:2])
