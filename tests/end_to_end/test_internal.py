"""Internal learning by the same commands as all others, and apply."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from tests import runs
from tf_metagan import (
    applications,
    apply,
    cli,
    evaluate,
    evaluate_photographs,
    export,
    photograph_loading,
    photograph_models,
    sample,
    serve,
    train,
    trained_runs,
    training,
)
from tf_metagan.data import landscapes
from tf_metagan.gan import finetuning, heads, hypernetwork
from tf_metagan.learner import Learner

SIZES = {
    "algo": "internal",
    "image_size": 24,
    "smallest_size": 16,
    "embedding": "small",
    "embedding_size": 32,
    "features": 4,
    "width": 4,
    "meta_batch": 2,
    "meta_steps": 3,
    "panel_tasks": 1,
    "log_every": 1,
    "checkpoint_every": 1,
    "num_test_classes": 2,
}


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    """Spare the graphs, of which every scale and every size has its own."""

    def step(self, tasks):
        return self._all_replicas(self._divide(tasks))

    monkeypatch.setattr(Learner, "_step", step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with photographs of several shapes."""
    folder = tmp_path_factory.mktemp("internal")
    for number in range(5):
        drawn = landscapes.draw(np.random.default_rng(number), 48)
        if number % 2:
            drawn = drawn[:32]
        path = folder / "photographs" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(drawn).save(path)
    return folder


@pytest.fixture
def run(here, folder):
    """Return the folder of a run of one meta-step for each scale."""
    logdir = folder / "run"
    if not logdir.exists():
        code, _, err = here(
            train.COMMAND,
            *runs.flags(**SIZES, image_folder=folder / "photographs"),
            f"--logdir={logdir}",
        )
        assert code == cli.EXIT_OK, err
    return logdir


def asked(here, folder, run, task, *words, output="drawn.png"):
    """Run apply; return the picture that it wrote."""
    path = folder / output
    code, _, err = here(
        apply.COMMAND,
        f"--run={run}",
        f"--image={folder}/photographs/0.png",
        f"--task={task}",
        f"--output={path}",
        *words,
    )
    assert code == cli.EXIT_OK, err
    with PIL.Image.open(path) as picture:
        return picture.copy()


def test_training_goes_through_all_scales(run):
    metrics = runs.metrics(run)
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert {"rec_loss", "D_loss", "G_loss"} <= set(metrics[0])
    names = set(runs.variables(run))
    for scale in range(3):
        assert f"params.g.scale{scale}.conv1.kernel.weights" in names
    assert (run / "samples" / "step_000003.png").exists()


def test_resuming_in_the_middle_changes_no_bit(here, folder, run, monkeypatch):
    class Blank:
        def picture(self, vars):
            return np.zeros([8, 8, 3], np.uint8)

    monkeypatch.setattr(training, "make_panel", lambda *_: Blank())
    values = {**SIZES, "image_folder": folder / "photographs"}
    words = [*runs.flags(**values), f"--logdir={folder}/twice"]
    assert here(train.COMMAND, *words, "--max_seconds=0.01")[0] == cli.EXIT_OK
    assert runs.checkpoint(folder / "twice").endswith("ckpt-1")
    assert here(train.COMMAND, *words)[0] == cli.EXIT_OK
    runs.assert_same_variables(
        runs.variables(run), runs.variables(folder / "twice")
    )


def test_another_length_is_another_run(here, folder, run):
    values = {**SIZES, "image_folder": folder / "photographs", "meta_steps": 6}
    code, _, err = here(train.COMMAND, *runs.flags(**values), f"--logdir={run}")
    assert code == cli.EXIT_USAGE
    assert "--meta_steps=6 (was 3)" in err


