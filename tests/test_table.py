"""The table, with commands that write what the real ones would."""

import json
import shlex
from pathlib import Path

import pytest

from tests import runs
from tf_metagan import cli, evaluate, subcommand, table, table_plan, train
from tf_metagan.evaluation import progress, systems, tabulate
from tf_metagan.evaluation.protocol import QUICK
from tf_metagan.settings import Settings

GOAL = 100


def words_to_settings(command, words):
    """Return the settings of a command line, as the command would read it."""
    found = []
    code = cli.run(command._replace(main=found.append), words)
    assert code == cli.EXIT_OK, words
    return found[0].config


class Commands:
    """Stands for the commands: keeps the words, writes small results."""

    def __init__(self):
        self.trained = []
        self.evaluated = []
        self.fails = {}
        self.interrupt_at = None

    def run(self, words, log):
        assert words[0] == "-m"
        if self.interrupt_at == len(self.trained) + len(self.evaluated):
            raise KeyboardInterrupt
        module, words = words[1], words[2:]
        if module == "tf_metagan.train":
            self.train(words_to_settings(train.COMMAND, words))
        else:
            assert module == "tf_metagan.evaluate"
            self.evaluate(words_to_settings(evaluate.COMMAND, words))

    def train(self, config):
        run = Path(config.logdir)
        self.trained.append((run.name, config))
        if run.name in self.fails:
            raise subcommand.Failed("exit code 3: it diverged", 3)
        write_run(run, algo=config.algo)

    def evaluate(self, config):
        run = Path(config.run)
        self.evaluated.append((run.name, config))
        protocol = evaluate.protocol_of(config)
        if config.quick:
            protocol = evaluate.protocol_of(
                evaluate.EvaluateConfig(
                    steps=config.steps, shots=config.shots, **QUICK
                )
            )
        folder = run / "eval" / protocol.name
        folder.mkdir(parents=True, exist_ok=True)
        score = {"mean": 1.25 + config.shots, "ci95": 0.5, "n": 3}
        results = {
            "format": 1,
            "key": "0",
            "metrics": {"nll_p": score, "accuracy_p": score},
            "columns": {"nll": "nll_p", "accuracy": "accuracy_p"},
            "real": {
                "all": {"nll": score, "accuracy": score, "images": 7},
                "held_out": {"nll": score, "accuracy": score, "images": 2},
            },
            "critic": {"name": "critic_x", "held_out_accuracy": 0.99},
            "subject": {"meta_step": GOAL, "weights": "abc"},
            "protocol": {"name": protocol.name},
            "commit": "c0ffee",
            "seconds": 12.0,
        }
        (folder / "results.json").write_text(json.dumps(results))


def write_run(run, *, algo="maml", step=GOAL, seconds=(60.0,)):
    """Write what training leaves, as far as the table looks at it."""
    (run / "ckpt").mkdir(parents=True, exist_ok=True)
    (run / "ckpt" / f"ckpt-{step}.index").touch()
    settings = {"algo": algo, "meta_steps": GOAL, "seed": 3}
    record = {"settings": settings, "commit": "beef"}
    (run / "config.json").write_text(json.dumps(record))
    lines = [json.dumps({"step": 1, "seconds": s}) for s in seconds]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def commands(monkeypatch):
    stub = Commands()
    monkeypatch.setattr(subcommand, "run", stub.run)
    monkeypatch.chdir(runs.ROOT)
    return stub


def make(folder, **values):
    values = {"rows": ("maml", "fomaml"), "datasets": ("mnist",), **values}
    settings = Settings(
        table_plan.TableConfig, [({"runs_dir": str(folder), **values}, True)]
    )
    return table.main(settings)


def cells(folder):
    return json.loads((folder / "table.json").read_text())["cells"]


# These have networks of their own.
APART = ("latent", "cdcgan", "ours")
ROWS = [row for row in systems.ROWS if row.key not in APART]
FILES = [
    (part, dataset)
    for row in systems.ROWS
    for dataset in systems.DATASETS
    for part in (
        row,
        row._replace(flagfile=dict(row.start).get(dataset, row.flagfile)),
    )
]


