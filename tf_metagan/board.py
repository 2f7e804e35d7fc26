"""The layout of TensorBoard's "Custom Scalars": which curves belong together.

TensorBoard reads it from the events of a run, so that it is there without a
click, for one run and for many side by side.
"""

from typing import NamedTuple

import tensorflow as tf
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2, metadata


class Chart(NamedTuple):
    """Curves in one diagram.

    Attributes:
      title: above it.
      tags: regular expressions; a metric belongs where one matches whole.
    """

    title: str
    tags: tuple[str, ...]


_PLAYER = "[A-Z][A-Z_]*"
_STEP = r"_step_\d+"

CATEGORIES: dict[str, tuple[Chart, ...]] = {
    "Does it adapt?": (
        Chart("losses in adaptation", (f"{_PLAYER}_loss",)),
        Chart("losses on other images, after adaptation", (f"{_PLAYER}_val",)),
        Chart("losses of each step", (f"{_PLAYER}_(loss|val){_STEP}",)),
        Chart("distance that weights move", ("inner_update_norm_.*",)),
    ),
    "Is it sound?": (
        Chart("Wasserstein estimate", (f"wasserstein_estimate({_STEP})?",)),
        Chart("gradient penalty", (f"gradient_penalty({_STEP})?",)),
        Chart("norm of outer gradients", ("grad_norm_outer_.*",)),
    ),
    "How fast?": (Chart("per second", (".*_per_second",)),),
}


def write() -> None:
    """Write the layout with the default writer of summaries."""
    tf.summary.write(
        metadata.CONFIG_SUMMARY_TAG,
        layout().SerializeToString(),
        metadata=summary_pb2.SummaryMetadata(
            plugin_data=summary_pb2.SummaryMetadata.PluginData(
                plugin_name=metadata.PLUGIN_NAME
            )
        ),
    )


def layout() -> layout_pb2.Layout:
    """Return the layout: categories of charts of many lines."""
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=category,
                chart=[
                    layout_pb2.Chart(
                        title=chart.title,
                        multiline=layout_pb2.MultilineChartContent(
                            tag=[f"^{tag}$" for tag in chart.tags]
                        ),
                    )
                    for chart in charts
                ],
            )
            for category, charts in CATEGORIES.items()
        ]
    )
