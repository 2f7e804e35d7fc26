"""What lies in the folder of an export."""

import json
import os
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.exporting.exports import LIMITS, export, images, toy_run
from tf_metagan.evaluation import store
from tf_metagan.exporting import (
    audit,
    card,
    form,
    forms,
    golden,
    record,
    warmup,
    write,
)
from tf_metagan.exporting.version_folder import new_version

IMAGE = "[?, 16, 16, 1]"
SCALARS = (
    "num_samples int32 [] = 5, seed int64 [2] = [0, 0], steps int32 [] = 2"
)
LOSSES = "d_loss float32 [], g_loss float32 []"

# Clients rely on every word of this. A change needs another FORMAT.
SCHEMA = {
    "serving_default": (f"images float32 {IMAGE}", f"samples float32 {IMAGE}"),
    "adapt_and_sample": (
        f"images float32 {IMAGE}, {SCALARS}",
        f"{LOSSES}, samples float32 {IMAGE}",
    ),
    "adapt_and_sample_bytes": (
        f"image_bytes string [?], {SCALARS}",
        f"{LOSSES}, png_bytes string [?]",
    ),
    "adapt_and_sample_batch": (
        "images float32 [?, ?, 16, 16, 1], num_images int32 [?], num_samples "
        "int32 [?], seed int64 [?, 2], steps int32 [?]",
        "d_loss float32 [?], error string [?], g_loss float32 [?], samples "
        "float32 [?, ?, 16, 16, 1]",
    ),
    "sample_prior": (
        "num_samples int32 [] = 5, seed int64 [2] = [0, 0]",
        f"samples float32 {IMAGE}",
    ),
    "adapt": (
        "batches float32 [?, ?, 16, 16, 1], seed int64 [2] = [0, 0], steps "
        "int32 [] = 2",
        f"{LOSSES}, weights float32 [2349]",
    ),
    "sample_adapted": (
        "num_samples int32 [] = 5, seed int64 [2] = [0, 0], weights float32 "
        "[2349]",
        f"samples float32 {IMAGE}",
    ),
}


def written(tensors):
    """Return "images float32 [?, 16], steps int32 [] = 2"."""
    parts = []
    for name, row in sorted(tensors.items()):
        shape = ", ".join("?" if d is None else str(d) for d in row["shape"])
        default = f" = {row['default']}" if "default" in row else ""
        parts.append(f"{name} {row['dtype']} [{shape}]{default}")
    return ", ".join(parts)


def test_schema_is_frozen(toy):
    assert list(toy.model.signatures) == list(SCHEMA)
    found = {
        name: (written(row["inputs"]), written(row["outputs"]))
        for name, row in toy.model.info["signatures"].items()
    }
    assert found == SCHEMA


def test_players_that_see_the_task_draw_with_images(exemplar):
    row = exemplar.model.info["signatures"]["sample_adapted"]
    assert written(row["inputs"]).startswith(f"images float32 {IMAGE}, num")


def test_info_names_the_tensors_that_a_session_feeds(toy, session):
    for name, row in toy.model.info["signatures"].items():
        signature = session.signatures[name]
        for side in ("inputs", "outputs"):
            assert {k: v["tensor"] for k, v in row[side].items()} == {
                k: info.name for k, info in getattr(signature, side).items()
            }


def test_info_says_what_it_is(toy):
    info = json.loads((toy.folder / "model.json").read_text())
    assert info == toy.model.info
    assert (info["format"], info["name"], info["version"]) == (1, "toy", 1)
    assert (info["algo"], info["dataset"]) == ("maml", "glyphs")
    assert info["data_licence"] == "drawn by this package (Apache-2.0)"
    assert info["meta_step"] == 7
    assert info["limits"]["step_images"] == LIMITS.step_images
    assert info["limits"]["row_samples"] == 150
    assert info["defaults"] == {"steps": 2, "num_samples": 5, "seed": [0, 0]}
    assert info["training"]["settings"]["inner_batch_size"] == 4
    assert info["training"]["split"]["test"] == [3, 4]
    assert info["metrics"] == {}
    # No place of the machine that wrote it.
    assert str(pathlib.Path.home()) not in json.dumps(info["training"])
    assert info["training"]["settings"]["logdir"] is None


