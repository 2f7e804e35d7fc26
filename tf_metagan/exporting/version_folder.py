"""The folder of a new version, which nobody ever sees half written."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_version(base: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    """Give a folder that becomes the next free version when all went well.

    A server looks for folders whose names are whole numbers; until the end the
    name is none. After an exception nothing is left behind.

    Args:
      base: folder of the model; made if absent.

    Yields:
      (folder to write to, number of the version).

    Raises:
      FileExistsError: somebody else wrote the same version meanwhile.
    """
    base = Path(base)
    made = [path for path in (base, *base.parents) if not path.exists()]
    base.mkdir(parents=True, exist_ok=True)
    temporary = base / f".writing.{uuid.uuid4().hex}"
    number = 1 + max(_versions(base), default=0)
    try:
        temporary.mkdir()
        yield temporary, number
        try:
            temporary.rename(base / str(number))
        except OSError as error:
            raise FileExistsError(
                f"{base / str(number)} exists now; another export finished "
                "first. Export again."
            ) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in made:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        raise


def _versions(base: Path) -> list[int]:
    return [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
