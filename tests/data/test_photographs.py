"""Folders of photographs, drawn landscapes, batches of one height."""

import logging

import numpy as np
import PIL.Image
import pytest

from tf_metagan.data import base, episodes, landscapes, photographs

SIZES = {"image_size": 32, "channels": None, "smallest_size": 18}


def write(folder, *sizes):
    for number, (width, height) in enumerate(sizes):
        noise = np.random.default_rng(number).integers(
            0, 256, (height, width, 3), np.uint8
        )
        PIL.Image.fromarray(noise).save(folder / f"{number}.png")
    return str(folder)


def test_each_photograph_is_a_class_in_the_nearest_aspect(tmp_path):
    folder = write(tmp_path, (80, 60), (80, 61), (50, 50), (60, 90))
    found = photographs.load(**SIZES, image_folder=folder)
    assert found.images.shape == (4, 48, 32, 3)
    assert found.height.tolist() == [24, 24, 32, 48]
    assert found.name == ("0.png", "1.png", "2.png", "3.png")
    assert not found.images[0, 24:].any()
    assert found.images[0, :24].any()


def test_too_flat_photograph_is_refused_with_the_size_that_suits(tmp_path):
    folder = write(tmp_path, (80, 60), (100, 50))
    with pytest.raises(ValueError, match=r"1\.png is 9 x 18 .*smallest_size="):
        photographs.load(**SIZES, image_folder=folder)


def test_what_is_not_read_or_not_as_it_is_is_reported(tmp_path, caplog):
    folder = write(tmp_path, (80, 60), (40, 120), (100, 50))
    for name in ("notes.txt", "raw.heic", ".hidden"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "below").mkdir()
    sizes = {**SIZES, "smallest_size": 24}
    with caplog.at_level(logging.WARNING):
        found = photographs.load(**sizes, image_folder=folder)
    assert found.height.tolist() == [24, 64, 16]
    stray, squeezed = (record.getMessage() for record in caplog.records)
    assert stray == (
        f"2 files in {folder} are no pictures that are read here: "
        "notes.txt, raw.heic"
    )
    assert squeezed == (
        "1 photographs are longer than 2 : 1 and squeezed to it: 1.png"
    )


def test_single_photograph_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds 1 pictures"):
        photographs.load(**SIZES, image_folder=write(tmp_path, (80, 60)))


def test_one_file_is_a_data_set_without_a_test(tmp_path):
    folder = write(tmp_path, (80, 60), (50, 50))
    found = photographs.load(
        **SIZES, image_folder=None, image=f"{folder}/1.png"
    )
    assert found.name == ("1.png",)
    assert found.images.shape == (1, 32, 32, 3)
    split = base.make_split(found, dataset="photographs", seed=0)
    assert (split.train, split.test) == ((0,), ())
    with pytest.raises(ValueError, match="1 test classes asked of a data set"):
        base.make_split(
            found._replace(test_label=None), dataset="photographs", seed=0
        )


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "neither of --image"), ({"image": "a.png"}, "both of --image")],
)
def test_one_source_is_needed(tmp_path, files, message):
    folder = str(tmp_path) if files else None
    with pytest.raises(ValueError, match=message):
        photographs.load(**SIZES, image_folder=folder, **files)


def test_landscapes_depend_on_number_and_seed_alone():
    def draw(count, seed=0):
        return landscapes.load(
            image_size=32, channels=None, num_classes=count, seed=seed
        ).images

    assert draw(3).shape == (3, 24, 32, 3)
    np.testing.assert_array_equal(draw(3), draw(5)[:3])
    assert (draw(3) != draw(3, seed=1)).any()
    grey = landscapes.load(image_size=32, channels=1, num_classes=2, seed=0)
    assert grey.images.shape == (2, 24, 32, 1)


def mixed():
    """Return seven classes of one image: of heights 4 and 6."""
    images = np.arange(7, dtype=np.uint8)[:, None, None, None]
    images = np.tile(images, [1, 6, 5, 1])
    height = np.array([4, 6, 4, 4, 6, 4, 4])
    return base.group(images, np.arange(7))._replace(height=height)


def test_a_batch_is_of_one_height_and_of_different_photographs():
    source = mixed()
    sampler = episodes.EpisodeSampler(
        source,
        classes=range(7),
        meta_batch=2,
        inner_batch_size=1,
        inner_steps=1,
    )
    seen = np.zeros(7, int)
    for step in range(60):
        tasks = sampler.batch(step)
        labels = tasks.label.numpy()
        heights = set(source.height[labels])
        assert heights == {tasks.support.shape[3]}
        assert len(set(labels)) == 2
        shown = tasks.support.numpy()[:, 0, 0, 0, 0, 0]
        np.testing.assert_allclose(shown, labels / 127.5 - 1, atol=1e-6)
        seen[labels] += 1
    # 120 draws of 7 equally likely: mean 17, deviation below 5.
    assert seen.min() > 5
    assert seen.max() < 35
