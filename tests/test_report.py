"""Report: files of a run, progress, divergence."""

import io
import json
import logging as python_logging
import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from absl import logging
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from tf_metagan import report

PICTURE = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)


def open_report(folder, **options):
    options.setdefault("meta_steps", 100)
    options.setdefault("stream", io.StringIO())
    return report.Report(str(folder), **options)


def lines(folder):
    text = (folder / report.METRICS_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


def tensorboard(folder, run):
    """Return {tag: [(step, value), ...]} as TensorBoard would show it."""
    events = plugin_event_accumulator.EventAccumulator(str(folder / run))
    events.Reload()
    return {
        tag: [
            (event.step, tensor_util.make_ndarray(event.tensor_proto))
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def log_lines(caplog):
    """Messages that were logged for people."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    caplog.set_level(python_logging.INFO, logger="absl")
    yield lambda: caplog.messages
    logging.set_verbosity(before)


# Divergence.


def test_finite_metrics_pass():
    report.check_finite({"D_loss": 1e30, "G_loss": -0.0}, (1, 20))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_metric_that_is_not_finite_is_named_with_player_and_window(value):
    with pytest.raises(
        FloatingPointError,
        match=r"between meta-steps 21 and 40: D_val \(discriminator\) is "
        rf"{value}, grad_norm_outer_G \(generator\) is nan, speed is nan; ",
    ):
        report.check_finite(
            {
                "D_loss": 1.0,
                "D_val": value,
                "grad_norm_outer_G": float("nan"),
                "speed": float("nan"),
            },
            (21, 40),
        )


def test_train_stops_with_the_window_since_the_last_call(tmp_path):
    with open_report(tmp_path, start_step=10) as log:
        log.train(30, {"D_loss": 1.0})
        with pytest.raises(FloatingPointError, match="meta-steps 31 and 50"):
            log.train(50, {"D_loss": float("nan")})
    assert [line["step"] for line in lines(tmp_path)] == [30]


def test_evaluate_stops_too(tmp_path):
    with (
        open_report(tmp_path) as log,
        pytest.raises(FloatingPointError, match="meta-steps 7 and 7: fid is"),
    ):
        log.evaluate(7, {"fid": float("inf")})


# metrics.jsonl.


def test_each_record_is_one_line_with_step_run_and_values(tmp_path):
    with open_report(tmp_path) as log:
        log.train(20, {"D_loss": np.float32(0.5), "G_loss": -1})
        log.evaluate(20, {"fid": 3.0})
        # Written at once, not when the report is closed.
        train, evaluation = lines(tmp_path)
    for clock in ("seconds", "cpu_seconds"):
        assert train.pop(clock) >= 0
        assert evaluation.pop(clock) >= 0
    assert train == {"step": 20, "run": "train", "D_loss": 0.5, "G_loss": -1.0}
    assert evaluation == {"step": 20, "run": "eval", "fid": 3.0}


def test_resumed_run_drops_later_lines_and_a_line_that_was_cut_off(tmp_path):
    with open_report(tmp_path) as log:
        for step in (20, 40, 60):
            log.train(step, {"D_loss": step})
    with open(tmp_path / report.METRICS_FILE, "a") as file:
        file.write('{"step": 30, "run": "tr')
    with open_report(tmp_path, start_step=40) as log:
        log.train(60, {"D_loss": -1})
    found = [(line["step"], line["D_loss"]) for line in lines(tmp_path)]
    assert found == [(20, 20.0), (40, 40.0), (60, -1.0)]


def test_run_that_starts_anew_keeps_nothing_of_an_earlier_one(tmp_path):
    for value in (1, 2):
        with open_report(tmp_path) as log:
            log.train(20, {"D_loss": value})
    assert [line["D_loss"] for line in lines(tmp_path)] == [2.0]


# TensorBoard.


def test_tensorboard_shows_scalars_in_their_runs(tmp_path):
    with open_report(tmp_path) as log:
        log.train(20, {"D_loss": 0.5})
        log.train(40, {"D_loss": 0.25})
        log.evaluate(40, {"fid": 3.0})
    assert tensorboard(tmp_path, "train")["D_loss"] == [(20, 0.5), (40, 0.25)]
    assert tensorboard(tmp_path, "eval")["fid"] == [(40, 3.0)]


def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path):
    with open_report(tmp_path) as log:
        for step in (20, 40, 60):
            log.train(step, {"D_loss": step})
    with open_report(tmp_path, start_step=40) as log:
        log.train(60, {"D_loss": -1.0})
    found = tensorboard(tmp_path, "train")["D_loss"]
    assert found == [(20, 20.0), (40, 40.0), (60, -1.0)]


def test_tensorboard_holds_settings_as_text_and_hyper_parameters(tmp_path):
    with open_report(tmp_path) as log:
        log.describe({"seed": 3, "adapt": ("g/*", "d/*"), "rate": None})
    events = plugin_event_accumulator.EventAccumulator(
        str(tmp_path / "train")
    ).Reload()
    ((_, text),) = tensorboard(tmp_path, "train")["settings"]
    assert "| seed | 3 |\n| adapt | g/*, d/* |\n| rate | None |" in (
        text.item().decode()
    )
    content = events.SummaryMetadata("_hparams_/session_start_info")
    data = plugin_data_pb2.HParamsPluginData.FromString(
        content.plugin_data.content
    )
    hparams = data.session_start_info.hparams
    assert hparams["seed"].number_value == 3
    assert hparams["adapt"].string_value == "g/*, d/*"
    assert hparams["rate"].string_value == "None"


def test_image_is_a_png_and_in_tensorboard(tmp_path):
    with open_report(tmp_path) as log:
        path = log.image(500, PICTURE)
    assert path == str(tmp_path / "samples" / "step_000500.png")
    with PIL.Image.open(path) as png:
        np.testing.assert_array_equal(np.asarray(png), PICTURE)
    ((step, value),) = tensorboard(tmp_path, "eval")[report.PANEL_TAG]
    assert step == 500
    with PIL.Image.open(io.BytesIO(value[2])) as png:
        np.testing.assert_array_equal(np.asarray(png), PICTURE)


# Progress.


def test_progress_is_log_lines_where_it_is_not_a_terminal(tmp_path, log_lines):
    stream = io.StringIO()
    with open_report(tmp_path, stream=stream) as log:
        log.train(
            20, {"D_loss": 0.5, "G_loss": -2.0, "x": 9, "tasks_per_second": 7}
        )
    (line,) = log_lines()
    assert line.startswith(
        "meta-step 20/100: D_loss 0.5, G_loss -2, 7 tasks/s, 00:"
    )
    assert line.endswith(" left")
    assert stream.getvalue() == ""


def test_progress_is_a_bar_on_a_terminal(tmp_path, log_lines):
    stream = Terminal()
    with open_report(tmp_path, start_step=40, stream=stream) as log:
        log.train(60, {"D_loss": 0.5, "G_loss": -2.0, "tasks_per_second": 7})
        log.say("a checkpoint")
    assert log_lines() == ["a checkpoint"]
    assert "D_loss 0.5, G_loss -2, 7 tasks/s" in stream.getvalue()
    assert "60/100" in stream.getvalue()


def test_progress_is_silent_when_only_warnings_are_wanted(tmp_path, log_lines):
    logging.set_verbosity(logging.WARNING)
    stream = Terminal()
    with open_report(tmp_path, stream=stream) as log:
        log.train(20, {"D_loss": 0.5})
    assert stream.getvalue() == ""
    assert log_lines() == []


def test_time_left_counts_from_the_start_of_this_process(
    tmp_path, log_lines, monkeypatch
):
    clock = [1000.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: clock[0])
    with open_report(tmp_path, start_step=50) as log:
        clock[0] += 60.0
        log.train(60, {"D_loss": 0.5})
    # 10 meta-steps a minute, 40 are left.
    assert log_lines()[0].endswith("04:00 left")


# Files.


def test_close_twice_is_harmless(tmp_path):
    log = open_report(tmp_path)
    log.close()
    log.close()


def test_report_closes_when_training_raises(tmp_path):
    with (
        pytest.raises(KeyError, match="mistake"),
        open_report(tmp_path) as log,
    ):
        raise KeyError("mistake")
    with pytest.raises(ValueError, match="closed file"):
        log.train(20, {"D_loss": 0.5})


@pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="needs /dev/full of Linux"
)
def test_full_disk_is_named_with_the_file(tmp_path):
    lost = r"metrics\.jsonl cannot be written: No space left"
    log = open_report(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file.fileno())
    os.close(full)
    with pytest.raises(OSError, match=lost):
        log.train(20, {"D_loss": 0.5})
    with pytest.raises(OSError, match=lost):
        log.close()


def test_events_that_cannot_be_written_are_named(tmp_path):
    class Full:
        """A writer of TensorFlow on a full disk."""

        def __init__(self, writer):
            self.as_default, self.close = writer.as_default, writer.close

        def flush(self):
            raise tf.errors.ResourceExhaustedError(None, None, "disk is full")

    log = open_report(tmp_path)
    real = log._writers["train"]
    log._writers["train"] = Full(real)
    with pytest.raises(OSError, match="train cannot be written: disk is full"):
        log.train(20, {"D_loss": 0.5})
    log._writers["train"] = real
    log.close()


def test_picture_that_cannot_be_written_is_named(tmp_path):
    with open_report(tmp_path) as log:
        (tmp_path / "samples" / "step_000001.png").mkdir(parents=True)
        with pytest.raises(
            OSError, match=r"step_000001\.png cannot be written"
        ):
            log.image(1, PICTURE)


def test_logdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file"):
        open_report(tmp_path / "file")
