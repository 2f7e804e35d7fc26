"""The exports of tests/exporting, for the serving kit."""

from tests.exporting.conftest import session, toy

__all__ = ["session", "toy"]
