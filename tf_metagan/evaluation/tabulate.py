"""Results of many runs as the table of the paper, theirs beside ours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

PUBLISHED: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "mnist": {
        "real": (0.047, 0.997),
        "scratch": (15.296, 0.099),
        "figr": (3.195, 0.791),
        "metasgd": (45.474, 0.102),
        "maml": (2.730, 0.823),
        "fomaml": (1.449, 0.881),
    },
    "omniglot": {
        "real": (0.559, 0.949),
        "scratch": (18.894, 0.002),
        "figr": (4.383, 0.378),
        "maml": (3.919, 0.392),
        "fomaml": (5.286, 0.328),
    },
}
"""{data set: {row: (NLL, accuracy)}}.

Source: MAML-GAN, table 1, which has no MetaSGD-GAN on Omniglot and leaves open
whether the critic saw the real images.
"""

REAL = {
    "all": "Real, all images",
    "held_out": "Real, images the critic never saw",
}
EMPTY = "–"

_HEADINGS = (
    "system",
    "NLL",
    "accuracy",
    "coverage",
    "diversity",
    "near-copies",
    "adaptation",
    "meta-steps",
    "training",
    "NLL, paper",
    "accuracy, paper",
)
_COLUMNS = (
    "nll",
    "accuracy",
    "coverage",
    "relative_diversity",
    "near_copies_class",
)


class Cell(NamedTuple):
    """One row of the table on one data set, and where it comes from.

    Attributes:
      row: key of the row: "fomaml", "real".
      system: its name for people.
      dataset: name of the data set.
      values: {column of tasks.csv: {"mean", "ci95", "n"}}; empty if there are
        none yet.
      facts: plain values: commands, commit, seed, steps, times, protocol.
      problem: why there are no values, or of what they are not; "" otherwise.
    """

    row: str
    system: str
    dataset: str
    values: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]
    problem: str = ""

    @property
    def published(self) -> tuple[float, float] | None:
        """NLL and accuracy of the paper, where it has this row."""
        if self.facts.get("shots"):
            return None
        return PUBLISHED.get(self.dataset, {}).get(self.row)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, the published numbers among them."""
        published = self.published
        return {
            **self._asdict(),
            "published": published
            and dict(zip(("nll", "accuracy"), published, strict=True)),
        }


def values_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of single tasks: {column: estimate}.

    Args:
      results: content of results.json.
    """
    return {
        column: results["metrics"][name]
        for column, name in results["columns"].items()
    }


def real_cells(dataset: str, results: Mapping[str, Any]) -> list[Cell]:
    """Return the rows of real images.

    Args:
      dataset: name of the data set.
      results: content of any results.json of the data set.
    """
    cells = []
    for which, system in REAL.items():
        row = results["real"].get(which, {})
        values = {n: row[n] for n in ("nll", "accuracy") if n in row}
        if values:
            facts = {
                "images": row["images"],
                "critic": results["critic"]["name"],
            }
            cells.append(Cell("real", system, dataset, values, facts))
    return cells


def markdown(
    cells: Sequence[Cell],
    critics: Mapping[str, Mapping[str, Any]],
    *,
    command: str,
) -> str:
    """Write the table for people.

    Args:
      cells: in the order of the rows.
      critics: {data set: {"name", "held_out_accuracy"}}.
      command: that made the table.

    Returns:
      Text with one table per data set.
    """
    lines = ["# Unseen classes after adaptation", "", f"`{command}`", ""]
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        lines += [f"## {dataset}", ""]
        lines += _table([c for c in cells if c.dataset == dataset])
        lines += ["", *_notes(dataset, cells, critics.get(dataset)), ""]
    return "\n".join(lines)


def _table(cells: Iterable[Cell]) -> list[str]:
    rows = [_HEADINGS, ("---",) * len(_HEADINGS)]
    rows += [_row(cell) for cell in cells]
    return [f"| {' | '.join(row)} |" for row in rows]


def _row(cell: Cell) -> tuple[str, ...]:
    nll, accuracy = cell.published or (None, None)
    return (
        cell.system,
        *(number(cell.values.get(column)) for column in _COLUMNS),
        _adaptation(cell.facts),
        _count(cell.facts.get("meta_step")),
        duration(cell.facts.get("training_seconds")),
        EMPTY if nll is None else f"{nll:.3f}",
        EMPTY if accuracy is None else f"{accuracy:.3f}",
    )


def number(estimate: Mapping[str, Any] | None) -> str:
    """Return "mean ± half-width of the 95 % interval".

    >>> number({"mean": 1.23456, "ci95": 0.0213, "n": 256})
    '1.235 ± 0.021'
    >>> number(None)
    '–'
    """
    if estimate is None or estimate["mean"] is None:
        return EMPTY
    if estimate["ci95"] is None:
        return f"{estimate['mean']:.3f}"
    return f"{estimate['mean']:.3f} ± {estimate['ci95']:.3f}"


def duration(seconds: float | None) -> str:
    """Return a time for people.

    >>> duration(42.0), duration(1314.5), duration(9000)
    ('42 s', '22 min', '2.5 h')
    """
    if seconds is None:
        return EMPTY
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _adaptation(facts: Mapping[str, Any]) -> str:
    if "steps" not in facts:
        return EMPTY
    shots = facts.get("shots")
    images = _several(shots, "image") if shots else "fresh images"
    return f"{_several(facts['steps'], 'step')}, {images}"


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _count(value: int | None) -> str:
    return EMPTY if value is None else f"{value:,}"


def _notes(
    dataset: str, cells: Iterable[Cell], critic: Mapping[str, Any] | None
) -> list[str]:
    lines = [
        "Mean over test tasks ± half-width of the 95 % interval (over classes "
        "in the rows of real images). Diversity is relative to that of real "
        "images; near-copies are as near to a real image of the class, pixel "
        "by pixel, as 1 % of the real ones are to each other. The paper's "
        "numbers are those of its table 1, under its own critic."
    ]
    if critic:
        accuracy = critic["held_out_accuracy"]
        told = "not measured" if accuracy is None else f"{accuracy:.4f}"
        lines.append(
            f"Critic: {critic['name']}, accuracy on images it never saw: "
            f"{told}."
        )
    own = [cell for cell in cells if cell.dataset == dataset]
    names = {name for c in own if (name := c.facts.get("protocol"))}
    if names:
        lines.append(f"Protocols: {', '.join(sorted(names))}.")
    critics = {name for c in own if (name := c.facts.get("critic"))}
    if len(critics) > 1:
        lines.append(
            f"**Rows are of different critics** ({', '.join(sorted(critics))})"
            " and cannot be compared; evaluate again."
        )
    lines += [f"{c.system}: {c.problem}." for c in own if c.problem]
    return [line for pair in lines for line in (pair, "")][:-1]