def test_folder_is_complete_and_nothing_else(toy):
    found = {
        str(path.relative_to(toy.folder))
        for path in toy.folder.rglob("*")
        if path.is_file()
    }
    assert found == {
        "README.md",
        "model.json",
        "samples.png",
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets.extra/golden.npz",
        "assets.extra/tf_serving_warmup_requests",
    }
    assert os.listdir(toy.folder.parent) == ["1"]


def test_card_shows_and_says_what_it_is(toy):
    text = (toy.folder / card.FILE).read_text()
    assert text.startswith("# toy, version 1\n")
    assert "| trained by | maml, 7 meta-steps |" in text
    assert "The weights have not been evaluated." in text
    for name in SCHEMA:
        assert f"| `{name}` |" in text
    with PIL.Image.open(toy.folder / card.PICTURE) as picture:
        assert np.asarray(picture).std() > 10


def test_metrics_of_the_same_weights_are_taken_over(tmp_path):
    for name, weights in (("mine", "abc"), ("others", "xyz")):
        (tmp_path / name).mkdir()
        content = {
            "format": store.FORMAT,
            "key": "",
            "subject": {"weights": weights},
            "protocol": {"name": name},
            "critic": {"name": "critic"},
            "metrics": {"nll": {"mean": 1.5, "ci95": None, "n": 2}},
        }
        (tmp_path / name / "results.json").write_text(json.dumps(content))
    found = record.metrics(tmp_path, "abc")
    assert list(found) == ["mine"]
    assert "| nll | 1.5 |  |" in card._metric_lines(found)
    assert record.metrics(tmp_path / "absent", "abc") == {}


# The golden answer.


def test_golden_answer_is_given_again(toy):
    request, answer = golden.read(toy.folder / "assets.extra" / golden.FILE)
    found = toy.model.adapt_and_sample(**request)
    for name, value in answer.items():
        np.testing.assert_allclose(
            getattr(found, name), value, atol=golden.TOLERANCE
        )
    request["seed"] = request["seed"] + 1
    other = toy.model.adapt_and_sample(**request).samples
    assert np.abs(other - answer["samples"]).max() > 10 * golden.TOLERANCE


# Warm-up.


def test_warm_up_holds_a_record_for_each_hot_signature(toy):
    path = toy.folder / "assets.extra" / warmup.FILE
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
    requests = write.warm_requests(toy.model, forms.of(toy.run))
    for content, (name, inputs) in zip(records, requests.items(), strict=True):
        # Equal but for the last bits of the images.
        expected = warmup.prediction_log("toy", name, inputs)
        assert len(content) == len(expected)
        assert content[:30] == expected[:30]
        assert name.encode() in content[:40]


def test_warm_up_is_what_the_server_reads(toy):
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="pip install --no-deps tensorflow-serving-api",
    )
    path = toy.folder / "assets.extra" / warmup.FILE
    for record_ in tf.data.TFRecordDataset(str(path)):
        log = logs.PredictionLog.FromString(record_.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "toy"
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        name = request.model_spec.signature_name
        function = toy.model.signatures[name]
        function(**{k: tf.constant(v) for k, v in inputs.items()})
        assert log.SerializeToString(deterministic=True) == (record_.numpy())


def test_records_are_those_of_the_protocol():
    # By hand: the fields 6, 1, then 1 { 1: "m", 3: "s" } and 2 { "x", [7] }.
    tensor = tf.make_tensor_proto(np.int32(7)).SerializeToString()
    entry = b"\x0a\x01x\x12" + bytes([len(tensor)]) + tensor
    request = b"\x0a\x06\x0a\x01m\x1a\x01s\x12" + bytes([len(entry)]) + entry
    log = b"\x0a" + bytes([len(request)]) + request
    expected = b"\x32" + bytes([len(log)]) + log
    found = warmup.prediction_log("m", "s", {"x": np.int32(7)})
    assert found == expected


# The graph.


def save(function, folder):
    module = tf.Module()
    module.f = tf.function(
        function,
        input_signature=[tf.TensorSpec([2, 2], tf.float32)],
        autograph=False,
    )
    tf.saved_model.save(module, str(folder), signatures=module.f)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (
            lambda x: tf.numpy_function(lambda a: a, [x], tf.float32),
            "PyFunc.* calls Python",
        ),
        (
            lambda x: x + tf.random.uniform([2, 2]),
            "RandomUniform answers differently each time",
        ),
        (
            tf.function(lambda x: x @ x, jit_compile=True),
            "is compiled by XLA",
        ),
    ],
)
def test_graphs_that_cannot_be_served_are_refused(tmp_path, function, problem):
    save(function, tmp_path)
    with pytest.raises(ValueError, match=problem):
        audit.refine(tmp_path)


