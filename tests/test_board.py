"""TensorBoard's custom scalars: every metric has its chart."""

import io
import json
import re

import pytest

from tests import runs
from tests.exporting import exports
from tf_metagan import board, learner, report

CHARTS = [chart for charts in board.CATEGORIES.values() for chart in charts]


def charts_of(metric):
    return [
        chart.title
        for chart in CHARTS
        if any(re.fullmatch(tag, metric) for tag in chart.tags)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "maml", "learned_rates": "layer_step"},
        {"algo": "fomaml"},
        {"algo": "reptile"},
        exports.EXEMPLAR,
    ],
    ids=lambda changes: changes["algo"],
)
def test_every_metric_has_one_chart(changes):
    rule = exports.toy_run(**changes).algorithm
    names = [
        name if not shape else f"{name}_step_01"
        for name, shape in rule.metric_shapes().items()
    ]
    names += [learner.norm_name("params", p) for p in rule.game.players]
    names += [learner.norm_name("inner", p) for p in rule.game.players]
    for name in [*names, "tasks_per_second", "MLP_CLS_loss_step_12"]:
        assert len(charts_of(name)) == 1, name
    assert charts_of("seconds") == []


# In a process of its own: its imports warn.
SHOW = """
import sys
from tensorboard.context import RequestContext
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.custom_scalar import custom_scalars_plugin
logdir = sys.argv[1]
events = plugin_event_multiplexer.EventMultiplexer()
events.AddRunsFromDirectory(logdir)
events.Reload()
context = base_plugin.TBContext(
    data_provider=data_provider.MultiplexerDataProvider(events, logdir),
    logdir=logdir,
    multiplexer=events,
)
plugin = custom_scalars_plugin.CustomScalarsPlugin(context)
print(plugin.layout_impl(RequestContext(), ""))
"""


def test_tensorboard_finds_the_layout(tmp_path):
    with report.Report(
        str(tmp_path), meta_steps=10, stream=io.StringIO()
    ) as log:
        log.describe({"seed": 3})
        log.train(5, {"D_loss": 1.5})
    code, out, err = runs.process(None, str(tmp_path), code=SHOW)
    assert code == 0, err
    shown = json.loads(out)["category"]
    assert [category["title"] for category in shown] == list(board.CATEGORIES)
    (tag,) = shown[0]["chart"][0]["multiline"]["tag"]
    assert re.match(tag, "D_loss")
    assert not re.match(tag, "D_loss_step_02")
