"""The one place that says which signatures the export of a run offers."""

from typing import Any

from tf_metagan import trained_runs
from tf_metagan.exporting.few_shot import FewShot
from tf_metagan.exporting.form import Form
from tf_metagan.exporting.photographs import Photographs


def of(run: Any) -> Form:
    """Return the form of exports of a run, a `trained_runs.Run`.

    Raises:
      ValueError: the run models a single photograph.
    """
    if run.algorithm.game.model is None:
        return FewShot()
    trained_runs.require_any_photograph(run, "tf_metagan.export")
    return Photographs()