@pytest.mark.parametrize(("row", "dataset"), FILES)
def test_every_row_has_flags_that_build(monkeypatch, capfd, row, dataset):
    monkeypatch.chdir(runs.ROOT)
    runs.keep_runtime(monkeypatch)
    path = row.flagfile.format(dataset=dataset)
    config = words_to_settings(train.COMMAND, [f"--flagfile={path}"])
    assert config.dataset == dataset
    if row.key not in APART:
        assert row.key == {"reptile": "figr"}.get(config.algo, config.algo)
    assert (
        f"python -m tf_metagan.train --flagfile={path}"
        in Path(path).read_text()
    )
    words = [f"--flagfile={path}", "--dataset=glyphs", "--num_classes=5"]
    code = cli.run(train.COMMAND, [*words, "--dry_run"])
    assert code == cli.EXIT_OK, capfd.readouterr().err


def test_recipes_of_a_data_set_share_networks_and_images(monkeypatch):
    monkeypatch.chdir(runs.ROOT)
    shared = ("architecture", "width", "latent_size", "inner_batch_size")
    for dataset in systems.DATASETS:
        found = {
            tuple(
                getattr(
                    words_to_settings(
                        train.COMMAND,
                        [f"--flagfile={row.flagfile.format(dataset=dataset)}"],
                    ),
                    name,
                )
                for name in shared
            )
            for row in ROWS
        }
        assert len(found) == 1


def test_everything_missing_is_trained_and_evaluated(tmp_path, commands):
    assert make(tmp_path, max_seconds=90.0) == cli.EXIT_OK
    assert [name for name, _ in commands.trained] == [
        "mnist_maml",
        "mnist_fomaml",
    ]
    assert all(c.max_seconds == 90 for _, c in commands.trained)
    for _, config in commands.evaluated:
        protocol = evaluate.protocol_of(config)
        assert protocol.name == "256tasks_4096_10steps"
        assert protocol.curve_tasks == 32
    found = [(cell["row"], cell["system"]) for cell in cells(tmp_path)]
    assert found == [
        ("real", "Real, all images"),
        ("real", "Real, images the critic never saw"),
        ("maml", "MAML-GAN"),
        ("fomaml", "FOMAML-GAN"),
    ]


def test_metasgd_adapts_as_many_steps_as_it_learned(tmp_path, commands):
    make(tmp_path, rows=("metasgd",))
    ((_, config),) = commands.evaluated
    assert config.steps == 1


def test_cells_say_where_they_come_from(tmp_path, commands):
    make(tmp_path, max_seconds=90.0)
    cell = cells(tmp_path)[2]
    facts = cell["facts"]
    assert "--max_seconds=90" in facts["train"]  # not what is left of them
    assert facts["seed"] == 3
    assert facts["training_commit"] == "beef"
    assert facts["evaluation_commit"] == "c0ffee"
    assert facts["training_seconds"] == 60
    assert facts["meta_step"] == GOAL
    assert facts["protocol"] == "256tasks_4096_10steps"
    for name, command in (("train", train), ("evaluate", evaluate)):
        words = shlex.split(facts[name])
        assert words[:3] == ["python", "-m", command.COMMAND.module]
        words_to_settings(command.COMMAND, words[3:])
    assert cell["values"]["nll"]["mean"] == 1.25
    assert cell["published"] == {"nll": 2.730, "accuracy": 0.823}


