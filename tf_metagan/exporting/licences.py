"""Under which terms the publishers of data sets give them away."""

_KNOWN = {
    "glyphs": "drawn by this package (Apache-2.0)",
    "landscapes": "drawn by this package (Apache-2.0)",
    "folder": "unknown, yours",
    "photographs": "unknown, yours",
    "mnist": "CC BY-SA 3.0 (Yann LeCun and Corinna Cortes)",
    "omniglot": "MIT (Brenden Lake)",
    "cifar10": "none stated by its publisher (University of Toronto)",
    "fashion_mnist": "MIT (Zalando SE)",
    "kmnist": "CC BY-SA 4.0 (ROIS-DS Center for Open Data in the Humanities)",
    "emnist": "none stated; made of NIST Special Database 19, a work of the "
    "US government",
    "quickdraw_bitmap": "CC BY 4.0 (Google)",
}


def of(dataset: str) -> str:
    """Return the licence of a data set as its publisher states it.

    >>> of("folder"), of("tfds:svhn_cropped")[:7]
    ('unknown, yours', 'unknown')
    """
    return _KNOWN.get(
        dataset, "unknown: see its page in the catalogue of TensorFlow Datasets"
    )
