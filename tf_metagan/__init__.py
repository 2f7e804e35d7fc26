"""Meta-learned generative adversarial networks in TensorFlow.

Importing the package imports nothing else: TensorFlow is loaded when one of
the names in `__all__` is first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "tf_metagan.config",
    "MetaGAN": "tf_metagan.model",
    "Settings": "tf_metagan.settings",
    "TaskBatch": "tf_metagan.types",
    "Vars": "tf_metagan.types",
    "load_pretrained": "tf_metagan.trained_runs",
    "load_run": "tf_metagan.trained_runs",
    "pack": "tf_metagan.trained_runs",
    "tasks": "tf_metagan.task_stream",
}
_TRAINING = ("MetaGAN", "load_pretrained", "load_run", "pack", "tasks")

__all__ = [
    "Config",
    "MetaGAN",
    "Settings",
    "TaskBatch",
    "Vars",
    "__version__",
    "load_pretrained",
    "load_run",
    "pack",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tf_metagan' has no attribute '{name}'")
    if name in _TRAINING:
        importlib.import_module("tf_metagan.versions").check_training_stack()
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
