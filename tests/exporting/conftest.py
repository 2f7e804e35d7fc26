"""One export of each kind for all tests."""

import functools

import pytest

from tests.exporting import exports


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A run of MAML with learned rates, so that all kinds of weights exist."""
    return _toy(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def exemplar(tmp_path_factory):
    """A run whose players see the task."""
    return _exemplar(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A run that models photographs."""
    return _photographs(tmp_path_factory.getbasetemp())


# Fixtures are made once for each folder that imports them, exports once.
@functools.cache
def _toy(base):
    run = exports.toy_run(algo="maml", learned_rates="layer_step")
    return exports.export(run, base / "export")


@functools.cache
def _exemplar(base):
    run = exports.toy_run(**exports.EXEMPLAR)
    return exports.export(run, base / "exemplar")


@functools.cache
def _photographs(base):
    return exports.photograph_export(exports.photograph_run(), base)


@pytest.fixture(scope="session")
def session(toy, tmp_path_factory):
    """Yield the toy export in a TF1 session."""
    opened = exports.Session(
        toy.folder, tmp_path_factory.mktemp("raw") / "copy"
    )
    yield opened
    opened.close()