def test_operations_of_nobody_are_refused(tmp_path):
    save(lambda x: x + 1, tmp_path)
    path = tmp_path / audit.GRAPH_FILE
    # Of equal length, so that nothing else in the file moves.
    assert b"AddV2" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"AddV2", b"Add>2"))
    with pytest.raises(ValueError, match="Add>2 is no operation of TensorFlow"):
        audit.refine(tmp_path)


def attributes(folder):
    """Return the names of the attributes of all operations of a SavedModel."""
    graph = (folder / audit.GRAPH_FILE).read_bytes()
    model = saved_model_pb2.SavedModel.FromString(graph)
    graphs = [each.graph_def for each in model.meta_graphs]
    return {name for g in graphs for n in audit.nodes(g) for name in n.attr}


def test_what_old_versions_do_not_know_is_removed(tmp_path, toy):
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.matmul(x, x) ** 2)
        return tape.gradient(y, x)

    save(slope, tmp_path)
    assert {"grad_a", "grad_b"} < attributes(tmp_path)
    audit.refine(tmp_path)
    for folder in (tmp_path, toy.folder):
        found = attributes(folder)
        assert "transpose_a" in found
        assert not {"grad_a", "grad_b", "grad_x", "grad_y"} & found
        assert "_gradient_op_type" not in found
    loaded = tf.saved_model.load(str(tmp_path))
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(loaded.f(x), slope(x))


# Versions.


def test_versions_count_up_and_appear_complete(tmp_path):
    for number in (1, 2):
        with new_version(tmp_path / "m") as (folder, version):
            assert version == number
            assert not folder.name.isdecimal()
            (folder / "file").write_text("x")
            assert not (tmp_path / "m" / str(number)).exists()
        assert (tmp_path / "m" / str(number) / "file").exists()
    (tmp_path / "m" / "7").mkdir()
    with new_version(tmp_path / "m") as (_, version):
        assert version == 8
    assert sorted(os.listdir(tmp_path / "m")) == ["1", "2", "7", "8"]


def test_a_version_of_somebody_else_stays(tmp_path):
    def late():
        with new_version(tmp_path) as (folder, _):
            (folder / "mine").write_text("x")
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "theirs").write_text("x")

    with pytest.raises(FileExistsError, match="another export finished first"):
        late()
    assert os.listdir(tmp_path) == ["1"]
    assert os.listdir(tmp_path / "1") == ["theirs"]


def test_a_failing_export_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OSError("the disk is full")

    monkeypatch.setattr(card, "write", fail)
    run = toy_run(algo="scratch")
    with pytest.raises(OSError, match="disk is full"):
        export(run, tmp_path / "models")
    assert os.listdir(tmp_path) == []


def test_images_of_the_picture_may_be_absent(toy):
    example = forms.of(toy.run).own_example(toy.model)
    assert example.images.shape == (8, 16, 16, 1)
    toy.model.adapt_and_sample(example.images)
    assert images(1).shape == (1, 16, 16, 1)


def test_unrelated_results_around_are_not_read(toy, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    write.export(
        toy.run,
        tmp_path / "again",
        toy.terms,
        examples=[form.Example("noise", images(3))],
    )
    assert (tmp_path / "again" / "1" / "model.json").exists()
