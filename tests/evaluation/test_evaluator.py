"""A whole evaluation of a subject whose answers are known."""

import csv
import dataclasses
import hashlib
import json

import numpy as np
import PIL.Image
import pytest

from tests.evaluation import fakes
from tests.evaluation.fakes import TINY, Copier, RowNet, evaluator

NO_CURVES = dataclasses.replace(TINY, curve_tasks=0)


def rows(folder):
    with open(folder / "tasks.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(results):
    """Return what must not depend on when and how it was computed."""
    return {k: results[k] for k in ("metrics", "real", "curves", "left_out")}


def test_protocol_is_what_happens(tmp_path):
    subject, scratch = Copier(), Copier(weights="scratch")
    evaluator(tmp_path, subject, scratch=scratch).run()
    main = [x for x in subject.adapted if x[0] == TINY.steps]
    shape = (TINY.steps, 4, fakes.SIZE, fakes.SIZE, 1)
    fresh = [x for x in main if x[1] == shape]
    # Every task once; the picture draws some of them again.
    assert len({seed for *_, seed in fresh}) == TINY.tasks
    assert subject.drawn[: TINY.tasks] == [TINY.samples] * TINY.tasks
    for who in (subject, scratch):
        curve = [x for x in who.adapted if x[0] in TINY.curve_steps]
        for steps in TINY.curve_steps:
            shape = (max(1, steps), 4, fakes.SIZE, fakes.SIZE, 1)
            found = [x for x in curve if x[:2] == (steps, shape)]
            assert len(found) >= TINY.curve_tasks
        for shots in TINY.curve_shots:
            shape = (1, shots, fakes.SIZE, fakes.SIZE, 1)
            found = [x for x in who.adapted if x[:2] == (TINY.steps, shape)]
            assert len(found) == TINY.curve_tasks
        assert who.drawn.count(TINY.curve_samples) == TINY.curve_tasks * 4


def test_tasks_are_of_the_test_classes_with_replacement(tmp_path):
    protocol = dataclasses.replace(NO_CURVES, tasks=12)
    evaluator(tmp_path, protocol=protocol).run()
    labels = [int(row["label"]) for row in rows(tmp_path)]
    assert len(labels) == 12
    assert set(labels) == set(fakes.TEST)
    assert {row["class"] for row in rows(tmp_path)} == {
        f"row {label}" for label in fakes.TEST
    }


def test_shots_fix_the_support(tmp_path):
    subject = Copier()
    protocol = dataclasses.replace(NO_CURVES, shots=2)
    evaluator(tmp_path, subject, protocol=protocol).run()
    assert {shape[:2] for _, shape, _ in subject.adapted} == {(1, 2)}


def check_right_column(folder, critic):
    results = evaluator(folder, critic=critic, protocol=NO_CURVES).run()
    assert results["metrics"]["accuracy_5tasks_12_3steps"]["mean"] == 1.0
    assert results["real"]["all"]["accuracy"]["mean"] == 1.0


def test_labels_are_scored_in_the_column_of_their_class(tmp_path):
    check_right_column(tmp_path / "right", RowNet())
    # The wrong twin: columns of neighbouring classes exchanged.
    swapped = RowNet(classes=(2, 5, 3, 13, 8))
    with pytest.raises(AssertionError):
        check_right_column(tmp_path / "wrong", swapped)


def test_nll_and_accuracy_are_those_of_the_csv(tmp_path):
    results = evaluator(tmp_path, protocol=NO_CURVES).run()
    for column in ("nll", "accuracy"):
        each = [float(row[column]) for row in rows(tmp_path)]
        found = results["metrics"][f"{column}_5tasks_12_3steps"]
        assert found["mean"] == pytest.approx(np.mean(each), rel=1e-12)
        assert found["n"] == TINY.tasks
        # Student's t with 4 degrees of freedom.
        error = np.std(each, ddof=1) / np.sqrt(5)
        assert found["ci95"] == pytest.approx(2.776 * error, rel=1e-3, abs=1e-9)


def test_copies_are_found_and_noise_is_not(tmp_path):
    names = [
        f"near_copies_{where}_5tasks_12_3steps_pixels"
        for where in ("support", "class")
    ]
    shares = {}
    for noise in (0.01, 1.0):
        folder = tmp_path / str(noise)
        run = evaluator(folder, Copier(noise=noise), protocol=NO_CURVES)
        found = run.run()["metrics"]
        shares[noise] = [found[name]["mean"] for name in names]
    assert shares == {0.01: [1.0, 1.0], 1.0: [0.0, 0.0]}


def test_names_carry_protocol_and_network(tmp_path):
    protocol = dataclasses.replace(NO_CURVES, shots=2, seed=7)
    found = evaluator(tmp_path, protocol=protocol).run()["metrics"]
    ending = "5tasks_12_3steps_2shots_seed7"
    assert f"nll_{ending}" in found
    assert f"kid_{ending}_rows" in found
    assert f"coverage_k3_{ending}_rows" in found
    assert "fid_pooled_60_5tasks_3steps_2shots_seed7_rows" in found
    assert all("5tasks" in name and "3steps" in name for name in found)
    through = [n for n in found if not n.endswith(("_rows", "_pixels"))]
    assert through == [f"nll_{ending}", f"accuracy_{ending}"]


def test_equal_seeds_give_equal_numbers_and_others_do_not(tmp_path):
    found = [
        numbers(
            evaluator(
                tmp_path / str(i),
                protocol=dataclasses.replace(TINY, seed=seed),
            ).run()
        )
        for i, seed in enumerate((4, 4, 5))
    ]
    assert found[0] == found[1]
    nll = [next(iter(x["metrics"].values()))["mean"] for x in found]
    assert nll[0] != nll[2]


def test_fewer_tasks_are_the_first_of_more(tmp_path):
    for number in (3, 5):
        protocol = dataclasses.replace(NO_CURVES, tasks=number)
        evaluator(tmp_path / str(number), protocol=protocol).run()
    assert rows(tmp_path / "3") == rows(tmp_path / "5")[:3]


def test_interrupted_evaluation_goes_on(tmp_path):
    whole = numbers(evaluator(tmp_path / "whole").run())
    first = Copier()
    first.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        evaluator(tmp_path / "cut", first).run()
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")[:2]
    assert not (tmp_path / "cut" / "results.json").exists()
    # Once more, in the middle of the curves.
    second = Copier()
    second.stop_after = TINY.tasks - 2 + 1
    with pytest.raises(KeyboardInterrupt):
        evaluator(tmp_path / "cut", second).run()
    third = Copier()
    assert numbers(evaluator(tmp_path / "cut", third).run()) == whole
    assert TINY.samples not in third.drawn  # no task was done again
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert not (tmp_path / "cut" / "parts").exists()


def test_work_on_other_weights_does_not_count(tmp_path):
    first = Copier(weights="a")
    first.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        evaluator(tmp_path, first, protocol=NO_CURVES).run()
    other = Copier(weights="b")
    evaluator(tmp_path, other, protocol=NO_CURVES).run()
    assert other.drawn.count(TINY.samples) == TINY.tasks


def test_results_are_found_again(tmp_path, caplog):
    results = evaluator(tmp_path, protocol=NO_CURVES).run(command="some")
    again = Copier()
    with caplog.at_level("INFO", logger="absl"):
        found = evaluator(tmp_path, again, protocol=NO_CURVES).run()
    assert found == results
    assert found["command"] == "some"
    assert not again.adapted
    assert "already evaluated" in caplog.text
    assert "--force" in caplog.text


@pytest.mark.parametrize(
    ("subject", "force"),
    [(Copier(weights="trained on"), False), (Copier(), True)],
    ids=["other weights", "force"],
)
def test_results_are_made_again(tmp_path, subject, force):
    evaluator(tmp_path, protocol=NO_CURVES).run()
    evaluator(tmp_path, subject, protocol=NO_CURVES).run(force=force)
    assert subject.drawn.count(TINY.samples) == TINY.tasks


def test_moving_a_run_does_not_change_its_results(tmp_path):
    evaluator(tmp_path, protocol=NO_CURVES).run()
    moved = Copier()
    moved.facts = {**moved.facts, "run": "elsewhere"}
    evaluator(tmp_path, moved, protocol=NO_CURVES).run()
    assert not moved.adapted


def test_divergence_stops_and_names_the_task(tmp_path):
    subject = Copier(breaks_at=3)
    with pytest.raises(
        FloatingPointError,
        match=r"test task 0 \(class 'row \d+'\): after 3 steps.*fewer --steps",
    ):
        evaluator(tmp_path, subject).run()


def test_curves_go_on_where_adaptation_diverges(tmp_path):
    scratch = Copier(breaks_at=4)
    curves = evaluator(tmp_path, scratch=scratch).run()["curves"]["steps"]
    assert curves["scratch"]["diverged"] == [0, 2]
    assert curves["scratch"]["nll"]["mean"][1] is None
    assert curves["adapted"]["diverged"] == [0, 0]
    assert curves["adapted"]["accuracy"]["mean"][1] == 1.0
    assert curves["adapted"]["x"] == [0, 4]


def test_shots_that_no_class_has_are_left_out(tmp_path):
    protocol = dataclasses.replace(TINY, curve_shots=(1, 29, 30))
    results = evaluator(tmp_path, protocol=protocol).run()
    assert results["curves"]["shots"]["adapted"]["x"] == [1, 29]


def test_real_row_tells_unseen_images_apart(tmp_path):
    # The critic is wrong on the images that it never saw: they show no row.
    images = fakes.class_images()
    held_out = {label: np.array([0, 7]) for label in fakes.TEST}
    for label in fakes.TEST:
        place = images.label.tolist().index(label)
        images.images[images.first[place] + held_out[label]] = 0
        images.images[images.first[place] + held_out[label], 0] = 255

    def real(**options):
        return evaluator(
            tmp_path, images=images, protocol=NO_CURVES, **options
        ).run(force=True)["real"]

    row = real(critic=RowNet(held_out=held_out))
    assert row["held_out"]["images"] == 6
    assert row["held_out"]["accuracy"]["mean"] == 0.0
    assert row["all"]["images"] == 3 * fakes.EACH
    assert row["all"]["accuracy"]["mean"] == pytest.approx(28 / 30)
    # The wrong twin: indices that count from 1.
    shifted = {label: index + 1 for label, index in held_out.items()}
    twin = real(critic=RowNet(held_out=shifted))
    assert twin["held_out"]["accuracy"]["mean"] == 1.0
    assert "held_out" not in real(critic=RowNet())


def test_critic_of_other_images_is_refused(tmp_path):
    critic = RowNet(held_out={8: np.array([0, fakes.EACH])})
    with pytest.raises(ValueError, match=r"image 30 of class 8.*--retrain"):
        evaluator(tmp_path, critic=critic, protocol=NO_CURVES)


def test_too_few_real_images_are_said(tmp_path):
    results = evaluator(
        tmp_path, images=fakes.class_images(each=6), protocol=NO_CURVES
    ).run()
    assert "6 real images" in results["left_out"]["fid per task"]
    missing = results["left_out"]["kid, coverage and the like per task"]
    assert "10 of each" in missing
    assert not any(n.startswith("kid_5tasks") for n in results["metrics"])
    assert any(n.startswith("kid_pooled") for n in results["metrics"])


def test_unknown_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"class 8 is none of them.*Train one"):
        evaluator(tmp_path, critic=RowNet(classes=(2, 3, 5, 9, 13)))