def test_published_numbers_stand_beside_ours(tmp_path, commands):
    make(tmp_path, rows=("metasgd", "fomaml"), datasets=("mnist", "omniglot"))
    lines = (tmp_path / "table.md").read_text().splitlines()
    found = [
        [word.strip() for word in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| MetaSGD") or line.startswith("| FOMAML")
    ]
    assert [row[0] for row in found] == ["MetaSGD-GAN", "FOMAML-GAN"] * 2
    assert [row[1] for row in found] == ["1.250 ± 0.500"] * 4
    assert [row[-2:] for row in found] == [
        ["45.474", "0.102"],
        ["1.449", "0.881"],
        ["–", "–"],
        ["5.286", "0.328"],
    ]
    assert [row[-3] for row in found] == ["60 s"] * 4
    text = "\n".join(lines)
    assert "critic_x, accuracy on images it never saw: 0.9900" in text
    assert "Protocols: 256tasks_4096_10steps, 256tasks_4096_1steps." in text


def test_row_that_begins_with_another_training(tmp_path, commands, monkeypatch):
    row = systems.Row(
        "two",
        "two",
        "flags/table/{dataset}_fomaml.flags",
        start=(("mnist", "flags/table/mnist_figr.flags"),),
    )
    monkeypatch.setattr(systems, "ROWS", (row,))
    values = {"rows": ("two",), "shot_rows": ()}
    # The first part is there, but not to its end.
    write_run(tmp_path / "mnist_two_start", algo="reptile", step=40)
    commands.fails = {"mnist_two"}
    assert make(tmp_path, **values) == cli.EXIT_DIVERGED
    commands.fails = set()
    assert make(tmp_path, **values) == cli.EXIT_OK
    found = [(name, c.algo, c.init_from) for name, c in commands.trained]
    start = str(tmp_path / "mnist_two_start")
    assert found == [
        ("mnist_two_start", "reptile", None),
        ("mnist_two", "fomaml", start),
        ("mnist_two", "fomaml", start),
    ]
    facts = cells(tmp_path)[-1]["facts"]
    assert facts["training_seconds"] == 120
    assert "mnist_figr.flags" in facts["train_start"]


def test_without_its_start_a_row_is_not_trained(
    tmp_path, commands, monkeypatch
):
    flags = "flags/table/{dataset}_fomaml.flags"
    row = systems.Row("two", "two", flags, start=(("mnist", flags),))
    monkeypatch.setattr(systems, "ROWS", (row,))
    commands.fails = {"mnist_two_start"}
    make(tmp_path, rows=("two",), shot_rows=())
    assert [name for name, _ in commands.trained] == ["mnist_two_start"]
    assert "training failed" in cells(tmp_path)[-1]["problem"]


def test_few_shot_lines_use_the_same_run(tmp_path, commands):
    make(tmp_path, rows=("maml",), shot_rows=("maml",), shots=(1, 16))
    assert len(commands.trained) == 1
    assert [c.shots for _, c in commands.evaluated] == [0, 1, 16]
    found = cells(tmp_path)[2:]
    assert [c["system"] for c in found] == [
        "MAML-GAN",
        "MAML-GAN, 1-shot",
        "MAML-GAN, 16-shot",
    ]
    assert [c["values"]["nll"]["mean"] for c in found] == [1.25, 2.25, 17.25]
    text = (tmp_path / "table.md").read_text()
    for told in ("10 steps, fresh images", "10 steps, 1 image |", "16 images"):
        assert told in text
    # The paper has no such rows.
    assert [c["published"] is None for c in found] == [False, True, True]


def test_quick_is_passed_on(tmp_path, commands):
    make(tmp_path, quick=True)
    assert all(config.quick for _, config in commands.evaluated)
    assert cells(tmp_path)[2]["facts"]["protocol"] == "32tasks_256_10steps"


def test_other_numbers_of_tasks_and_samples_are_passed_on(tmp_path, commands):
    make(tmp_path, tasks=12, samples=34)
    for _, config in commands.evaluated:
        assert (config.tasks, config.samples) == (12, 34)
    assert cells(tmp_path)[2]["facts"]["protocol"] == "12tasks_34_10steps"


def test_interrupted_table_goes_on(tmp_path, commands):
    commands.interrupt_at = 2  # maml is trained and evaluated
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    assert [bool(c["values"]) for c in cells(tmp_path)] == [True] * 3 + [False]
    assert cells(tmp_path)[3]["problem"] == "still to come"
    commands.interrupt_at = None
    commands.trained.clear()
    assert make(tmp_path) == cli.EXIT_OK
    assert [name for name, _ in commands.trained] == ["mnist_fomaml"]
    assert [bool(c["values"]) for c in cells(tmp_path)] == [True] * 4


def test_training_goes_on_within_what_is_left_of_its_time(tmp_path, commands):
    # Two starts: 50 s and 20 s.
    write_run(tmp_path / "mnist_maml", step=40, seconds=(25.0, 50.0, 10, 20))
    make(tmp_path, rows=("maml",), max_seconds=100.0)
    ((_, config),) = commands.trained
    assert config.max_seconds == 30
    commands.trained.clear()
    write_run(tmp_path / "mnist_maml", step=40, seconds=(25.0, 50.0, 10, 60))
    (tmp_path / "mnist_maml" / "ckpt" / "ckpt-100.index").unlink()
    make(tmp_path, rows=("maml",), max_seconds=100.0)
    assert not commands.trained


@pytest.mark.parametrize(
    ("algo", "step", "values", "done"),
    [
        ("maml", GOAL, {}, True),
        ("maml", GOAL - 1, {}, False),
        ("maml", GOAL, {"meta_steps": 2 * GOAL}, False),
        ("maml", GOAL // 2, {"meta_steps": GOAL // 2}, True),
        ("scratch", 0, {}, True),
        ("scratch", 0, {"meta_steps": 7}, True),
    ],
)
def test_what_counts_as_trained(tmp_path, algo, step, values, done):
    write_run(tmp_path / "mnist_maml", algo=algo, step=step)
    config = table_plan.TableConfig(
        runs_dir=str(tmp_path), rows=("maml",), datasets=("mnist",), **values
    )
    (entry,) = table_plan.entries(config)
    assert table_plan.is_trained(entry, config) is done


def test_failure_leaves_its_row_empty_and_others_go_on(tmp_path, commands):
    commands.fails = {"mnist_maml"}
    assert make(tmp_path) == cli.EXIT_DIVERGED
    maml, fomaml = cells(tmp_path)[2:]
    assert maml["values"] == {}
    assert maml["problem"] == "training failed: exit code 3: it diverged"
    assert fomaml["values"]
    assert "MAML-GAN: training failed" in (tmp_path / "table.md").read_text()


def test_run_that_failed_later_is_evaluated_as_it_was(tmp_path, commands):
    write_run(tmp_path / "mnist_maml", step=40)
    commands.fails = {"mnist_maml"}
    assert make(tmp_path, rows=("maml",)) == cli.EXIT_DIVERGED
    cell = cells(tmp_path)[-1]
    assert cell["values"]
    assert "it diverged" in cell["problem"]


def test_without_training_only_what_is_there_is_evaluated(tmp_path, commands):
    write_run(tmp_path / "mnist_fomaml", step=40)
    assert make(tmp_path, train=False) == cli.EXIT_OK
    assert not commands.trained
    assert [name for name, _ in commands.evaluated] == ["mnist_fomaml"]
    assert [c["problem"] for c in cells(tmp_path)[-2:]] == ["not trained", ""]


def test_dry_run_prints_commands_and_does_nothing(tmp_path, commands, capfd):
    write_run(tmp_path / "mnist_fomaml")
    assert make(tmp_path, dry_run=True, shot_rows=(), data_dir="/d") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "# mnist, MAML-GAN",
        "python -m tf_metagan.train --flagfile=flags/table/mnist_maml.flags "
        f"--logdir={tmp_path}/mnist_maml --data_dir=/d",
        f"python -m tf_metagan.evaluate --run={tmp_path}/mnist_maml --steps=10 "
        "--data_dir=/d",
        "# mnist, FOMAML-GAN: 100 meta-steps in 60 s",
        "# trained",
        f"python -m tf_metagan.evaluate --run={tmp_path}/mnist_fomaml "
        "--steps=10 --data_dir=/d",
    ]
    assert not commands.trained + commands.evaluated
    assert not (tmp_path / "table.md").exists()


def test_missing_flags_of_one_row_are_said(tmp_path, commands, monkeypatch):
    extra = systems.Row("new", "new", "flags/none_{dataset}.flags")
    monkeypatch.setattr(systems, "ROWS", (*systems.ROWS, extra))
    assert make(tmp_path, rows=("maml", "new")) == cli.EXIT_OK
    assert (
        cells(tmp_path)[-1]["problem"] == "flags/none_mnist.flags is not there"
    )


def test_wrong_folder_is_refused(tmp_path, commands, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"mnist_maml.flags.*repository"):
        make(tmp_path)


def test_unknown_row_is_refused(tmp_path, commands):
    with pytest.raises(ValueError, match=r"--rows names 'mamml'.*'maml'"):
        make(tmp_path, rows=("mamml",))


def test_rows_of_different_critics_are_marked():
    def cell(row, critic):
        facts = {"critic": critic, "protocol": "p"}
        return tabulate.Cell(row, row, "mnist", {}, facts)

    critics = {"mnist": {"name": "a", "held_out_accuracy": None}}
    same = [cell("maml", "a"), cell("figr", "a")]
    text = tabulate.markdown(same, critics, command="c")
    assert "different critics" not in text
    assert "not measured" in text
    other = [cell("maml", "a"), cell("figr", "b")]
    text = tabulate.markdown(other, critics, command="c")
    assert "different critics** (a, b)" in text


def test_time_of_a_run_without_metrics_is_none(tmp_path):
    assert progress.trained(tmp_path) == (None, None, 0.0)