def test_sample_draws_a_row_for_each_photograph(here, folder, run):
    path = folder / "sampled.png"
    code, _, err = here(
        sample.COMMAND,
        f"--run={run}",
        f"--images={folder}/photographs",
        "--num_samples=2",
        f"--output={path}",
    )
    assert code == cli.EXIT_OK, err
    with PIL.Image.open(path) as picture:
        assert picture.height > 5 * 64


def test_sample_refuses_steps(here, folder, run):
    code, _, err = here(
        sample.COMMAND,
        f"--run={run}",
        f"--images={folder}/photographs",
        "--steps=3",
    )
    assert code == cli.EXIT_USAGE
    assert "--steps and --invert have no effect" in err


def test_commands_for_images_of_a_class_say_where_to_go(here, folder, run):
    code, _, err = here(
        evaluate.COMMAND, f"--run={run}", f"--output={folder}/nothing"
    )
    assert code == cli.EXIT_USAGE
    assert "tf_metagan.evaluate takes runs that adapt to images" in err
    assert "tf_metagan.apply" in err


def test_packed_and_exported_run_draws_as_the_run(here, folder, run):
    packed = folder / "packed"
    trained_runs.pack(str(run), str(packed))
    code, _, err = here(
        export.COMMAND,
        f"--run={packed}",
        f"--output={folder}/model",
        f"--images={folder}/photographs",
        "--default_samples=2",
    )
    assert code == cli.EXIT_OK, err
    model = serve.load(str(folder / "model"))
    assert model.info["image"]["width"] == SIZES["image_size"]
    assert "The given images are not of its training" in (
        folder / "model" / "1" / "README.md"
    ).read_text(encoding="utf-8")
    (given,) = photograph_loading.load(
        trained_runs.load_run(str(run)), [f"{folder}/photographs/1.png"]
    )
    images = [
        photograph_models.model_of(
            trained_runs.load_run(str(source)), given.image
        ).reconstruct()[0]
        for source in (run, packed)
    ]
    found = model.reconstruct(given.image)
    np.testing.assert_allclose(found, images[1], rtol=0, atol=1e-5)
    # Weights of half precision.
    np.testing.assert_allclose(found, images[0], rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", ["shared_embedding", "shared_d"])
def test_other_hypernetworks_train_and_export(here, folder, kind):
    logdir, values = folder / kind, {**SIZES, "hypernetworks": kind}
    code, _, err = here(
        train.COMMAND,
        *runs.flags(**values, image_folder=folder / "photographs"),
        f"--logdir={logdir}",
    )
    assert code == cli.EXIT_OK, err
    names = set(runs.variables(logdir))
    shared = kind == "shared_embedding"
    assert ("params.e.embed.stem.kernel" in names) == shared
    assert ("params.d.conv1.kernel" in names) != shared
    code, _, err = here(
        export.COMMAND,
        f"--run={logdir}",
        f"--output={folder}/{kind}_model",
        "--default_samples=2",
    )
    assert code == cli.EXIT_OK, err
    loaded = trained_runs.load_run(str(logdir))
    (given,) = photograph_loading.load(loaded, [f"{folder}/photographs/1.png"])
    model = serve.load(f"{folder}/{kind}_model")
    np.testing.assert_allclose(
        model.reconstruct(given.image),
        photograph_models.model_of(loaded, given.image).reconstruct()[0],
        rtol=0,
        atol=1e-5,
    )


def test_export_refuses_limits_of_adaptation(here, folder, run):
    words = (f"--run={run}", f"--output={folder}/nothing", "--max_steps=3")
    code, _, err = here(export.COMMAND, *words)
    assert code == cli.EXIT_USAGE
    assert "--max_steps=3 has no effect here" in err


def test_samples_have_the_size_asked_for(here, folder, run):
    wide = asked(here, folder, run, "samples", "--width=100", "--num_samples=1")
    plain = asked(here, folder, run, "samples", "--num_samples=1")
    assert wide.width > plain.width


@pytest.mark.parametrize("task", ["reconstruct", "superres"])
def test_tasks_of_one_photograph(here, folder, run, task):
    assert np.asarray(asked(here, folder, run, task)).std() > 0


@pytest.mark.parametrize("task", ["paint", "edit", "harmonise", "interpolate"])
def test_tasks_of_two_pictures(here, folder, run, task):
    other = f"--other={folder}/photographs/2.png"
    words = ["--num_samples=1"] if task == "interpolate" else []
    drawn = asked(here, folder, run, task, other, *words)
    assert np.asarray(drawn).std() > 0


def test_all_scales_are_interpolated_and_edited_pictures_keep_the_coarse(
    here, folder, run
):
    other = f"--other={folder}/photographs/2.png"
    for task, scale in (("interpolate", 0), ("edit", 2)):
        drawn, same, less = (
            np.asarray(asked(here, folder, run, task, other, *words))
            for words in ([], [f"--scale={scale}"], ["--scale=1"])
        )
        np.testing.assert_array_equal(drawn, same)
        assert (drawn != less).any()


def test_finetuned_models_draw_otherwise(here, folder, run):
    plain, tuned = (
        asked(here, folder, run, "reconstruct", *words)
        for words in ([], ["--finetune_steps=2", "--finetune_rate=0.05"])
    )
    assert np.asarray(plain).tolist() != np.asarray(tuned).tolist()


def test_interpolated_embeddings_are_interpolated_weights(here, folder, run):
    """With one linear layer per head."""
    other = f"--other={folder}/photographs/2.png"
    drawn = [
        np.asarray(
            asked(here, folder, run, "interpolate", other, f"--space={space}")
        ).astype(int)
        for space in ("weights", "features")
    ]
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def test_animation(here, folder, run):
    asked(here, folder, run, "animate", "--frames=3", output="drawn.gif")
    with PIL.Image.open(folder / "drawn.gif") as drawn:
        assert drawn.n_frames == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task=edit"], "--other is missing for --task=edit"),
        (["--task=animate"], "expected a .gif for animate"),
        (["--output=drawn.txt"], "--output=drawn.txt does not suit"),
        (["--random_from=3"], "--random_from=3 leaves no scale with noise"),
        (["--task=paint", "--scale=7", "--other=OTHER"], "expected 1 to 2"),
        (
            ["--task=interpolate", "--scale=3", "--other=OTHER"],
            "--scale=3 is no scale to begin with in a model of 3 scales",
        ),
        (
            ["--task=reconstruct", "--width=40"],
            "--width=40 has no effect with --task=reconstruct",
        ),
        (
            ["--finetune_rate=0.1"],
            "--finetune_rate=0.1 has no effect with --finetune_steps=0",
        ),
        (["--image=FOLDER"], "photographs holds 5 pictures; expected one"),
        (
            [
                "--task=interpolate",
                "--space=features",
                "--finetune_steps=2",
                "--other=OTHER",
            ],
            "--space=features makes weights of embeddings",
        ),
    ],
)
def test_what_apply_refuses(here, folder, run, words, message):
    image = f"{folder}/photographs/0.png"
    folder = f"{folder}/photographs"
    words = [x.replace("OTHER", image).replace("FOLDER", folder) for x in words]
    code, _, err = here(
        apply.COMMAND, f"--run={run}", f"--image={image}", *words
    )
    assert code == cli.EXIT_USAGE
    assert message in err


