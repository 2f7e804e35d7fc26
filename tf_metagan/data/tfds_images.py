"""Read any image-classification set of TensorFlow Datasets by its name.

Sets differ by a line in the table of facts; whatever is not in the table is
reached as "tfds:NAME" or "tfds:NAME/CONFIG" and read the ordinary way.
"""

import collections
import difflib
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from tf_metagan.data import base, cache, pixels, prepared

_SPLITS = ("train", "validation", "test")
_PREFIX = "tfds:"
_BLOCK = 1024
_SERVER = "https://storage.googleapis.com"  # where most downloads begin


class Facts(NamedTuple):
    """What cannot be read from a set itself.

    Attributes:
      source: name in TensorFlow Datasets, with the configuration; None for
        the name of the entry.
      inverted: dark strokes on a bright ground, to be inverted.
      strokes: drawings rather than photographs (pixels.fit); None for those
        of one channel.
      transposed: rows and columns are exchanged.
      test_classes: class ids that publications keep for meta-test.
      test_split: the classes of this split are for meta-test.
      grouped: "Greek_7" is character 7 of the group Greek.
      most: images to keep of a class; None for all.
    """

    source: str | None = None
    inverted: bool = False
    strokes: bool | None = None
    transposed: bool = False
    test_classes: tuple[int, ...] | None = None
    test_split: str | None = None
    grouped: bool = False
    most: int | None = None


FACTS = {
    "mnist": Facts(test_classes=(7, 8, 9)),
    "omniglot": Facts(
        inverted=True, strokes=True, test_split="test", grouped=True
    ),
    "cifar10": Facts(),
    "fashion_mnist": Facts(),
    "kmnist": Facts(),
    "emnist": Facts(source="emnist/byclass", transposed=True),
    "quickdraw_bitmap": Facts(most=1000),
}
"""Sets with a name of their own."""


def load(
    *,
    dataset: str,
    image_size: int,
    channels: int | None,
    data_dir: str | None = None,
    cache_dir: str | None = None,
) -> base.ClassImages:
    """Load all splits of a set, grouped by class, strokes bright on dark.

    Args:
      dataset: an entry of FACTS, or "tfds:NAME" for any other set that has
        images with one class label each.
      image_size: height and width; see pixels.fit for how they are reached.
      channels: 1 for grey, 3 for colour; None for what the images are,
        drawings always grey.
      data_dir: folder of TensorFlow Datasets; None for the environment
        variable TFDS_DATA_DIR, else ~/tensorflow_datasets.
      cache_dir: where decoded images are kept; None for the user's cache.
        From 256 MB on they stay there, also while they are decoded, and are
        read as they are needed.

    Returns:
      ClassImages; class ids are the set's labels.

    Raises:
      FileNotFoundError: the set is not there and cannot be fetched.
      ValueError: unknown set, or one without images and class labels.

    Source: MNIST with train and test merged and digits 7 to 9 for meta-test,
      Omniglot with the background characters for meta-training and the
      evaluation characters for meta-test, as in MAML-GAN; framing of MNIST
      and area averages of Omniglot are ours.
    """
    name = dataset.removeprefix(_PREFIX)
    facts = FACTS.get(name, Facts())
    source = facts.source or name
    folder = prepared.folder(data_dir)
    decoded = cache.folder(cache_dir)
    start = re.sub(r"[^\w.]", "_", source) + "-"
    ending = f"-{image_size}x{channels or 'own'}-f{cache.FORMAT}.npz"
    version = prepared.version(source, data_dir=data_dir)
    version = version or prepared.newest(
        p.name.removeprefix(start).removesuffix(ending)
        for p in decoded.glob(f"{start}*{ending}")
    )
    version = version or str(_prepare(source, folder).version)
    path = decoded / f"{start}{version}{ending}"
    found = cache.find(path)
    if found is not None:
        return found
    builder = _prepare(source, folder)
    with cache.Scratch(decoded) as scratch:
        table, order = _decode(
            builder, facts, scratch, image_size=image_size, channels=channels
        )
        images = scratch.images(table.images.shape[1:])
        return cache.keep(path, table, (images[i] for i in order))


def _prepare(source: str, folder: Path) -> Any:
    """Return the builder of a set whose files lie on disk, fetched if need be.

    Args:
      source: name in TensorFlow Datasets.
      folder: where prepared sets lie.

    Returns:
      tfds.core.DatasetBuilder.
    """
    import tensorflow_datasets as tfds  # slow, and the cache needs none of it

    try:
        builder = tfds.builder(source, data_dir=folder)
    except ValueError as error:  # DatasetNotFoundError, or a wrong CONFIG
        near = difflib.get_close_matches(source, tfds.list_builders())
        perhaps = f" Perhaps you mean {' or '.join(near)}." if near else ""
        raise ValueError(
            f"TensorFlow Datasets has no {source!r}; expected NAME or "
            "NAME/CONFIG as listed at https://www.tensorflow.org/datasets."
            f"{perhaps} Correct --dataset."
        ) from error
    if builder.is_prepared():
        return builder
    by_hand = folder / "downloads" / "manual"
    try:
        if _offline() and not by_hand.exists():
            raise ConnectionError("no network")
        logging.info("%s is not in %s; fetching it", source, folder)
        builder.download_and_prepare()
    except (
        OSError,
        AssertionError,  # files that only a person can download
        tfds.download.DownloadError,
        tfds.core.download.download_manager.NonMatchingChecksumError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"{source} is not in {folder} and could not be fetched ({reason}); "
            f"expected prepared files in {builder.data_path}. Point --data_dir "
            "or TFDS_DATA_DIR to a folder that has them; or put the original "
            f"files into {by_hand} and start again; or use --dataset=glyphs, "
            "which needs no files."
        ) from error
    return builder


