"""The races of the meta-step: who takes part, and what is reported."""

import json
import math

import pytest

from benchmarks import Workload, facts, meta_step
from benchmarks import meta_step_contestants as contestants
from benchmarks import meta_step_report as report_lib

SMALL = Workload("", steps=2, tasks=2, batch=3, width=4, dtype="float64")


def _row(**changes):
    row = report_lib.Row(
        side="library",
        label="while",
        threads="2/1",
        algo="fomaml",
        steps=10,
        turns=3,
        median_s=0.5,
        min_s=0.25,
        cpu_s=0.375,
        first_s=2.5,
        baseline_mb=500.0,
        growth_mb=123.4,
        others=0.01,
    )
    return row._replace(**changes)


def test_table_shows_each_number_in_its_column():
    lines = report_lib.table([_row(ratio=1.6)]).splitlines()
    cells = [[x.strip() for x in line.strip("|").split("|")] for line in lines]
    assert dict(zip(cells[0], cells[2], strict=True)) == {
        "algorithm": "fomaml",
        "k": "10",
        "contestant": "library: while",
        "threads": "2/1",
        "median s": "0.500",
        "min s": "0.250",
        "CPU s / cores": "0.375",
        "first call s": "2.50",
        "peak MB": "123",
        "torch / this": "1.60",
    }


def test_table_leaves_out_columns_in_which_nothing_stands():
    head = report_lib.table([_row(growth_mb=None)]).splitlines()[0]
    assert "peak MB" not in head
    assert "waiting" not in head
    rows = [_row(growth_mb=None), _row(wait=0.031)]
    table = report_lib.table(rows).splitlines()
    assert "peak MB" in table[0]
    assert "3.1 %" in table[3]
    assert len({line.count("|") for line in table}) == 1


def test_table_marks_rows_during_which_others_were_busy():
    table = report_lib.table([_row(), _row(others=0.5)]).splitlines()
    assert "0.500*" not in table[2]
    assert "0.500*" in table[3]


def test_ratio_is_to_the_fastest_torch_of_the_same_race():
    rows = [
        _row(),
        _row(side="torch", median_s=1.0),
        _row(side="torch", median_s=0.75),
        _row(side="torch", median_s=0.1, steps=1),
        _row(side="torch", median_s=0.1, algo="maml"),
    ]
    ratios = [row.ratio for row in report_lib.compared(rows)]
    assert ratios == [1.5, 0.75, 1.0, 1.0, 1.0]
    assert report_lib.compared(rows[:1])[0].ratio is None


def test_best_of_each_way_to_use_threads_comes_fastest_first():
    rows = [
        _row(label="a", threads="1/2", median_s=3.0),
        _row(label="b", threads="2/1", median_s=2.0),
        _row(label="c", threads="1/2", median_s=1.0),
    ]
    assert meta_step._best_of_each(rows) == ("c", "b")


def test_growth_is_raced_against_the_fastest_torch():
    work = SMALL._replace(algo="maml")
    cases = meta_step._main_cases(work, ["plain"], unrolled=True, cores=2)
    assert [(c.side, c.label, c.threads) for c in cases] == [
        ("library", "while", "2/1"),
        ("library", "while", "default"),
        ("library", "unrolled", "2/1"),
        ("torch", "plain", "1/2"),
        ("torch", "plain", "1/1"),
    ]
    rows = [
        _row(side=case.side, median_s=seconds)
        for case, seconds in zip(cases, (1.0, 2.0, 3.0, 5.0, 4.0), strict=True)
    ]
    assert meta_step._fastest_torch(cases, rows) == [cases[4]]
    assert meta_step._fastest_torch(cases[:3], rows[:3]) == []


# Type of every entry of a row; None stands for "may be null".
_SCHEMA = {
    "side": (str,),
    "label": (str,),
    "threads": (str,),
    "algo": (str,),
    "steps": (int,),
    "turns": (int,),
    "median_s": (float,),
    "min_s": (float,),
    "cpu_s": (float,),
    "first_s": (float,),
    "baseline_mb": (float, None),
    "growth_mb": (float, None),
    "others": (float,),
    "wait": (float, None),
    "ratio": (float, None),
}


def _check_schema(report):
    assert report.keys() == {
        "format",
        "command",
        "workload",
        "machine",
        "sections",
    }
    assert report["format"] == meta_step.FORMAT
    assert report["workload"].keys() == set(Workload._fields)
    assert {"processor", "cores", "tensorflow", "torch", "commit"} <= set(
        report["machine"]
    )
    assert report["sections"]
    for section in report["sections"]:
        assert section.keys() == {"title", "note", "rows"}
        assert section["rows"]
        for row in section["rows"]:
            assert row.keys() == _SCHEMA.keys()
            for name, types in _SCHEMA.items():
                allowed = tuple(t for t in types if t)
                null = row[name] is None and None in types
                assert null or isinstance(row[name], allowed), name


@pytest.fixture
def fake_race(monkeypatch):
    """Races of which the result is known; records who took part."""
    seen = []

    def race(cases, *, rounds, cores, seconds):
        assert min(rounds, cores) >= 1
        assert seconds > 0
        seen.append(cases)
        return [
            _row(
                side=case.side,
                label=case.label,
                threads=case.threads,
                algo=case.workload.algo,
                steps=case.workload.steps,
                median_s=1.0 if case.side == "torch" else 0.5,
                wait=0.01 if case.options.get("pipeline") else None,
            )
            for case in cases
        ]

    monkeypatch.setattr(meta_step, "race", race)
    return seen


