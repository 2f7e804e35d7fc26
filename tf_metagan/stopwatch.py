"""What something took, by the clock on the wall and by the processor's."""

import time

CLOCKS = ("seconds", "cpu_seconds")


class Stopwatch:
    """Measures time in seconds, and how much of it the processor worked.

    The latter, over all threads of this process, is that of an idle machine on
    a busy one, too.
    """

    def __init__(self) -> None:
        self._began = self._now()

    def so_far(self) -> dict[str, float]:
        """Return {clock: seconds since this was made}."""
        spent = zip(CLOCKS, self._now(), self._began, strict=True)
        return {clock: round(now - began, 3) for clock, now, began in spent}

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.monotonic(), time.process_time()
