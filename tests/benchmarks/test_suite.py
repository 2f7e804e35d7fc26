"""The suite's figures, its comparison with a baseline, its schema."""

import json

import pytest

import benchmarks
from benchmarks import (
    contestants,
    counts,
    facts,
    figures,
    kernels,
    meta_step,
    meta_step_report,
    processes,
    soak,
    streaming,
    suite,
    suite_parts,
)
from benchmarks.figures import Figure
from tests import runs
from tf_metagan import assembly, registry, settings
from tf_metagan.config import Config


def figure(name="speed", value=2.0, unit="ratio", better="higher"):
    return Figure("section", name, value, unit, better)


# ------------------------------------------------------------- comparison


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (figure(value=2.5), "better"),
        (figure(value=1.5), "worse"),
        (figure(value=1.9), None),
        (figure(value=2.0), None),
    ],
)
def test_moves_are_those_beyond_noise(after, verdict):
    found = figures.moves([figure()], [after], same_machine=True)
    assert [move.verdict for move in found] == [verdict] * bool(verdict)


def test_less_time_is_better_and_only_on_the_same_machine():
    before = [figure("first call", 10.0, "s", "lower")]
    after = [figure("first call", 5.0, "s", "lower")]
    (move,) = figures.moves(before, after, same_machine=True)
    assert move == ("first call", 10.0, 5.0, "better")
    assert not figures.moves(before, after, same_machine=False)


@pytest.mark.parametrize(
    ("value", "moved"), [(0.0015, False), (0.009, False), (0.013, True)]
)
def test_small_share_moves_by_more_than_a_hundredth(value, moved):
    before = [figure("waiting", 0.001, "share", "lower")]
    after = [figure("waiting", value, "share", "lower")]
    assert bool(figures.moves(before, after, same_machine=True)) == moved


def test_worst_move_comes_first():
    before = [figure("a"), figure("b"), figure("c")]
    after = [figure("a", 4.0), figure("b", 1.5), figure("c", 0.5)]
    found = figures.moves(before, after, same_machine=True)
    assert [move.name for move in found] == ["c", "b", "a"]


def test_comparison_names_what_moved_came_and_went():
    text = figures.comparison(
        [figure("a"), figure("gone")],
        [figure("a", 1.0), figure("fresh")],
        same_machine=False,
    )
    assert "Another processor" in text
    assert "| a | 2.00 | 1.00 | worse |" in text
    assert "new: fresh" in text
    assert "not measured: gone" in text
    same = figures.comparison([figure()], [figure()], same_machine=True)
    assert "None of 1 figures moved." in same


# ---------------------------------------------------------------- figures


def test_operations_are_those_counted_by_hand():
    """F_G = 14.05 and F_D = 13.26 million at width 64."""
    work = benchmarks.Workload("reptile", steps=1, tasks=1, batch=1)
    by_hand = 1e6 * (10 * 13.26 + 3 * 14.05)
    assert counts.flops(work) == pytest.approx(by_hand, rel=1e-3)
    for name, factor in (("steps", 7), ("tasks", 3), ("batch", 5)):
        more = work._replace(**{name: factor})
        assert counts.flops(more) == factor * counts.flops(work)
    fomaml = counts.flops(work._replace(algo="fomaml"))
    assert fomaml == 2 * counts.flops(work)
    exact = {counts.flops(work._replace(algo=x)) for x in ("maml", "metasgd")}
    assert len(exact) == 1


class Fake:
    """A worker whose times are known: `wall` seconds a turn."""

    def __init__(self, wall):
        turn = {
            "wall": wall,
            "cpu": wall,
            "kernels": {"convolution": 0.001},
            "flops": {"convolution": 1e6},
            "times": {x: {"convolution": 100} for x in kernels.ALGOS},
        }
        self.turns = [{"wall": 9.0}, turn, turn]

    def growth(self):
        return 100.0

    def others(self):
        return 0.25


