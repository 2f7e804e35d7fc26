"""Write a file so that nobody ever sees half of it."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacement(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path that takes the final name when all went well.

    Folders on the way are made. After an exception the old file, if any, is
    still there and nothing else is left behind.

    Args:
      path: final name.

    Yields:
      A path in the same folder with the same suffix.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(
        f".{final.stem}.{uuid.uuid4().hex}{final.suffix}"
    )
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
