"""Sets of TensorFlow Datasets: real ones where they lie, else a small fake."""

import contextlib
import logging
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.data import base, cache, tfds_images

LABELS = (0, 2, 1, 2, 0, 1)


class ClassLabel:
    names = ("greek_a", "greek_b", "latin_a")


class Image:
    np_dtype = np.dtype("uint8")


class FakeBuilder:
    """Offers what the loader uses of a tfds builder.

    Images hold 10 * place in their split (+ 100 in "test") everywhere but in
    their first row, which is 0.
    """

    def __init__(self, *, sides=(8, 8), channels=1, splits=("train", "test")):
        self.sides, self.channels, self.version = sides, channels, "1.2.3"
        self.data_path = "nowhere"
        self.prepared = True
        self.info = types.SimpleNamespace(
            full_name="fake/1.2.3",
            splits=splits,
            supervised_keys=("picture", "kind"),
            features={"picture": Image(), "kind": ClassLabel()},
        )

    def is_prepared(self):
        return self.prepared

    def as_dataset(self, *, split, shuffle_files):
        assert not shuffle_files

        def examples():
            for i, label in enumerate(LABELS):
                value = 10 * i + 100 * (split == "test")
                side = self.sides[i % 2]
                image = np.full([side, side, self.channels], value, np.uint8)
                image[0] = 0
                yield {"picture": image, "kind": label if i < 5 else -1}

        side = self.sides[0] if len(set(self.sides)) == 1 else None
        return tf.data.Dataset.from_generator(
            examples,
            output_signature={
                "picture": tf.TensorSpec([side, side, self.channels], tf.uint8),
                "kind": tf.TensorSpec([], tf.int64),
            },
        )


class DownloadError(Exception):
    pass


class ChecksumError(Exception):
    pass


@pytest.fixture
def fake(monkeypatch):
    """Make TensorFlow Datasets consist of one set, "fake"."""
    made = types.SimpleNamespace(builder=FakeBuilder(), asked=[], error=None)

    def builder(name, *, data_dir):
        made.asked.append((name, data_dir))
        if name != "fake":
            raise ValueError(f"{name} not found")
        return made.builder

    def download_and_prepare():
        raise made.error

    made.builder.download_and_prepare = download_and_prepare
    module = types.ModuleType("tensorflow_datasets")
    module.builder = builder
    module.list_builders = lambda: ["fake", "mnist"]
    module.download = types.SimpleNamespace(DownloadError=DownloadError)
    manager = types.SimpleNamespace(NonMatchingChecksumError=ChecksumError)
    module.core = types.SimpleNamespace(
        download=types.SimpleNamespace(download_manager=manager)
    )
    module.features = types.SimpleNamespace(Image=Image, ClassLabel=ClassLabel)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return made


def load(tmp_path, dataset="tfds:fake", **changes):
    given = {"image_size": 8, "channels": 1, **changes}
    return tfds_images.load(
        dataset=dataset,
        data_dir=str(tmp_path / "sets"),
        cache_dir=str(tmp_path / "kept"),
        **given,
    )


def values(source):
    return [
        base.images_of(source, label)[:, -1, 0, 0].tolist()
        for label in source.label
    ]


def test_splits_are_merged_and_unlabelled_images_left_out(fake, tmp_path):
    source = load(tmp_path)
    assert source.label.tolist() == [0, 1, 2]
    assert source.name == ("greek_a", "greek_b", "latin_a")
    assert values(source) == [[0, 40, 100, 140], [20, 120], [10, 30, 110, 130]]
    assert source.test_label is None
    assert fake.asked[-1] == ("fake", tmp_path / "sets")


def test_images_of_the_test_split_are_the_last_of_their_class(fake, tmp_path):
    source = load(tmp_path)
    assert source.test_images.tolist() == [2, 1, 2]
    for row, label in enumerate(source.label):
        images = base.images_of(source, label)[:, -1, 0, 0]
        later = len(images) - source.test_images[row]
        assert ((images >= 100) == (np.arange(len(images)) >= later)).all()
    assert (load(tmp_path).test_images == source.test_images).all()


