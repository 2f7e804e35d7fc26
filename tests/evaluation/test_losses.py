"""Loss curves read from the folders of runs."""

import json

import numpy as np
import PIL.Image

from tf_metagan.evaluation import losses


def write_metrics(run, rows):
    run.mkdir(exist_ok=True)
    lines = [json.dumps(row) for row in rows]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def row(step, d, g=0.0, **values):
    return {"step": step, "run": "train", "D_val": d, "G_val": g, **values}


def test_points_are_means_of_what_was_logged_since_the_last(tmp_path):
    write_metrics(tmp_path, [row(s, float(s), -float(s)) for s in range(1, 9)])
    found = losses.read(tmp_path, points=4)
    assert found["D"].x == [2, 4, 6, 8]
    np.testing.assert_allclose(found["D"].y, [1.5, 3.5, 5.5, 7.5])
    np.testing.assert_allclose(found["G"].y, [-1.5, -3.5, -5.5, -7.5])
    assert losses.read(tmp_path, points=100)["D"].x == list(range(1, 9))


def test_steps_done_again_count_once(tmp_path):
    # Stopped after step 3, gone on from a checkpoint of step 1.
    rows = [row(1, 1.0), row(2, 2.0), row(3, 3.0), row(2, 20.0), row(3, 30.0)]
    write_metrics(tmp_path, rows)
    line = losses.read(tmp_path)["D"]
    assert (line.x, line.y) == ([1, 2, 3], [1.0, 20.0, 30.0])


def test_other_lines_and_missing_values_are_passed_over(tmp_path):
    rows = [
        row(1, 1.0),
        {"step": 1, "run": "eval", "D_val": 9.0},
        row(2, None),
        row(3, float("nan")),
        row(4, 4.0),
    ]
    write_metrics(tmp_path, rows)
    line = losses.read(tmp_path)["D"]
    assert (line.x, line.y) == ([1, 4], [1.0, 4.0])


def test_picture_has_a_chart_for_each_run_with_losses(tmp_path):
    path = tmp_path / "losses.png"
    assert not losses.write(path, {"none": tmp_path / "none"})
    assert not path.exists()
    for name in "abcd":
        write_metrics(tmp_path / name, [row(1, 0.0), row(2, 1.0)])
    assert losses.write(path, {"a": tmp_path / "a", "none": tmp_path / "none"})
    with PIL.Image.open(path) as picture:
        width, height = picture.size
    losses.write(path, {name: tmp_path / name for name in "abcd"})
    with PIL.Image.open(path) as picture:
        assert picture.size == (3 * width, 2 * height)


def test_line_that_was_cut_off_is_passed_over(tmp_path):
    write_metrics(tmp_path, [row(1, 1.0)])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "run": "tr\n')
        file.write(json.dumps(row(3, 3.0)) + "\n")
    assert losses.read(tmp_path)["D"].y == [1.0, 3.0]