def test_trained_run_needs_no_file_that_it_began_with(folder, run):
    copy = folder / "begun"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["settings"]["embedding_weights"] = f"{folder}/gone.npz"
    (copy / "config.json").write_text(json.dumps(config))
    loaded, before = (trained_runs.load_run(str(x)) for x in (copy, run))
    np.testing.assert_array_equal(
        loaded.vars.params["g"]["embed/stem/kernel"],
        before.vars.params["g"]["embed/stem/kernel"],
    )


def test_training_begins_with_the_file_it_is_given(here, folder):
    values = {**SIZES, "image_folder": folder / "photographs"}
    code, _, err = here(
        train.COMMAND,
        *runs.flags(**values, embedding_weights=folder / "gone.npz"),
        f"--logdir={folder}/nothing",
    )
    assert code == cli.EXIT_USAGE
    assert "gone.npz is for --embedding=resnet18 or resnet34" in err


def test_nothing_is_learned_for_a_picture_that_is_not_there(
    here, folder, run, monkeypatch
):
    monkeypatch.setattr(
        finetuning.Finetuner,
        "__call__",
        lambda *args, **more: pytest.fail("learned"),
    )
    code, _, err = here(
        apply.COMMAND,
        f"--run={run}",
        f"--image={folder}/photographs/0.png",
        "--task=edit",
        f"--other={folder}/photographs/absent.png",
        "--finetune_steps=2",
    )
    assert code == cli.EXIT_DATA
    assert "absent.png" in err


