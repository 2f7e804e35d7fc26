"""Draw a symbol five times and see its siblings: python -m tf_metagan.demo

Starts a page on this machine; demo_page/ holds it and the server behind it.
"""

import dataclasses
import sys
import webbrowser
from typing import Any

from tf_metagan import cli
from tf_metagan.fields import check_all, setting
from tf_metagan.settings import Settings

_SECTION = "Page"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Every setting of the page with its default, unit, range and meaning."""

    model: str = setting(
        "pretrained:omniglot",
        "Folder of a trained run or of an exported model, or pretrained:NAME.",
        section=_SECTION,
        path=True,
    )
    listen: str = setting(
        "127.0.0.1:8600",
        "Address and port; port 0 takes a free one. Only this machine reaches "
        "127.0.0.1.",
        section=_SECTION,
    )
    open: bool = setting(
        True,
        "Open the page in a browser.",
        section=_SECTION,
    )
    time_limit: float = setting(
        30.0,
        "Time of a request, waiting included, after which it is stopped.",
        section=_SECTION,
        unit="s",
        interval="(0, 3600]",
    )

    def __post_init__(self) -> None:
        check_all(self)


def main(settings: Settings[DemoConfig]) -> int:
    """Serve the page; TensorFlow is imported here."""
    from tf_metagan.demo_page import routes
    from tf_metagan.serving import listening

    for name in vars(settings.config):
        settings.take(name)
    config = settings.config
    host, port = listening.address(config.listen)
    model, rows = load(config.model)
    settings.check_all_used()
    limits = routes.LIMITS._replace(seconds=config.time_limit)
    sys.stdout.write(f"preparing {model.card.name} ...\n")
    sys.stdout.flush()
    with (
        listening.until_signal() as stop,
        routes.serving(
            model, rows, host=host, port=port, limits=limits
        ) as server,
    ):
        if not listening.is_loopback(host):
            sys.stderr.write(
                f"warning: everybody who reaches {host} can use this page, "
                "which asks nobody who they are.\n"
            )
        sys.stdout.write(f"the page is at {server.url}, end it with Ctrl-C\n")
        sys.stdout.flush()
        if config.open:
            webbrowser.open(server.url)
        stop.wait()
    return cli.EXIT_OK


def load(path: str) -> tuple[Any, Any]:
    """Load what the page shows.

    Args:
      path: folder of a run or of an exported model, or pretrained:NAME.

    Returns:
      (`demo_page.model.Model`, `demo_page.rows.Rows`), or
      (`demo_page.photograph_model.PhotographModel`, None).

    Raises:
      FileNotFoundError: it is neither.
    """
    from tf_metagan import assembly, packed, trained_runs
    from tf_metagan.demo_page.export_model import ExportModel
    from tf_metagan.demo_page.model import Limits, Model
    from tf_metagan.demo_page.photograph_model import (
        PhotographExport,
        PhotographRun,
    )
    from tf_metagan.demo_page.rows import Rows
    from tf_metagan.demo_page.run_model import RunModel
    from tf_metagan.serving import model as serving

    assembly.set_graph_options()
    model: Model
    if serving.find(path) is not None:
        _, info = serving.describe(path)
        if "sample" in info["signatures"]:
            return PhotographExport(path), None
        exported = ExportModel(path, limits=Limits())
        model, unseen = exported, tuple(exported.unseen)
    else:
        run = trained_runs.load_run(path)
        name = path.removeprefix(packed.PREFIX)
        if run.algorithm.game.model is not None:
            trained_runs.require_any_photograph(run, "tf_metagan.demo")
            return PhotographRun(run, name), None
        model = RunModel(run, name, limits=Limits())
        unseen = run.split.test
    size, _, channels = model.card.image
    rows = Rows(
        image_size=size,
        channels=channels,
        trained_on=model.card.dataset,
        unseen=unseen,
    )
    return model, rows


COMMAND = cli.Command(
    module="tf_metagan.demo",
    purpose="Start a page on this machine: draw a symbol a few times, or pick "
    "or drop images, and watch a trained model adapt and draw more of them. "
    "Models of photographs take a photograph and draw from it.",
    examples=(
        "python -m tf_metagan.demo",
        "python -m tf_metagan.demo --model=runs/demo --listen=127.0.0.1:0 "
        "--noopen",
    ),
    settings=DemoConfig,
    main=main,
)

if __name__ == "__main__":
    sys.exit(cli.run(COMMAND))