@pytest.fixture
def fake(monkeypatch):
    """Let every race end at once, with seconds that tell who took part."""
    walls = {"fomaml": 0.5, "maml": 2.0, 1: 0.5, 4: 1.0, 16: 4.0}

    def race(cases, *, rounds, cores):
        assert min(rounds, cores) >= 1
        return {name: Fake(walls.get(name, 1.0)) for name in cases}

    def measure(sizes, algos, plan, *, cores, torch, say):
        def row(algo, steps, label="while", wait=None):
            return meta_step_report.Row(
                side="library",
                label=label,
                threads="2/1",
                algo=algo,
                steps=steps,
                turns=3,
                median_s=0.1 * steps,
                min_s=0.1 * steps,
                cpu_s=0.1,
                first_s=3.0,
                baseline_mb=200.0,
                growth_mb=100.0 + steps,
                others=0.0,
                wait=wait,
                ratio=2.0 if torch else None,
            )

        return [
            {"title": title, "note": "", "rows": rows}
            for title, rows in (
                ("The meta-step", [row(a, 10) for a in algos]),
                (
                    "Growth with the number of inner steps",
                    [row(a, k) for a in algos for k in (1, 5, 50)],
                ),
                (
                    "Share of the input pipeline",
                    [row(a, 10, wait=0.01) for a in algos],
                ),
            )
        ]

    goals = [
        {"what": "cold load, s", "expected": "<= 3", "found": 2.0},
        {"what": "torch / export", "expected": ">= 1.6", "found": 1.7},
        {"what": "p50 of a request, ms", "expected": "<= 200", "found": 150.0},
    ]
    monkeypatch.setattr(suite_parts, "race", race)
    monkeypatch.setattr(meta_step, "measure", measure)
    monkeypatch.setattr(
        suite_parts.serving_latency,
        "measure",
        lambda *_, **__: {"goals": goals},
    )
    monkeypatch.setattr(suite_parts.one_thread, "race", race_on_one_thread)


def race_on_one_thread(module, sizes, sides, rounds):
    """Yield seconds: of the library one half, of the last of PyTorch one."""
    assert module.startswith("benchmarks.")
    assert isinstance(rounds, int)
    for place, side in enumerate(sides):
        yield side, 1.0, 0.5 if place == 0 else float(len(sides) - place)


def with_torch(monkeypatch, version):
    known = facts.version
    monkeypatch.setattr(
        facts, "version", lambda x: version if x == "torch" else known(x)
    )


def check_schema(report):
    assert report.keys() == {"format", "command", "machine", "figures"}
    assert report["format"] == suite.FORMAT
    assert {"processor", "cores", "tensorflow", "torch", "commit"} <= set(
        report["machine"]
    )
    names = [x["name"] for x in report["figures"]]
    assert len(set(names)) == len(names) > 0
    for each in report["figures"]:
        assert each.keys() == set(Figure._fields)
        assert isinstance(each["value"], float)
        assert each["unit"] in figures.UNITS
        assert each["better"] in ("higher", "lower")
        assert 0.0 <= each["busy"] <= 1.0


def test_memory_that_is_unknown_is_left_out(fake, monkeypatch):
    def names():
        found = suite_parts.measure_tasks(rounds=1, cores=1)
        return {x.name.partition(",")[0] for x in found}

    assert names() == {"time per task", "peak memory"}
    monkeypatch.setattr(Fake, "growth", lambda self: None)
    assert names() == {"time per task"}


def test_idle_machine_is_a_fact():
    lines = facts.lines({"load_at_start": 0.0, "torch": None, "processor": ""})
    assert lines == ["- load_at_start: 0.0\n"]


def test_contestant_that_ended_by_itself_is_told_and_stopped():
    """`json.tool` knows none of the words of a contestant."""
    worker = processes.Worker("x", "json.tool", [], cores=1, environment={})
    worker._process.wait()
    with pytest.raises(RuntimeError, match="process of x ended with code 2"):
        worker.turn()
    worker.stop()
    assert worker._errors.closed


@pytest.mark.parametrize("torch", ["9.9", None])
def test_report_has_every_figure_in_its_schema(
    fake, monkeypatch, tmp_path, capsys, torch
):
    with_torch(monkeypatch, torch)
    path = tmp_path / "suite.json"
    assert suite.main(["--quick", f"--output={path}"]) == 0
    report = json.loads(path.read_text())
    check_schema(report)
    values = {x["name"]: x["value"] for x in report["figures"]}
    assert values["maml: peak memory, k = 50 / k = 5"] == 150 / 105
    assert values["maml: time per step, k = 50 / k = 1"] == pytest.approx(1)
    assert values["time per task, N = 16 / N = 1"] == 0.5
    assert values["maml: meta-step / fomaml's"] == 4.0
    assert values["fomaml: waiting"] == 0.01
    assert values["maml: kernels alone / meta-step"] == 0.1 / 2.0
    assert values["p50 of a request"] == 0.15
    for rule in suite_parts.ON_ONE_THREAD:
        assert values.get(f"{rule}: torch / library") == (
            2.0 if torch else None
        )
    assert ("fomaml: torch / library" in values) == bool(torch)
    text = capsys.readouterr().out
    assert text == path.with_suffix(".md").read_text() + "\n"
    assert ("PyTorch was not installed" in text) == (torch is None)
    report["figures"][0]["value"] = None
    with pytest.raises(AssertionError):
        check_schema(report)


