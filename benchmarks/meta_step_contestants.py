"""Who takes part in the races of `meta_step`, and how."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import Workload, facts, library_meta_step, processes

_FAST = {"conv": "adjoint", "leaky": "function"}
_KEEP = {**_FAST, "malloc": True}
_BEST = {**_KEEP, "layout": "channels_last", "joined": True}

# What is tried in PyTorch: {label: fields of torch_operations.Variant}.
TORCH = {
    "plain": {"shared": False},
    "shared": {},
    "adjoint": _FAST,
    "adjoint, malloc": _KEEP,
    "adjoint, malloc, joined": {**_KEEP, "joined": True},
    "adjoint, malloc, channels_last": {**_KEEP, "layout": "channels_last"},
    "adjoint, malloc, joined, channels_last": _BEST,
    "adjoint, malloc, joined, tasks": {**_KEEP, "joined": True, "workers": 2},
    "adjoint, malloc, joined, channels_last, tasks": {**_BEST, "workers": 2},
}

# Other ways to differentiate, for these algorithms.
FORMS = {
    "torch.func, malloc": {"form": "func", "malloc": True},
    "torch.func, malloc, vmap": {"form": "vmap", "malloc": True},
    "higher, malloc": {"form": "higher", "malloc": True},
    "higher, adjoint, malloc": {**_KEEP, "form": "higher"},
}
FORM_ALGOS = ("fomaml", "maml")


class Case(NamedTuple):
    """One contestant.

    Attributes:
      side: "library" or "torch".
      label: what is special about it.
      workload: sizes.
      options: library: {"inner_loop": ..., "pipeline": bool}; torch: fields
        of `torch_operations.Variant`.
      inter: TF_NUM_INTEROP_THREADS, or Python threads of torch; None is
        TensorFlow's own choice.
      intra: TF_NUM_INTRAOP_THREADS or OMP_NUM_THREADS; None as above.
    """

    side: str
    label: str
    workload: Workload
    options: dict
    inter: int | None
    intra: int | None

    @property
    def threads(self) -> str:
        """Operations at a time / threads of one operation."""
        return f"{self.inter}/{self.intra}" if self.inter else "default"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its process."""
        given = {"TF_CPP_MIN_LOG_LEVEL": "2"}
        if self.side == "torch":
            given["OMP_NUM_THREADS"] = str(self.intra)
            return given | (
                processes.MALLOC if self.options.get("malloc") else {}
            )
        if self.inter:
            given["TF_NUM_INTEROP_THREADS"] = str(self.inter)
            given["TF_NUM_INTRAOP_THREADS"] = str(self.intra)
        return given


def tensorflow_case(
    workload: Workload,
    *,
    inner_loop: str = "while",
    threads: tuple[int, int] | None = (2, 1),
    pipeline: bool = False,
) -> Case:
    """Make a contestant of the library; threads are (inter, intra)."""
    label = f"{inner_loop}, fed by EpisodeSampler" if pipeline else inner_loop
    options = {"inner_loop": inner_loop, "pipeline": pipeline}
    return Case("library", label, workload, options, *(threads or (None, None)))


def torch_labels(algo: str) -> list[str]:
    """List what is tried in PyTorch, of which `higher` may be absent."""
    forms = [
        label
        for label, options in FORMS.items()
        if algo in FORM_ALGOS
        and (options["form"] != "higher" or facts.version("higher"))
    ]
    return [*TORCH, *forms]


def torch_options(label: str) -> dict:
    """Return the fields of `torch_operations.Variant` of a label."""
    return (TORCH | FORMS)[label]


def torch_case(workload: Workload, label: str, *, cores: int) -> Case:
    """Make a contestant of PyTorch that uses `cores` threads in all."""
    options = torch_options(label)
    workers = min(options.get("workers", 1), cores)
    options = {**options, "workers": workers}
    return Case("torch", label, workload, options, workers, cores // workers)


def step_of(case: Case) -> Callable[[], dict | None]:
    """Return a function that runs one meta-step of a contestant."""
    if case.side == "library":
        return library_meta_step.make_step(
            case.workload, **case.options, seed=0
        )
    return _torch_step(case)


def _torch_step(case: Case):
    import torch

    from benchmarks import torch_meta_step, torch_operations

    torch.set_num_threads(case.intra)
    torch.set_flush_denormal(True)  # TensorFlow always does
    variant = torch_operations.Variant(**case.options)
    return torch_meta_step.make_step(case.workload, variant, seed=0)
