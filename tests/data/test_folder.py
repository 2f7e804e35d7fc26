"""Own pictures: any size and kind, clear words about what is wrong."""

import logging

import numpy as np
import pytest
from PIL import Image

from tf_metagan.data import cache, folder, picture_files


@pytest.fixture
def root(tmp_path):
    return tmp_path / "classes"


def save(path, value=100, *, size=(8, 8), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode in ("L", "1", "I;16") else (value,) * len(mode)
    Image.new(mode, size, colour).save(path, **options)


def three_classes(root, **options):
    for label, name in enumerate(("b/one", "a", "b/two")):
        for i in range(label + 2):
            save(root / name / f"{i}.png", 10 * label + i, **options)


def load(root, **changes):
    given = {"image_size": 8, "channels": 1, **changes}
    return folder.load(image_folder=str(root), **given)


def test_classes_are_folders_in_order_of_names(root):
    three_classes(root)
    source = load(root)
    assert source.name == ("a", "b/one", "b/two")
    assert source.label.tolist() == [0, 1, 2]
    assert np.diff(source.first).tolist() == [3, 2, 4]
    values = source.images[:, 0, 0, 0].tolist()
    assert values == [10, 11, 12, 0, 1, 20, 21, 22, 23]
    assert source.test_label is None


@pytest.mark.parametrize("size", [(8, 8), (5, 11), (60, 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_are_read(root, size, channels):
    three_classes(root, size=size)
    source = load(root, channels=channels)
    assert source.images.shape == (9, 8, 8, channels)
    assert (source.images[3] == 0).all()
    assert (source.images[-1] == 23).all()


def test_jpeg_and_colour_are_read(root):
    for i in range(2):
        save(root / "a" / f"{i}.JPG", 90, mode="RGB", format="JPEG")
    source = load(root, channels=3)
    assert abs(source.images.astype(int) - 90).max() <= 1


@pytest.mark.parametrize(
    ("mode", "value", "wanted"),
    [
        ("1", 1, 255),
        ("I;16", 257 * 40, 40),
        ("RGBA", 0, 255),  # transparent: the white ground
        ("LA", 255, 255),
        ("RGB", 77, 77),
        ("P", 3, 3),
    ],
)
def test_kinds_of_pictures_become_eight_bits(root, mode, value, wanted):
    path = root / "a.png"
    if mode == "P":
        root.mkdir()
        palette = Image.new("P", (8, 8), 3)
        palette.putpalette([v for i in range(256) for v in (i, i, i)])
        palette.save(path)
    else:
        save(path, value, mode=mode)
    image = picture_files.read(path, image_size=8, channels=1)
    assert image.dtype == np.uint8
    assert (image == wanted).all()


def test_pictures_are_turned_as_the_camera_says(root):
    image = Image.new("RGB", (8, 8))
    image.paste((250, 250, 250), (0, 0, 8, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    root.mkdir()
    image.save(root / "a.png", exif=exif)
    out = picture_files.read(root / "a.png", image_size=8, channels=3)
    assert (out[:, -2:] == 250).all()
    assert (out[:, :-2] == 0).all()


def test_channels_are_found_where_not_given(root):
    three_classes(root)
    assert load(root, channels=None).images.shape[-1] == 1
    for path in root.rglob("*.png"):
        save(path, 1, mode="RGB")
    assert load(root, channels=None).images.shape[-1] == 3


def test_mixed_channels_need_a_decision(root):
    three_classes(root)
    save(root / "a" / "colour.png", 1, mode="RGB")
    assert load(root, channels=1).images.shape[-1] == 1
    with pytest.raises(
        ValueError,
        match=r"0\.png is grey and .*colour\.png is in colour; .*--channels=1",
    ):
        load(root, channels=None)


@pytest.mark.parametrize("channels", [1, None])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\nxxxx"])
def test_broken_file_is_named(root, content, channels):
    three_classes(root)
    (root / "a" / "1.png").write_bytes(content)
    with pytest.raises(OSError, match=r"a/1\.png (cannot be read|is no pict)"):
        load(root, channels=channels)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_file_that_is_cut_off_is_named(root, suffix):
    path = root / f"cut{suffix}"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, [64, 64, 3], np.uint8)
    Image.fromarray(noise).save(path)
    picture_files.read(path, image_size=8, channels=3)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(OSError, match=rf"cut\{suffix} cannot be read"):
        picture_files.read(path, image_size=8, channels=3)


def test_class_of_one_picture_is_refused(root):
    three_classes(root)
    save(root / "lonely" / "0.png")
    with pytest.raises(ValueError, match=r"class 'lonely' of .* has a single"):
        load(root)
    save(root / "other" / "0.png")
    with pytest.raises(ValueError, match=r"single picture and 1 more have;"):
        load(root)


def test_folder_without_classes_is_refused(root):
    save(root / "0.png")
    save(root / "1.png")
    with pytest.raises(ValueError, match="has no subfolder with pictures"):
        load(root)


def test_missing_folder_is_refused(root):
    with pytest.raises(FileNotFoundError, match=r"classes does not exist"):
        load(root)
    with pytest.raises(ValueError, match=r"--image_folder is not set"):
        folder.load(image_size=8, channels=1, image_folder=None)


def test_stray_files_are_reported(root, caplog):
    three_classes(root)
    with caplog.at_level(logging.WARNING, logger="absl"):
        load(root)
        assert not caplog.records
        (root / "readme.txt").write_text("hello")
        (root / "a" / "notes.doc").write_text("hello")
        (root / "a" / ".hidden").write_text("hello")
        save(root / "top.png")
        load(root)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("3 files in ")
    assert message.endswith("not used: readme.txt, top.png, a/notes.doc")


def test_large_folders_are_decoded_once(root, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_MANY", 9)
    three_classes(root)
    kept = tmp_path / "kept"
    first = load(root, cache_dir=str(kept))
    (file,) = kept.iterdir()
    assert cache.read(file).name == first.name
    with monkeypatch.context() as broken:
        broken.setattr(picture_files, "read", None)  # decodes no more
        again = load(root, cache_dir=str(kept))
    assert (again.images == first.images).all()
    save(root / "a" / "0.png", 99, size=(9, 9))
    assert 99 in load(root, cache_dir=str(kept)).images
    assert len(list(kept.iterdir())) == 2


def test_folder_larger_than_memory_stays_in_its_file(
    root, tmp_path, monkeypatch
):
    three_classes(root)
    small = load(root)
    monkeypatch.setattr(folder, "_MANY", 9)
    monkeypatch.setattr(cache, "MAPPED_BYTES", 100)
    with monkeypatch.context() as held:
        held.setattr(np, "stack", None)  # never all of them at once
        large = load(root, cache_dir=str(tmp_path))
    assert isinstance(large.images, np.memmap)
    assert not isinstance(small.images, np.memmap)
    np.testing.assert_array_equal(large.images, small.images)
    for part in ("first", "label"):
        np.testing.assert_array_equal(
            getattr(large, part), getattr(small, part)
        )
    assert large.name == small.name
    with monkeypatch.context() as broken:
        broken.setattr(picture_files, "read", None)  # decodes no more
        again = load(root, cache_dir=str(tmp_path))
    np.testing.assert_array_equal(again.images, small.images)


def test_broken_picture_leaves_no_half_file(root, tmp_path, monkeypatch):
    three_classes(root)
    monkeypatch.setattr(folder, "_MANY", 9)
    monkeypatch.setattr(cache, "MAPPED_BYTES", 100)
    (root / "b" / "two" / "3.png").write_bytes(b"broken")
    with pytest.raises(OSError, match=r"two/3\.png"):
        load(root, cache_dir=str(tmp_path / "kept"))
    assert not list((tmp_path / "kept").glob("*"))


def test_small_folders_are_not_kept(root, tmp_path):
    three_classes(root)
    load(root, cache_dir=str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_support_comes_from_files_and_folders(root):
    three_classes(root)
    read = lambda images: picture_files.load_support(
        images, image_size=8, channels=1
    )
    files = [str(root / "b/two/3.png"), str(root / "a/0.png")]
    assert read(files)[:, 0, 0, 0].tolist() == [23, 10]
    assert read(str(root / "a"))[:, 0, 0, 0].tolist() == [10, 11, 12]
    assert read([str(root / "a"), files[0]]).shape == (4, 8, 8, 1)


def test_support_is_treated_as_the_pictures_of_classes(root):
    three_classes(root, size=(13, 7))
    source = load(root)
    support = picture_files.load_support(
        str(root / "b/two"), image_size=8, channels=1
    )
    assert (support == source.images[-4:]).all()


def test_support_without_pictures_is_refused(root):
    (root / "empty").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"there are no pictures in"):
        picture_files.load_support(
            str(root / "empty"), image_size=8, channels=1
        )
    with pytest.raises(FileNotFoundError, match=r"nothing\.png does not exist"):
        picture_files.load_support(
            [str(root / "nothing.png")], image_size=8, channels=1
        )