def test_another_network_sees_the_pooled_images(tmp_path):
    other = RowNet(name="other")
    found = evaluator(tmp_path, more_nets=[other], protocol=NO_CURVES).run()
    assert "fid_pooled_60_5tasks_3steps_other" in found["metrics"]
    ours = found["metrics"]["fid_pooled_60_5tasks_3steps_rows"]["mean"]
    theirs = found["metrics"]["fid_pooled_60_5tasks_3steps_other"]["mean"]
    assert ours == pytest.approx(theirs, rel=1e-6)  # the same features


def test_folder_holds_results_and_pictures(tmp_path):
    evaluator(tmp_path).run(command="python -m something")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "results.json",
        "tasks.csv",
        "samples.png",
        "curve_steps.png",
        "curve_shots.png",
    }
    for name in names:
        if name.endswith(".png"):
            with PIL.Image.open(tmp_path / name) as picture:
                assert picture.size > (300, 100)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["command"] == "python -m something"
    assert stored["protocol"]["name"] == TINY.name
    assert stored["critic"]["held_out_accuracy"] == 0.75
    assert stored["subject"]["weights"] == "copier"
    assert stored["versions"]["tensorflow"]


def test_damaged_results_are_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match=r"results.json cannot be used"):
        evaluator(tmp_path).run()
    (tmp_path / "results.json").write_text('{"format": 0}')
    with pytest.raises(ValueError, match=r"format is 0.*another --output"):
        evaluator(tmp_path).run()


def test_images_are_left_as_they_are(tmp_path):
    images = fakes.class_images()
    before = hashlib.sha256(images.images.tobytes()).hexdigest()
    evaluator(tmp_path, images=images).run()
    assert hashlib.sha256(images.images.tobytes()).hexdigest() == before
