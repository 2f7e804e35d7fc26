"""TF_CONFIG, and what workers agree on. Real workers: end_to_end."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import cli, workers

TWO = {"worker": ["a:1", "b:2"]}
FIRST = {"type": "worker", "index": 0}


def environment(cluster=TWO, task=FIRST):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_workers_are_read_from_the_environment():
    place = workers.read_place(environment())
    assert place == (("a:1", "b:2"), 0)


@pytest.mark.parametrize(
    ("task", "number"),
    [
        ({"type": "chief", "index": 0}, 0),
        ({"type": "worker", "index": 0}, 1),
        ({"type": "worker", "index": 1}, 2),
    ],
)
def test_chief_is_the_first_worker(task, number):
    cluster = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    place = workers.read_place(environment(cluster, task))
    assert place == (("c:3", "a:1", "b:2"), number)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "is not set; expected the workers"),
        ({"TF_CONFIG": "{"}, "is no JSON"),
        ({"TF_CONFIG": "[]"}, r"is \[\]; expected an object"),
        ({"TF_CONFIG": '{"task": {}}'}, r"has the keys \['task'\]"),
        (environment({**TWO, "ps": ["c:3"]}), "roles .*'ps', 'worker'"),
        (environment({"worker": ["a"]}), r"addresses \['a'\]; expected a list"),
        (environment({"worker": ["a:99999"]}), "a:99999"),
        (environment({"worker": ["a:²"]}), "addresses .*expected a list"),
        (environment({"worker": "a:1"}), "addresses 'a:1'"),
        (environment({"worker": []}), "at least one worker"),
        (environment({"worker": ["a:1", "a:1"]}), "each address once"),
        (environment({**TWO, "chief": ["c:1", "d:1"]}), "has 2 chiefs"),
        (environment(task={"type": "worker", "index": 2}), "this is worker 2"),
        (environment(task={"type": "worker", "index": True}), "worker True"),
        (environment(task={"type": "evaluator", "index": 0}), "evaluator 0"),
        (environment(task={"type": ["worker"], "index": 0}), "counted from 0"),
        (environment(task={}), "None None; expected one of 0 chiefs or 2"),
    ],
)
def test_broken_configuration_is_refused_with_an_example(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        workers.read_place(given)
    example = str(caught.value).partition("such as ")[2].partition("}}. ")[0]
    assert workers.read_place({"TF_CONFIG": example + "}}"}).number == 0


def test_port_that_is_in_use_is_named(monkeypatch):
    def start(resolver):
        assert resolver.task_id == 1
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", start)
    message = r"worker 1 cannot listen on b:2: Could not start .* Stop the"
    with pytest.raises(OSError, match=message):
        workers.connect(workers.Place(("a:1", "b:2"), 1))


def test_one_process_is_its_own_chief_and_agrees_with_itself():
    team = workers.Team(tf.distribute.get_strategy())
    assert team.is_chief
    assert team.addresses == ()
    assert team.any([True, False]) == (True, False)
    team.require_same({"settings": "a"})


def pretend(monkeypatch, *others):
    """Return a team that hears the rows of others."""
    team = workers.Team(tf.distribute.get_strategy())
    monkeypatch.setattr(
        team, "_all", lambda row: np.array([row, *(f(row) for f in others)])
    )
    return team


def test_one_raised_flag_is_everybodys(monkeypatch):
    team = pretend(monkeypatch, lambda row: [0, 1, 0])
    assert team.any([True, False, False]) == (True, True, False)


def test_workers_that_would_do_something_else_are_refused(monkeypatch):
    facts = {"settings": "a", "classes": "b"}
    pretend(monkeypatch, list).require_same(facts)
    team = pretend(monkeypatch, lambda row: [row[0], row[1] + 1])
    with pytest.raises(ValueError, match="not the same classes; expected"):
        team.require_same(facts)


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.UnavailableError(None, None, "reset by peer"),
        tf.errors.InternalError(None, None, "Collective ops is aborted by: x"),
    ],
)
def test_death_of_another_worker_is_one_sentence(error):
    with (
        pytest.raises(cli.LostWorkerError, match="Start all of them again"),
        workers.noticing_losses(),
    ):
        raise error


def test_other_errors_of_tensorflow_stay_what_they_are():
    with (
        pytest.raises(tf.errors.InvalidArgumentError),
        workers.noticing_losses(),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "wrong shape")