def test_worse_figure_is_named_and_ends_with_1(
    fake, monkeypatch, tmp_path, capsys
):
    with_torch(monkeypatch, None)
    path, output = tmp_path / "a.json", tmp_path / "b.json"
    words = ["--parts=tasks", f"--output={output}"]
    suite.main(["--parts=tasks", f"--output={path}"])
    assert suite.main([*words, f"--compare={path}"]) == 0
    report = json.loads(path.read_text())
    report["figures"][0]["value"] /= 2
    path.write_text(json.dumps(report))
    capsys.readouterr()
    assert suite.main([*words, f"--compare={path}"]) == 1
    name = report["figures"][0]["name"]
    assert f"| {name} | 0.250 | 0.500 | worse |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts=tasks,speed"], "names speed; known are meta_step, kernels"),
        (["--compare=absent.json"], "absent.json"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_command_lines_are_refused(fake, capsys, words, message):
    with pytest.raises(SystemExit):
        suite.main(words)
    assert message in capsys.readouterr().err


def test_other_json_is_no_baseline(fake, tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text('{"format": 99}')
    with pytest.raises(SystemExit):
        suite.main([f"--compare={path}"])
    assert "no report of the suite (format is 99)" in capsys.readouterr().err


# ------------------------------------------------------- soak and streaming


def moments(memory=lambda i: 100.0, time=lambda i: 5.0, checkpoints=3):
    return [
        soak.Moment(i, memory(i), time(i), 9, checkpoints, 1.0)
        for i in range(20)
    ]


def test_soak_finds_what_is_not_flat():
    assert soak.faults(moments()) == []
    # What the start needs is no leak.
    assert soak.faults(moments(lambda i: min(80.0 + 5 * i, 100.0))) == []
    (leak,) = soak.faults(moments(lambda i: 100.0 + i))
    assert leak == "memory grew from 111 to 118"
    (slow,) = soak.faults(moments(time=lambda i: 5.0 + 0.2 * i))
    assert slow.startswith("time grew")
    (many,) = soak.faults(moments(checkpoints=9))
    assert many.startswith("9 checkpoints")


def test_soak_counts_files_that_others_remove(tmp_path):
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/ckpt-1.index").write_bytes(b"123")
    gone = tmp_path / "ckpt/ckpt-0.index"
    gone.symlink_to(tmp_path / "nothing")  # listed, and not there
    found = soak.sizes(tmp_path)
    assert found == {str(tmp_path / "ckpt/ckpt-1.index"): 3}


def test_streaming_writes_classes_of_different_pictures(tmp_path):
    streaming.write_folder(tmp_path, 250)
    sizes = [len(list(x.iterdir())) for x in sorted(tmp_path.iterdir())]
    assert sizes == [100, 100, 50]
    first = sorted(tmp_path.glob("00000/*.png"))
    assert len({x.read_bytes() for x in first}) == 100


# -------------------------------------------------------------- contestants


@pytest.mark.parametrize("rule", suite_parts._RULES)
def test_rules_are_raced_with_settings_that_fit(rule):
    given = {**suite_parts._SMALL, **suite_parts._RULES[rule]}
    chosen = settings.Settings(Config, [(given, True)])
    chosen = assembly.with_algorithm_defaults(chosen)
    algorithm = assembly.make_algorithm(chosen.with_defaults({"channels": 3}))
    assert registry.ALGORITHMS[rule].endswith(type(algorithm).__name__)


def test_contestants_do_their_work():
    train = contestants.training(**runs.TOY, algo="reptile", penalty="none")
    for step in (train, contestants.matrix_product()):
        assert step() is None
        assert step() is None
    judge = contestants.judging(name="mnist", samples=2, steps=0)
    assert judge().log_probs.shape == (2, 10)


def test_only_numbers_of_an_answer_reach_the_parent(monkeypatch):
    for answer, kept in ((None, None), ((1, 2), None), ({"a": 1}, {"a": 1})):
        step = {"known": lambda answer=answer: lambda: answer}
        monkeypatch.setattr(contestants, "KINDS", step)
        assert suite._numbers("known", {})() == kept


def test_contestants_take_turns_in_processes_of_their_own():
    given = {**runs.TOY, "algo": "scratch", "penalty": "none"}
    found = suite_parts.race({"toy": ("training", given)}, rounds=2, cores=1)
    assert len(found["toy"].turns) == 3
    assert (
        0.0 < suite_parts.seconds(found["toy"]) < found["toy"].turns[0]["wall"]
    )