@pytest.mark.parametrize("splits", [("train",), ("test",)])
def test_one_split_divides_no_class(fake, tmp_path, splits):
    fake.builder.info.splits = splits
    assert load(tmp_path).test_images is None
    assert load(tmp_path).test_images is None  # also from the cache


def test_a_split_with_classes_of_its_own_divides_none(
    fake, tmp_path, monkeypatch
):
    facts(monkeypatch, most=1)
    assert load(tmp_path, "fake").test_images is None


def test_images_of_several_sizes_are_read(fake, tmp_path):
    fake.builder.sides = (8, 16)
    assert load(tmp_path).images.shape == (10, 8, 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_asked_for(fake, tmp_path, channels):
    source = load(tmp_path, channels=channels)
    assert source.images.shape[-1] == channels
    fake.builder.channels = 3
    other = load(tmp_path / "other", channels=channels)
    assert (source.images == other.images).all()


def facts(monkeypatch, **changes):
    entry = tfds_images.Facts(**changes)
    monkeypatch.setitem(tfds_images.FACTS, "fake", entry)


def test_facts_invert_and_transpose(fake, tmp_path, monkeypatch):
    plain = load(tmp_path)
    facts(monkeypatch, inverted=True, transposed=True)
    changed = load(tmp_path / "other", "fake")
    wanted = 255 - plain.images.swapaxes(1, 2)
    assert (changed.images == wanted).all()
    assert (changed.images != 255 - plain.images).any()


def test_facts_tell_the_meta_test_classes(fake, tmp_path, monkeypatch):
    facts(monkeypatch, test_classes=(1, 0))
    assert load(tmp_path, "fake").test_label == (0, 1)
    facts(monkeypatch, test_split="test")
    assert load(tmp_path / "other", "fake").test_label == (0, 1, 2)


def test_facts_name_groups(fake, tmp_path, monkeypatch):
    facts(monkeypatch, grouped=True)
    source = load(tmp_path, "fake")
    assert source.name == ("greek/a", "greek/b", "latin/a")


def test_facts_limit_the_images_of_a_class(fake, tmp_path, monkeypatch):
    facts(monkeypatch, most=1)
    assert values(load(tmp_path, "fake")) == [[0], [20], [10]]


def test_drawings_are_framed_and_photographs_are_not(
    fake, tmp_path, monkeypatch
):
    fake.builder.channels = 3
    photographs = load(tmp_path, image_size=12, channels=3)
    facts(monkeypatch, strokes=True)
    drawings = load(tmp_path / "other", "fake", image_size=12, channels=3)
    assert (
        drawings.images[:, 2:10, 2:10]
        == load(tmp_path / "plain", channels=3).images
    ).all()
    assert (photographs.images != drawings.images).any()


def test_second_start_asks_the_disk_only(fake, tmp_path):
    first = load(tmp_path)
    fake.asked.clear()
    again = load(tmp_path)
    assert not fake.asked
    assert (again.images == first.images).all()
    assert again.name == first.name
    load(tmp_path, image_size=4)
    assert fake.asked


def test_many_images_are_never_all_in_memory(fake, tmp_path, monkeypatch):
    few = load(tmp_path / "few")
    monkeypatch.setattr(cache, "MAPPED_BYTES", 3 * 64)
    seen = []
    stream = cache.stream

    def watched(table, images, path):
        seen.append(path)
        stream(table, images, path)

    monkeypatch.setattr(cache, "stream", watched)
    many = load(tmp_path / "many")
    assert isinstance(many.images, np.memmap)
    assert not isinstance(few.images, np.memmap)
    assert (many.images == few.images).all()
    assert (many.first == few.first).all()
    assert len(seen) == 1  # the many only
    assert len(list((tmp_path / "many" / "kept").iterdir())) == 1


def test_images_on_their_way_go_to_disk_when_they_are_many(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cache, "MAPPED_BYTES", 3 * 64)
    images = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8, 1)
    for number, on_disk in ((3, False), (5, True)):
        with cache.Scratch(tmp_path / "new") as scratch:
            for image in images[:number]:
                scratch.add(image)
            found = scratch.images((8, 8, 1))
            assert isinstance(found, np.memmap) == on_disk
            assert (found == images[:number]).all()
        assert not list((tmp_path / "new").iterdir())


