"""Error messages about settings, as a Python program knows the settings."""

import contextlib
import re
from collections.abc import Iterator


@contextlib.contextmanager
def without_flags() -> Iterator[None]:
    """Name settings as keyword arguments rather than flags in errors.

    >>> with without_flags():
    ...     raise ValueError("--algo=x is unknown. Use --algo=maml.")
    Traceback (most recent call last):
    ValueError: algorithm=x is unknown. Use algorithm=maml.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        text = re.sub(r"--algo\b", "algorithm", str(error))
        text = re.sub(r"--(?=[a-z])", "", text)
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text) from error