def _with_torch(monkeypatch, version, *, higher=None):
    known = facts.version
    versions = {"torch": version, "higher": higher}
    monkeypatch.setattr(
        facts,
        "version",
        lambda name: versions[name] if name in versions else known(name),
    )


@pytest.mark.parametrize("quick", [True, False])
def test_report_is_written_as_json_and_markdown(
    monkeypatch, tmp_path, capsys, fake_race, quick
):
    _with_torch(monkeypatch, "9.9")
    path = tmp_path / "new" / "speed.json"
    argv = ["--algos=fomaml,maml", f"--output={path}", *["--quick"] * quick]
    meta_step.main(argv)
    report = json.loads(path.read_text())
    _check_schema(report)
    text = path.with_suffix(".md").read_text()
    assert text == report_lib.markdown(report)
    assert text in capsys.readouterr().out
    assert "2.00 |\n" in text
    assert report["command"].endswith(" ".join(argv))
    labels = {case.label for cases in fake_race for case in cases}
    assert ("unrolled" in labels) == (not quick)
    assert (set(contestants.TORCH) <= labels) == (not quick)


@pytest.mark.parametrize("higher", ["0.2.1", None])
def test_higher_takes_part_where_it_is_installed(
    monkeypatch, tmp_path, capsys, fake_race, higher
):
    _with_torch(monkeypatch, "9.9", higher=higher)
    path = tmp_path / "speed.json"
    meta_step.main(["--algos=maml,metasgd", f"--output={path}"])
    seen = {
        (case.workload.algo, case.label)
        for cases in fake_race
        for case in cases
    }
    for label, options in contestants.FORMS.items():
        present = options["form"] != "higher" or higher is not None
        assert (("maml", label) in seen) == present
        assert ("metasgd", label) not in seen
    said = "higher is not installed" in path.with_suffix(".md").read_text()
    assert said == (higher is None)


def test_schema_check_notices_a_missing_number(
    monkeypatch, tmp_path, capsys, fake_race
):
    _with_torch(monkeypatch, "9.9")
    path = tmp_path / "speed.json"
    meta_step.main(["--quick", "--algos=reptile", f"--output={path}"])
    report = json.loads(path.read_text())
    report["sections"][0]["rows"][0]["median_s"] = None
    with pytest.raises(AssertionError, match="median_s"):
        _check_schema(report)


def test_report_without_torch_says_so(monkeypatch, tmp_path, capsys, fake_race):
    _with_torch(monkeypatch, None)
    path = tmp_path / "speed.json"
    meta_step.main(["--algos=reptile", f"--output={path}"])
    _check_schema(json.loads(path.read_text()))
    output = capsys.readouterr()
    assert "PyTorch was not installed" in output.out
    assert "pip install torch" in output.err
    sides = {case.side for cases in fake_race for case in cases}
    assert sides == {"library"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--algos=fomaml,mamel"], "names mamel; known are fomaml"),
        (["--steps=0"], "got 0, 2, 16, 64 and 2, expected at least 1"),
        (["--cores=0"], "and 0, expected at least 1 of each"),
        (["fomaml"], "unrecognized arguments: fomaml"),
        (["--alg=fomaml"], "unrecognized arguments: --alg=fomaml"),
    ],
)
def test_wrong_command_lines_are_refused(capsys, fake_race, argv, message):
    with pytest.raises(SystemExit) as stop:
        meta_step.main(argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not fake_race


# ---------------------------------------------------------------- processes


def test_threads_reach_the_process_as_environment():
    work = SMALL._replace(algo="maml")
    given = contestants.tensorflow_case(work, threads=(2, 1))
    assert given.environment()["TF_NUM_INTEROP_THREADS"] == "2"
    assert given.environment()["TF_NUM_INTRAOP_THREADS"] == "1"
    free = contestants.tensorflow_case(work, threads=None)
    assert not any("THREADS" in name for name in free.environment())
    for label, options in contestants.TORCH.items():
        case = contestants.torch_case(work, label, cores=2)
        assert case.inter * case.intra == 2
        assert case.environment()["OMP_NUM_THREADS"] == str(case.intra)
        malloc = "MALLOC_MMAP_THRESHOLD_" in case.environment()
        assert malloc == options.get("malloc", False)
        alone = contestants.torch_case(work, label, cores=1)
        assert (alone.inter, alone.intra) == (1, 1)


def test_race_times_the_library_in_its_own_process():
    work = Workload("reptile", steps=1, tasks=1, batch=2, width=2)
    case = contestants.tensorflow_case(work, threads=(1, 1), pipeline=True)
    (row,) = meta_step.race([case], rounds=2, cores=1, seconds=60.0)
    assert (row.algo, row.steps, row.turns) == ("reptile", 1, 2)
    assert row.first_s > row.median_s >= row.min_s > 0.0
    assert 0.0 < row.wait < 1.0
    assert math.isfinite(row.cpu_s)


def test_a_process_that_dies_is_reported_with_its_last_words():
    work = Workload("mamel", steps=1, tasks=1, batch=2, width=2)
    case = contestants.tensorflow_case(work, threads=(1, 1))
    message = r"(?s)process of library \(while\) ended with code 1.*mamel"
    with pytest.raises(RuntimeError, match=message):
        meta_step.race([case], rounds=1, cores=1, seconds=60.0)