def test_set_without_a_class_is_refused(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "LABELS", (-1, -1))
    with pytest.raises(ValueError, match="has no image with a class"):
        load(tmp_path)


def test_newest_version_on_disk_is_read(fake, tmp_path):
    load(tmp_path)
    fake.asked.clear()
    for version in ("1.2.3", "1.10.0", "1.9.9"):
        (tmp_path / "sets" / "fake" / version).mkdir(parents=True)
    load(tmp_path)
    assert fake.asked
    assert [p.name for p in sorted((tmp_path / "kept").iterdir())] == [
        f"fake-1.10.0-8x1-f{cache.FORMAT}.npz",
        f"fake-1.2.3-8x1-f{cache.FORMAT}.npz",
    ]


def test_damaged_cache_is_built_again(fake, tmp_path, caplog):
    first = load(tmp_path)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:-50])
    with caplog.at_level(logging.WARNING, logger="absl"):
        again = load(tmp_path)
    assert "is damaged" in caplog.text
    assert (again.images == first.images).all()


def test_unknown_set_lists_near_names(fake, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"has no 'mnits'; expected NAME .* mean mnist\. Correct --data",
    ):
        load(tmp_path, "tfds:mnits")


@pytest.mark.parametrize("change", ["keys", "three", "label", "type"])
def test_set_without_images_and_labels_is_refused(fake, tmp_path, change):
    info = fake.builder.info
    if change == "keys":
        info.supervised_keys = None
    elif change == "three":
        info.supervised_keys = ("picture", "kind", "kind")
    elif change == "label":
        info.features["kind"] = Image()
    else:
        info.features["picture"] = types.SimpleNamespace(np_dtype="uint16")
    with pytest.raises(ValueError, match=r"expected 8-bit images with one"):
        load(tmp_path)


FIX = (
    r"fake is not in .*sets and could not be fetched \({}\); .*nowhere\. Point "
    r"--data_dir or TFDS_DATA_DIR .*sets/downloads/manual .*--dataset=glyphs"
)


@pytest.fixture
def network(monkeypatch):
    """Record connections; set `network.up` to let them succeed."""
    made = types.SimpleNamespace(up=False, asked=[])

    def connect(address, timeout):
        made.asked.append(address)
        if not made.up:
            raise socket.gaierror("no such host")
        return contextlib.nullcontext()

    monkeypatch.setattr(socket, "create_connection", connect)
    for name in ("https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return made


def test_absent_data_without_network_name_the_ways_out(fake, network, tmp_path):
    fake.builder.prepared = False
    fake.error = AssertionError("tried to fetch")
    with pytest.raises(FileNotFoundError, match=FIX.format("no network")):
        load(tmp_path)
    # Files put there by hand need no network.
    (tmp_path / "sets" / "downloads" / "manual").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=FIX.format("tried to fetch")):
        load(tmp_path)


@pytest.mark.parametrize(
    "kind", [ConnectionError, AssertionError, DownloadError, ChecksumError]
)
def test_failing_download_names_the_ways_out(fake, network, tmp_path, kind):
    network.up = True
    fake.builder.prepared = False
    fake.error = kind("cut off\nlong story")
    with pytest.raises(FileNotFoundError, match=FIX.format("cut off")):
        load(tmp_path)


@pytest.mark.parametrize("proxy", ["http://near:81", "near:81"])
def test_network_is_tried_where_the_download_begins(
    network, monkeypatch, proxy
):
    assert tfds_images._offline()
    assert network.asked == [("storage.googleapis.com", 443)]
    network.up = True
    monkeypatch.setenv("https_proxy", proxy)
    assert not tfds_images._offline()
    assert network.asked[1:] == [("near", 81)]