@pytest.mark.parametrize("command", [apply, evaluate_photographs])
def test_nothing_is_learned_of_a_photograph_without_a_patch(
    here, folder, run, command
):
    flat = folder / "flat.png"
    drawn = landscapes.draw(np.random.default_rng(0), 48)[:16]
    PIL.Image.fromarray(drawn).save(flat)
    words = [f"--run={run}", "--finetune_steps=2"]
    if command is apply:
        words.append(f"--image={flat}")
    else:
        words += [f"--images={flat}", "--levels=1"]
    code, _, err = here(command.COMMAND, *words)
    assert code == cli.EXIT_USAGE
    assert {
        apply: "a photograph of 8 x 24 pixels is 5 x 16 at the coarsest",
        evaluate_photographs: "flat.png cannot be scored",
    }[command] in err


def test_photograph_is_embedded_once(here, folder, run, monkeypatch):
    seen = []
    embed = hypernetwork.Hypernetworks._embed

    def noted(self, vars, owner, photographs, **more):
        seen.append(owner)
        return embed(self, vars, owner, photographs, **more)

    monkeypatch.setattr(hypernetwork.Hypernetworks, "_embed", noted)
    other = f"--other={folder}/photographs/2.png"
    asked(here, folder, run, "paint", other)
    assert seen == ["g"]


def test_checkpoints_of_different_scales_have_no_mean(folder, run):
    copy = folder / "averaged"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["settings"]["average_checkpoints"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r"mean of ckpt-1, ckpt-2, ckpt-3, .*checkpoints=2, or"
    ):
        trained_runs.load_run(str(copy))


def test_interpolation_ends_at_both_models(folder, run):
    loaded = trained_runs.load_run(str(run))
    first, _, second = photograph_loading.load(
        loaded, [str(folder / "photographs" / f"{i}.png") for i in (0, 1, 2)]
    )
    ends = applications.between(
        loaded,
        first.image,
        second.image,
        strengths=(0.0, 1.0),
        num_samples=1,
        first_scale=0,
        seed=0,
    )
    for (rebuilt, _), photograph in zip(ends, (first, second), strict=True):
        model = photograph_models.model_of(loaded, photograph.image)
        np.testing.assert_allclose(
            rebuilt, model.reconstruct(), rtol=0, atol=1e-5
        )
    assert np.abs(ends[0][0] - ends[1][0]).max() > 1e-4


def test_interpolated_weights_are_those_of_interpolated_embeddings(run):
    """With one linear head per tensor."""
    loaded = trained_runs.load_run(str(run))
    weights = loaded.vars.params["g"]
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=[2, 1, 4]).astype("float32")
    prefix = "scale1/conv2/kernel"

    def made(embedding):
        return heads.project(weights, prefix, embedding)

    np.testing.assert_allclose(
        made(0.3 * a + 0.7 * b), 0.3 * made(a) + 0.7 * made(b), atol=1e-5
    )
