"""Facts about the machine, and how reports are written."""

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Callable, Sequence

from tf_metagan import versions

BUSY = 0.1  # share of the cores used by others that a table points out


def machine(cores: int) -> dict[str, object]:
    """Return facts about this machine and its software."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_used": cores,
        "memory_gb": _total_memory_gb(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{
            name: version(name)
            for name in ("tensorflow", "keras", "torch", "higher")
        },
        "commit": versions.git_commit(str(pathlib.Path(__file__).parent)),
    }


def lines(facts: dict[str, object]) -> list[str]:
    """Return facts as a Markdown list."""
    return [
        f"- {name}: {fact}\n"
        for name, fact in facts.items()
        if fact not in (None, "")
    ]


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(columns: Sequence[tuple[str, Callable]], rows: Sequence) -> str:
    """Return a Markdown table; columns in which nothing stands are left out.

    Args:
      columns: (head, row -> text).
      rows: any objects.
    """
    cells = [[show(row) for _, show in columns] for row in rows]
    kept = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    heads = [columns[i][0] for i in kept]
    made = [heads, ["---"] * len(kept), *([r[i] for i in kept] for r in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in made)


def number(x: float | None) -> str:
    """Return three significant digits.

    >>> number(0.03412), number(99.97), number(1234.5)
    ('0.0341', '100', '1234')
    """
    if x is None:
        return ""
    return f"{x:.0f}" if abs(x) >= 99.95 else f"{x:#.3g}"


def percent(x: float | None) -> str:
    """Return "3.1 %"."""
    return "" if x is None else f"{100 * x:.1f} %"


def star(others: float) -> str:
    """Return a mark if others were busy."""
    return "*" if others > BUSY else ""


def save(report: dict, markdown: str, path: pathlib.Path) -> None:
    """Write `path` (JSON) and the same in Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown)


def _processor() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except FileNotFoundError:
        return platform.processor()
    names = [x for x in text.splitlines() if x.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _total_memory_gb() -> float:
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return round(size / 2**30, 1)
