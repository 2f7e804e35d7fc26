"""The load test counts and ranks what it saw."""

import contextlib
import json
import socket

import pytest

from benchmarks import serving_load


def test_summary_counts_and_ranks():
    statuses = [200] * 100 + [503, 0]
    seconds = [(n + 1) / 1000 for n in range(102)]
    row = serving_load.summary(
        statuses, seconds, whole=2.0, clients=8, running=2
    )
    assert (row.requests, row.answered, row.refused, row.lost) == (
        102,
        100,
        1,
        1,
    )
    # Of 1, 2, ..., 100 ms: between the 50th and 51st; 99 % of the way from 1.
    assert row.p50_ms == pytest.approx(50.5)
    assert row.p99_ms == pytest.approx(99.01)
    assert row.max_ms == pytest.approx(100)
    assert row.per_s == 50


def test_server_that_is_not_there_loses_requests():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    row = serving_load.load(place, [b"{}"] * 3, clients=2, running=1)
    assert (row.answered, row.lost) == (0, 3)


def test_requests_differ_and_are_what_the_server_reads():
    one, other = (
        serving_load.body(images=2, steps=3, samples=4, seed=seed)
        for seed in (0, 1)
    )
    assert one != other
    inputs = json.loads(one)["inputs"]
    assert len(inputs["image_bytes"]) == 2
    assert (inputs["steps"], inputs["num_samples"]) == (3, 4)


def test_command_measures_and_writes(monkeypatch, tmp_path):
    with socket.socket() as free:  # nobody listens there: all are lost
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    monkeypatch.setattr(
        serving_load,
        "server",
        lambda model, running: contextlib.nullcontext(place),
    )
    output = tmp_path / "load.json"
    words = ["--model=none", "--requests=2", f"--output={output}"]
    assert serving_load.main(words) == 1
    report = json.loads(output.read_text())
    assert [row["lost"] for row in report["rows"]] == [1, 2]
    assert report["machine"]["cores"] >= 1
    assert "| clients |" in output.with_suffix(".md").read_text()


def test_report_is_a_table():
    row = serving_load.summary([200], [0.25], whole=1.0, clients=1, running=2)
    text = serving_load.markdown(
        {
            "command": "c",
            "model": "m",
            "request": {"images": 1, "steps": 2, "samples": 3},
            "machine": {"cores": 2, "torch": None},
            "rows": [row._asdict()],
        }
    )
    assert "| clients | running | requests |" in text
    assert "| 1 | 2 | 1 | 1 | 0 | 0 | 250 | 250 | 250 | 250 | 1 |" in text
    assert "torch" not in text
