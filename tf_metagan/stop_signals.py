"""SIGTERM and SIGINT end a training after the meta-step at hand."""

import signal
import types

from tf_metagan import cli, workers

_EXIT_CODES = types.MappingProxyType(
    {
        signal.SIGTERM: cli.EXIT_PREEMPTED,
        signal.SIGINT: cli.EXIT_INTERRUPTED,
    }
)


class StopSignals:
    """Turns SIGTERM and SIGINT into a flag while training runs.

    Attributes:
      received: the signal to stop for; with several workers, one that all of
        them know of.
    """

    def __init__(self, team: workers.Team):
        self.received = None
        self._team = team
        self._own = None
        self._before = {}

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES.get(self.received, cli.EXIT_OK)

    def agree(self, late: bool) -> bool:
        """Tell the other workers what arrived here, and be told.

        Args:
          late: whether the time of this worker is over.

        Returns:
          Whether the time of any worker is over.
        """
        numbers = tuple(_EXIT_CODES)
        *arrived, late = self._team.any(
            [*(number == self._own for number in numbers), late]
        )
        found = (n for n, here in zip(numbers, arrived, strict=True) if here)
        self.received = next(found, None)
        return late

    def __enter__(self) -> "StopSignals":
        for number in _EXIT_CODES:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, frame) -> None:
        del frame
        self._own = signal.Signals(number)