def test_errors_named_here_exist():
    import tensorflow_datasets as tfds

    assert issubclass(tfds.download.DownloadError, Exception)
    module = tfds.core.download.download_manager
    assert issubclass(module.NonMatchingChecksumError, Exception)
    known = set(tfds.list_builders())
    names = {
        (entry.source or name).split("/")[0]
        for name, entry in tfds_images.FACTS.items()
    }
    assert names <= known


# What follows reads real data.


def real(dataset, tfds_dir, kept, **changes):
    given = {"image_size": 32, "channels": 1, **changes}
    return tfds_images.load(
        dataset=dataset, data_dir=tfds_dir, cache_dir=kept, **given
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return str(tmp_path_factory.mktemp("kept"))


@pytest.mark.slow
def test_mnist_is_merged_and_framed(tfds_dir, kept):
    source = real("mnist", tfds_dir, kept)
    assert np.diff(source.first).tolist() == [
        6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958,
    ]  # fmt: skip
    assert source.test_label == (7, 8, 9)
    assert source.images.shape == (70000, 32, 32, 1)
    border = np.ones([32, 32], bool)
    border[2:-2, 2:-2] = False
    assert source.images[:, border].max() == 0
    split = base.make_split(source, dataset="mnist", seed=0)
    count = np.diff(source.first)
    assert count[list(split.train)].sum() == 48_924
    assert count[list(split.test)].sum() == 21_076


@pytest.mark.slow
def test_mnist_starts_at_once_the_second_time(tfds_dir, kept):
    first = real("mnist", tfds_dir, kept)
    code = (
        "import sys; from tf_metagan.data import tfds_images; "
        f"source = tfds_images.load(dataset='mnist', image_size=32, channels=1,"
        f" data_dir={tfds_dir!r}, cache_dir={kept!r}); "
        "print(source.images.sum(), 'tensorflow' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert out.split() == [str(first.images.sum()), "False"]


@pytest.mark.slow
def test_omniglot_has_its_classes_and_polarity(tfds_dir, kept):
    source = real("omniglot", tfds_dir, kept)
    assert source.label.tolist() == list(range(1623))
    assert set(np.diff(source.first)) == {20}
    split = base.make_split(source, dataset="omniglot", seed=0)
    assert split.train == tuple(range(964))
    assert split.test == tuple(range(964, 1623))
    groups = [name.split("/")[0] for name in source.name]
    assert len(set(groups[:964])) == 30
    assert len(set(groups[964:])) == 20
    assert len(set(source.name)) == 1623
    # Bright strokes on dark; 105 x 105 has 8 % of ink.
    assert 0.07 < source.images.mean() / 255 < 0.09


@pytest.mark.slow
def test_omniglot_is_averaged_over_areas(tfds_dir, kept):
    import tensorflow_datasets as tfds

    source = real("omniglot", tfds_dir, kept)
    builder = tfds.builder("omniglot", data_dir=tfds_dir)
    example = next(iter(builder.as_dataset(split="test", shuffle_files=False)))
    drawing = 255 - example["image"].numpy()[..., 0].astype(float)
    # Overlap of output cell i with input cell j, as a matrix.
    edge = np.linspace(0, 105, 33)
    left = np.maximum(edge[:-1, None], np.arange(105))
    right = np.minimum(edge[1:, None], np.arange(1, 106))
    share = np.maximum(right - left, 0) / (105 / 32)
    wanted = share @ drawing @ share.T
    image = base.images_of(source, int(example["label"]))[0, ..., 0]
    # Pillow counts a pixel for the area in which its centre lies.
    assert np.corrcoef(wanted.ravel(), image.ravel())[0, 1] > 0.97
    nearest = drawing[1::3, 1::3][:32, :32]
    assert np.corrcoef(nearest.ravel(), image.ravel())[0, 1] < 0.97


@pytest.mark.slow
def test_cifar10_keeps_its_pixels(tfds_dir, kept):
    source = real("cifar10", tfds_dir, kept, channels=3)
    assert np.diff(source.first).tolist() == [6000] * 10
    assert source.name[:2] == ("airplane", "automobile")
    assert source.test_label is None
    means = source.images.mean(axis=(0, 1, 2))
    assert means == pytest.approx([125.4, 123.0, 113.9], abs=0.5)
