"""What the report of the serving benchmark is made of."""

import importlib.util
import json
import types

import numpy as np
import pytest

from benchmarks import (
    facts,
    processes,
    serving_contestants,
    serving_latency,
    serving_report,
)
from benchmarks.serving_contestants import Case, Request
from tf_metagan import serve, trained_runs

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="pip install torch"
)
SMALL = Request(images=2, steps=2, samples=3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Export the shipped model of MNIST: (folder, what was found)."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_contestants, "WEIGHTS", ("float32", "bfloat16"))
        found = serving_contestants.prepare("pretrained:mnist", folder, SMALL)
    return folder, found


@pytest.fixture
def one_thread():
    """Let no thread of PyTorch wait for another on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@needs_torch
@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_torch_answers_what_the_export_answers(prepared):
    folder, found = prepared
    assert found["torch"]
    with np.load(folder / "request.npz") as stored:
        arrays = dict(stored)
    expected = serve.load(str(folder / "float32")).adapt_and_sample(
        arrays["images"], num_samples=3, steps=2, seed=1
    )
    expected = np.moveaxis(expected.samples.numpy(), -1, -3)
    for options in serving_contestants.TORCH.values():
        options = {k: v for k, v in options.items() if k != "malloc"}

        def answer(arrays, options=options):
            return serving_contestants.torch_answer(
                arrays, options, fresh=False
            )()

        # Sums in another order, which the inner optimiser enlarges.
        np.testing.assert_allclose(answer(arrays), expected, atol=1e-3)
        for other in (
            {"rate": 1.2 * arrays["rate"]},
            {"mix": 1.0 - arrays["mix"]},
            {"latent": arrays["latent"][::-1].copy()},
        ):
            gap = np.abs(answer({**arrays, **other}) - expected)
            assert gap.max() > 2e-3, other


@pytest.mark.slow
def test_half_weights_are_half_as_large_and_nearly_as_good(prepared):
    _, found = prepared
    full, half = found["half"]
    assert (full["max_difference"], full["weights"]) == (0.0, "float32")
    assert half["weights"] == "bfloat16"
    assert 0.5 <= half["weight_bytes"] / full["weight_bytes"] < 0.6
    assert 0 < half["mean_difference"] < 0.2


@pytest.mark.slow
def test_contestants_answer(prepared):
    folder, _ = prepared
    for case in (
        Case("export", "bfloat16"),
        Case("batch", "2 tasks"),
        Case("library"),
    ):
        step = serving_contestants.step_of(
            case, folder, "pretrained:mnist", SMALL
        )
        assert step() is None
        step()


def test_games_that_torch_does_not_play_are_known():
    config = trained_runs.load_run("pretrained:omniglot").settings.config
    assert not serving_contestants._is_playable(config, Request())
    config = trained_runs.load_run("pretrained:mnist").settings.config
    assert serving_contestants._is_playable(config, Request())
    assert not serving_contestants._is_playable(config, Request(images=17))


# The report, of times that are known.


def walls(seconds, rounds=4):
    """Return requests that take longer and longer, the first a second."""
    return [1.0] + [seconds * (1 + n) for n in range(rounds)]


def test_ratios_are_of_the_same_round():
    raced = serving_contestants.cases(cores=2, torch=False)
    times = [walls(0.1 * (1 + place)) for place in range(len(raced))]
    rows = serving_report.summary(raced, times, [0.0] * len(raced))
    assert [row.ratio for row in rows] == pytest.approx(
        [1 + place for place in range(len(raced))]
    )
    assert rows[0].p50_ms == pytest.approx(250.0)
    assert rows[0].p99_ms == pytest.approx(400.0)
    assert (rows[0].turns, rows[0].first_s) == (4, 1.0)


@pytest.mark.parametrize("slow", [False, True])
def test_goals_are_met_or_not(slow):
    raced = serving_contestants.cases(cores=2, torch=True)
    seconds = {"export": 0.04, "library": 0.04, "torch": 0.08, "batch": 0.1}
    if slow:
        seconds = {"export": 0.3, "library": 0.2, "torch": 0.3, "batch": 0.1}
    times = [walls(seconds[case.side], rounds=3) for case in raced]
    cold = [{"load_s": 0.5 + 2 * slow, "answer_s": 1.0, "total_s": 9.0}]
    found = serving_report.goals(raced, times, cold)
    assert [row["met"] for row in found] == [not slow] * 4
    expected = [600, 1.5, 1.0, 3.5] if slow else [80, 1.0, 2.0, 1.5]
    assert [row["found"] for row in found] == pytest.approx(expected)


def test_report_is_written_as_json_and_markdown(monkeypatch, tmp_path, capsys):
    times = {}

    def take_turns(start, *, rounds, seconds):
        times["rounds"] = rounds
        return [
            types.SimpleNamespace(
                turns=[{"wall": wall} for wall in walls(0.1, rounds)],
                others=lambda: 0.0,
            )
            for _ in start
        ]

    half = dict.fromkeys(("mean_difference", "max_difference"), 0.25)
    half |= {"weights": "float16", "graph_bytes": 1e6, "weight_bytes": 4e5}
    cold = dict.fromkeys(("import_s", "load_s", "answer_s", "total_s"), 1.5)

    def run(*words):
        ready = {"torch": False, "half": [half]}
        return json.dumps(ready if "--prepare" in words else cold) + "\n"

    monkeypatch.setattr(processes, "take_turns", take_turns)
    monkeypatch.setattr(serving_latency, "_run", run)
    path = tmp_path / "speed.json"
    serving_latency.main(["--quick", f"--output={path}"])
    report = json.loads(path.read_text())
    assert times["rounds"] == 20
    assert report["request"] == Request()._asdict()
    assert len(report["cold"]) == 2
    text = path.with_suffix(".md").read_text()
    assert text in capsys.readouterr().out
    assert "| float16 | 1000 | 400 | 2.5e-01 | 2.5e-01 |" in text
    assert "| export / library, equal threads | <= 1.1 | 1.00 | met |" in text
    assert "PyTorch was not installed" in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--samples=0"], "got 16, 10, 0 and 2, expected at least 1 of each"),
        (["mnist"], "unrecognized arguments: mnist"),
    ],
)
def test_wrong_command_lines_are_refused(capsys, argv, message):
    with pytest.raises(SystemExit):
        serving_latency.main(argv)
    assert message in capsys.readouterr().err


def test_process_that_fails_is_reported_with_its_last_words():
    with pytest.raises(
        RuntimeError, match=r"(?s)ended with code 3.*last words"
    ):
        serving_latency._run(
            "-c", "import sys; print('no', file=sys.stderr); sys.exit(3)"
        )


def test_table_leaves_out_columns_in_which_nothing_stands():
    table = facts.table([("a", str), ("b", lambda _: "")], [1, 2])
    assert table == "| a |\n| --- |\n| 1 |\n| 2 |\n"