def _offline() -> bool:
    """Tell quickly what a download would tell after minutes of attempts."""
    first = urllib.request.getproxies().get("https", _SERVER)
    server = urllib.parse.urlsplit(first if "//" in first else f"//{first}")
    port = server.port or (443 if server.scheme == "https" else 80)
    try:
        with socket.create_connection((server.hostname, port), timeout=5):
            return False
    except OSError:
        return True


def _decode(
    builder: Any,
    facts: Facts,
    scratch: cache.Scratch,
    *,
    image_size: int,
    channels: int | None,
) -> tuple[base.ClassImages, np.ndarray]:
    """Read and convert all examples of a prepared set.

    Args:
      builder: of the set.
      facts: about it.
      scratch: gets the images in the order of the set.
      image_size: height and width.
      channels: see `load`.

    Returns:
      As `base.arrange`.
    """
    image_key, label_key = _feature_keys(builder)
    names = builder.info.features[label_key].names
    if channels is None:
        grey = builder.info.features[image_key].shape[-1] == 1
        channels = 1 if grey or facts.strokes else 3
    logging.info("decoding %s, once", builder.info.full_name)
    labels: list[int] = []
    kept: collections.Counter[int] = collections.Counter()
    tested: collections.Counter[int] = collections.Counter()
    reserved = set(facts.test_classes or ())
    for split in _SPLITS:
        if split not in builder.info.splits:
            continue
        for image, label in _examples(builder, split, image_key, label_key):
            if label < 0 or kept[label] == facts.most:
                continue
            kept[label] += 1
            tested[label] += split == "test"
            labels.append(label)
            scratch.add(
                _convert(image, facts, image_size=image_size, channels=channels)
            )
            if split == facts.test_split:
                reserved.add(label)
            if len(labels) == len(names) * (facts.most or np.inf):
                break
    if facts.grouped:
        names = ["/".join(name.rsplit("_", 1)) for name in names]
    if not labels:
        raise ValueError(
            f"{builder.info.full_name} has no image with a class; expected "
            "some in its splits train, validation or test. Use another "
            "--dataset."
        )
    table, order = base.arrange(
        np.array(labels),
        (image_size, image_size, channels),
        name=dict(enumerate(names)),
        test_label=reserved or None,
    )
    counts = [tested[label] for label in table.label.tolist()]
    divided = (np.array(counts) > 0) & (counts < np.diff(table.first))
    test_images = np.array(counts, np.int64) if divided.all() else None
    return table._replace(test_images=test_images), order


def _feature_keys(builder: Any) -> tuple[str, str]:
    """Return the keys of the image and of the class label."""
    import tensorflow_datasets as tfds

    wanted = (tfds.features.Image, tfds.features.ClassLabel)
    keys = builder.info.supervised_keys
    features = builder.info.features
    if (
        keys is None
        or len(keys) != 2
        or not all(map(isinstance, (features[k] for k in keys), wanted))
        or features[keys[0]].np_dtype != np.uint8
    ):
        raise ValueError(
            f"{builder.info.full_name} gives {keys} of {features}; expected "
            "8-bit images with one class label each. Use another --dataset."
        )
    return keys


def _examples(
    builder: Any, split: str, image_key: str, label_key: str
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (uint8 [h, w, c], class id) in the order of the files."""
    examples = builder.as_dataset(split=split, shuffle_files=False).map(
        lambda example: (example[image_key], example[label_key])
    )
    if examples.element_spec[0].shape.is_fully_defined():
        for images, labels in examples.batch(_BLOCK).as_numpy_iterator():
            yield from zip(images, labels.tolist(), strict=True)
    else:
        for image, label in examples.as_numpy_iterator():
            yield image, int(label)


def _convert(
    image: np.ndarray, facts: Facts, *, image_size: int, channels: int
) -> np.ndarray:
    """Bring uint8 [h, w, c] to the polarity, size and channels wanted."""
    if facts.inverted:
        image = 255 - image
    if facts.transposed:
        image = image.swapaxes(0, 1)
    grey = image.shape[2] == 1
    return pixels.fit(
        Image.fromarray(image[..., 0] if grey else image),
        image_size=image_size,
        channels=channels,
        strokes=grey if facts.strokes is None else facts.strokes,
    )
