"""Figures of the suite: what a number is called, and whether it moved."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import facts

UNITS = {"ratio": 0.15, "share": 0.15, "s": 0.3, "MB": 0.15}
"""{unit: relative change that counts}; seconds depend on the machine's mood."""
_LEAST_SHARE = 0.01  # a share that changed by less has not moved


class Figure(NamedTuple):
    """One number.

    Attributes:
      section: heading that it stands under.
      name: unique: "fomaml: torch / library".
      value: of it.
      unit: one of `UNITS`.
      better: "higher" or "lower".
      busy: share of the cores that other processes took meanwhile.
    """

    section: str
    name: str
    value: float
    unit: str
    better: str
    busy: float = 0.0


class Move(NamedTuple):
    """A figure that is not what it was.

    Attributes:
      name: of the figure.
      before: its value in the baseline.
      after: its value now.
      verdict: "better" or "worse".
    """

    name: str
    before: float
    after: float
    verdict: str


def moves(
    before: Sequence[Figure], after: Sequence[Figure], *, same_machine: bool
) -> list[Move]:
    """Return the figures that moved by more than noise, the worst first.

    Args:
      before: of the baseline.
      after: of now.
      same_machine: whether seconds and megabytes can be compared; ratios and
        shares always are.

    >>> old = [Figure("", "speed", 2.0, "ratio", "higher")]
    >>> new = [Figure("", "speed", 1.5, "ratio", "higher")]
    >>> moves(old, new, same_machine=True)[0].verdict
    'worse'
    """
    known = {figure.name: figure for figure in before}
    found = []
    for figure in after:
        old = known.get(figure.name)
        absolute = figure.unit in ("s", "MB")
        if old is None or (absolute and not same_machine):
            continue
        if min(old.value, figure.value) <= 0.0:
            continue  # nothing to divide by: no share of waiting, say
        apart = abs(figure.value - old.value)
        if figure.unit == "share" and apart < _LEAST_SHARE:
            continue
        change = math.log(figure.value / old.value)
        if abs(change) <= math.log1p(UNITS[figure.unit]):
            continue
        good = (change > 0) == (figure.better == "higher")
        verdict = "better" if good else "worse"
        found.append(
            (
                abs(change) if good else -abs(change),
                Move(figure.name, old.value, figure.value, verdict),
            )
        )
    return [move for _, move in sorted(found)]


def comparison(
    before: Sequence[Figure], after: Sequence[Figure], *, same_machine: bool
) -> str:
    """Return what moved, came and went, as Markdown."""
    found = moves(before, after, same_machine=same_machine)
    old, new = ({figure.name for figure in x} for x in (before, after))
    lines = ["## Beside the baseline\n\n"]
    if not same_machine:
        lines.append(
            "Another processor: seconds and megabytes are not compared.\n\n"
        )
    lines.append(
        facts.table(_MOVE_COLUMNS, found)
        if found
        else f"None of {len(old & new)} figures moved.\n"
    )
    for what, names in (("new", new - old), ("not measured", old - new)):
        if names:
            lines.append(f"\n{what}: {'; '.join(sorted(names))}\n")
    return "".join(lines)


def table(found: Sequence[Figure]) -> str:
    """Return figures as Markdown, a table for each section."""
    sections = dict.fromkeys(figure.section for figure in found)
    return "".join(
        f"## {section}\n\n"
        + facts.table(_COLUMNS, [x for x in found if x.section == section])
        + "\n"
        for section in sections
    )


_COLUMNS = (
    ("figure", lambda x: x.name),
    ("value", lambda x: facts.number(x.value) + facts.star(x.busy)),
    ("unit", lambda x: x.unit),
    ("better", lambda x: x.better),
)
_MOVE_COLUMNS = (
    ("figure", lambda x: x.name),
    ("before", lambda x: facts.number(x.before)),
    ("now", lambda x: facts.number(x.after)),
    ("", lambda x: x.verdict),
)
