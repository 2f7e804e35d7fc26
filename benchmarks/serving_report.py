"""What `serving_latency` makes of the times that it took."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import facts
from benchmarks.serving_contestants import Case, Request


class Row(NamedTuple):
    """What was measured of one contestant.

    Attributes:
      side: of the case.
      label: of the case.
      threads: of the case.
      turns: requests timed, without the first.
      p50_ms: median latency.
      p99_ms: 99th percentile; the slowest where there are fewer than 100.
      first_s: of the first request, tracing included.
      ratio: median over the rounds of its latency over that of the export, as
        it is advised to run (float32, one thread per operation).
      others: median share of the cores that other processes took meanwhile.
    """

    side: str
    label: str
    threads: str
    turns: int
    p50_ms: float
    p99_ms: float
    first_s: float
    ratio: float
    others: float


def summary(
    raced: Sequence[Case], walls: Sequence[list[float]], others: Sequence[float]
) -> list[Row]:
    """Sum up a race.

    Args:
      raced: contestants, the export as it is advised to run first.
      walls: of each, seconds of every request, the first included.
      others: of each, share of the cores that other processes took.
    """
    rows = []
    for case, (first, *timed), busy in zip(raced, walls, others, strict=True):
        rows.append(
            Row(
                side=case.side,
                label=case.label,
                threads=case.threads,
                turns=len(timed),
                p50_ms=1e3 * statistics.median(timed),
                p99_ms=1e3 * float(np.percentile(timed, 99, method="higher")),
                first_s=first,
                ratio=paired(timed, walls[0][1:]),
                others=busy,
            )
        )
    return rows


def paired(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the median of a / b over the rounds that both took part in.

    >>> paired([2.0, 30.0, 3.0], [1.0, 10.0, 2.0])
    2.0
    """
    return statistics.median(x / y for x, y in zip(a, b, strict=False))


def goals(
    raced: Sequence[Case], walls: Sequence[list[float]], cold: Sequence[dict]
) -> list[dict]:
    """Compare with what is expected on two idle cores.

    Returns:
      [{"what", "expected", "found", "met"}].
    """
    times = dict(zip(raced, (w[1:] for w in walls), strict=True))
    export, library = raced[:2]
    found = [
        (
            "p50 of a request, ms",
            "<= 200",
            1e3 * statistics.median(times[export]),
        ),
        (
            "export / library, equal threads",
            "<= 1.1",
            paired(times[export], times[library]),
        ),
    ]
    torch = [case for case in raced if case.side == "torch"]
    if torch:
        best = min(torch, key=lambda case: statistics.median(times[case]))
        found.append(
            (
                "fastest eager PyTorch / export",
                ">= 1.6",
                paired(times[best], times[export]),
            )
        )
    loading = statistics.median(x["load_s"] + x["answer_s"] for x in cold)
    found.append(("cold load to first answer, s", "<= 3", loading))
    rows = []
    for what, expected, value in found:
        sign, bound = expected.split()
        met = value <= float(bound) if sign == "<=" else value >= float(bound)
        rows.append(
            {"what": what, "expected": expected, "found": value, "met": met}
        )
    return rows


_COLUMNS = (
    ("contestant", lambda row: f"{row.side} {row.label}".strip()),
    ("threads", lambda row: row.threads),
    ("p50 ms", lambda row: facts.number(row.p50_ms) + facts.star(row.others)),
    ("p99 ms", lambda row: facts.number(row.p99_ms)),
    ("first s", lambda row: facts.number(row.first_s)),
    ("this / export", lambda row: facts.number(row.ratio)),
)
_GOALS = (
    ("goal", lambda row: row["what"]),
    ("expected", lambda row: row["expected"]),
    ("found", lambda row: facts.number(row["found"])),
    ("", lambda row: "met" if row["met"] else "not met"),
)
_COLD_COLUMNS = tuple(
    (head, lambda row, key=key: facts.number(row[key]))
    for head, key in (
        ("import TensorFlow s", "import_s"),
        ("load s", "load_s"),
        ("first answer s", "answer_s"),
        ("all s", "total_s"),
    )
)
_HALF = (
    ("weights", lambda row: row["weights"]),
    ("graph kB", lambda row: facts.number(row["graph_bytes"] / 1e3)),
    ("weights kB", lambda row: facts.number(row["weight_bytes"] / 1e3)),
    ("mean difference", lambda row: f"{row['mean_difference']:.1e}"),
    ("largest", lambda row: f"{row['max_difference']:.1e}"),
)


def markdown(report: dict) -> str:
    """Return the whole report as Markdown."""
    request = Request(**report["request"])
    rows = [Row(**row) for row in report["rows"]]
    out = [
        "# Latency of an exported model\n\n",
        f"`{report['command']}`\n\n",
        f"{report['run']}: {request.images} images, {request.steps} steps, "
        f"{request.samples} samples.\n\n",
        *facts.lines(report["machine"]),
        "\n",
        facts.table(_GOALS, report["goals"]),
        "\n## Requests\n\nContestants take turns of one request. Threads are "
        "operations at a time / threads of one operation; the ratio is to the "
        "first row, a median over rounds. A batch answers all its tasks in "
        "that time. A * marks rows during which other processes used more "
        f"than {100 * facts.BUSY:.0f} % of the cores.\n\n",
        facts.table(_COLUMNS, rows),
    ]
    if not any(row.side == "torch" for row in rows):
        out.append(
            "\nPyTorch was not installed, or the run is of a kind that "
            "benchmarks/torch_meta_step.py does not play.\n"
        )
    out += [
        "\n## Cold start\n\nFresh processes that time themselves, files in the "
        "page cache.\n\n",
        facts.table(_COLD_COLUMNS, report["cold"]),
        "\n## Weights of half the size\n\nDifferences of the samples of one "
        "request, whose range is 2. Quality: `python -m tf_metagan.evaluate "
        "--run=EXPORT` for each.\n\n",
        facts.table(_HALF, report["half"]),
    ]
    return "".join(out)
