"""What `meta_step` measures of a contestant, and how it is written."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import facts


class Row(NamedTuple):
    """What was measured of one contestant.

    Attributes:
      side: of the case.
      label: of the case.
      threads: of the case.
      algo: of the workload.
      steps: inner steps.
      turns: meta-steps timed, without the first.
      median_s: wall seconds of a meta-step.
      min_s: the fastest of them.
      cpu_s: median CPU seconds of a meta-step, divided by the cores.
      first_s: wall seconds of the first call, tracing included.
      baseline_mb: resident memory before the first call.
      growth_mb: peak resident memory above the baseline.
      others: median share of the cores that other processes took meanwhile.
      wait: median share of the meta-step spent waiting for data.
      ratio: best torch median over this median; above 1 is faster than torch.
    """

    side: str
    label: str
    threads: str
    algo: str
    steps: int
    turns: int
    median_s: float
    min_s: float
    cpu_s: float
    first_s: float
    baseline_mb: float | None
    growth_mb: float | None
    others: float
    wait: float | None = None
    ratio: float | None = None


def compared(rows: Sequence[Row]) -> list[Row]:
    """Fill in `ratio`, best torch over library, within equal (algo, steps)."""

    def ratio(row):
        medians = [
            other.median_s
            for other in rows
            if other.side == "torch"
            and (other.algo, other.steps) == (row.algo, row.steps)
        ]
        return min(medians) / row.median_s if medians else None

    return [row._replace(ratio=ratio(row)) for row in rows]


_COLUMNS = (
    ("algorithm", lambda row: row.algo),
    ("k", lambda row: str(row.steps)),
    ("contestant", lambda row: f"{row.side}: {row.label}"),
    ("threads", lambda row: row.threads),
    (
        "median s",
        lambda row: facts.number(row.median_s) + facts.star(row.others),
    ),
    ("min s", lambda row: facts.number(row.min_s)),
    ("CPU s / cores", lambda row: facts.number(row.cpu_s)),
    ("first call s", lambda row: facts.number(row.first_s)),
    ("peak MB", lambda row: facts.number(row.growth_mb)),
    ("waiting", lambda row: facts.percent(row.wait)),
    ("torch / this", lambda row: facts.number(row.ratio)),
)


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table; columns in which nothing stands are left out."""
    return facts.table(_COLUMNS, rows)


def markdown(report: dict) -> str:
    """Return the whole report as Markdown."""
    sizes, known = report["workload"], report["machine"]
    out = [
        "# Speed of the meta-step\n\n",
        f"`{report['command']}`\n\n",
        f"{sizes['tasks']} tasks, {sizes['batch']} images of 28x28x1 in a "
        f"batch, width {sizes['width']}, {sizes['dtype']}; networks and losses "
        "as in `benchmarks/__init__.py`.\n\n",
        *facts.lines(known),
        "\nThreads are operations at a time / threads of one operation. The "
        "first call includes tracing. Peak MB is resident memory above that "
        "before the first call. CPU s / cores does not suffer from what else "
        f"the machine does; a * marks rows during which other processes used "
        f"more than {100 * facts.BUSY:.0f} % of it.\n",
    ]
    if not known["torch"]:
        out.append("\nPyTorch was not installed, so nothing was compared.\n")
    for section in report["sections"]:
        out.append(f"\n## {section['title']}\n\n{section['note']}\n\n")
        out.append(table([Row(**row) for row in section["rows"]]))
    return "".join(out)
