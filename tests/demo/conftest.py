"""Toy models for the page."""

import functools

import pytest

from tests.exporting import exports
from tests.exporting.conftest import photographs, toy  # noqa: F401
from tf_metagan.demo_page.model import Limits
from tf_metagan.demo_page.photograph_model import PhotographRun
from tf_metagan.demo_page.run_model import RunModel

LIMITS = Limits(images=6, steps=8, samples=40, frames=20)
CHOOSING = {**exports.EXEMPLAR, "candidates": 3}


@functools.cache
def model_of(**changes):
    """Return a toy run behind the page."""
    return RunModel(exports.toy_run(**changes), "toy", limits=LIMITS)


@pytest.fixture(scope="session")
def choosing():
    """Return a model that chooses among candidates and sees the task."""
    return model_of(**CHOOSING)


@pytest.fixture(scope="session")
def photographer():
    """Return a run that models photographs."""
    return PhotographRun(exports.photograph_run(), "toy")
