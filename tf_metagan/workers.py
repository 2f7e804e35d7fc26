"""Several processes that train together: who they are, what they agree on.

The environment variable TF_CONFIG tells each process which workers there are
and which of them it is. Worker 0 is the chief: it alone writes files.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from tf_metagan import cli

VARIABLE = "TF_CONFIG"

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_ABORTED = "Collective ops is aborted"
_LOSSES = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Place(NamedTuple):
    """Which worker this process is.

    Attributes:
      addresses: "host:port" of all workers, the chief's first.
      number: of this process among them, from 0.
    """

    addresses: tuple[str, ...]
    number: int


def read_place(environment: Mapping[str, str]) -> Place:
    """Read TF_CONFIG.

    Args:
      environment: variables of the environment.

    Raises:
      ValueError: it is absent, broken, or names roles that do not exist here.

    >>> task = {"type": "worker", "index": 1}
    >>> config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": task}
    >>> read_place({"TF_CONFIG": json.dumps(config)})
    Place(addresses=('a:1', 'b:1'), number=1)
    """
    text = environment.get(VARIABLE)
    if not text:
        raise _refusal("is not set", "the workers and which of them this is")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _refusal(f"is no JSON ({error})", "an object") from error
    if not isinstance(config, dict):
        raise _refusal(f"is {text}", "an object")
    cluster, task = config.get("cluster"), config.get("task")
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _refusal(f"has the keys {sorted(config)}", "cluster and task")
    if set(cluster) - {"chief", "worker"}:
        raise _refusal(
            f"has the roles {sorted(cluster)}", "chief and worker only"
        )
    chief, workers = cluster.get("chief", []), cluster.get("worker", [])
    for addresses in (chief, workers):
        if not isinstance(addresses, list) or not all(
            map(_is_address, addresses)
        ):
            raise _refusal(
                f"has the addresses {addresses!r}", 'a list of "host:port"'
            )
    every = (*chief, *workers)
    if len(chief) > 1 or not every or len(set(every)) < len(every):
        raise _refusal(
            f"has {len(chief)} chiefs and the workers {list(every)}",
            "at most one chief and at least one worker, each address once",
        )
    kind, index = task.get("type"), task.get("index")
    among = {"chief": chief, "worker": workers}.get(str(kind), [])
    if type(index) is not int or not 0 <= index < len(among):
        raise _refusal(
            f"says that this is {kind} {index}",
            f"one of {len(chief)} chiefs or {len(workers)} workers, counted "
            "from 0",
        )
    return Place(every, index + (len(chief) if kind == "worker" else 0))


def _is_address(text: object) -> bool:
    if not isinstance(text, str):
        return False
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _refusal(came: str, expected: str) -> ValueError:
    return ValueError(
        f"--strategy=multiworker reads the environment variable {VARIABLE}, "
        f"which {came}; expected {expected}, such as {_EXAMPLE}. Set it for "
        "each process, or use --strategy=auto."
    )


def connect(place: Place) -> tf.distribute.Strategy:
    """Join the other workers, and wait until every one of them is there.

    Call it before any operation of TensorFlow.

    Args:
      place: as `read_place` returns it.

    Raises:
      OSError: the address of this worker cannot be listened on.
    """
    own = place.addresses[place.number]
    logging.info(
        "worker %d of %d, %s, waits for %s",
        place.number,
        len(place.addresses),
        own,
        ", ".join(a for a in place.addresses if a != own) or "nobody",
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(place.addresses)}),
        task_type="worker",
        task_id=place.number,
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.UnknownError as error:  # the server did not start
        raise OSError(
            f"worker {place.number} cannot listen on {own}: {error.message}. "
            "Stop the process that uses this port, or name another one in "
            f"{VARIABLE} of all workers."
        ) from error


class Team:
    """The workers of a strategy; one process that trains alone is the chief.

    Every method must be called by all workers, in the same order.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """Find out who takes part.

        Args:
          strategy: any.
        """
        self._strategy = strategy
        resolver = strategy.cluster_resolver
        self.addresses: tuple[str, ...] = ()
        if resolver is not None:
            spec = resolver.cluster_spec().as_dict()
            self.addresses = tuple(spec.get("worker", ()))
        self.is_chief = not self.addresses or resolver.task_id == 0
        self._gather = tf.function(self._gathered, autograph=False)

    def any(self, flags: Sequence[bool]) -> tuple[bool, ...]:
        """Return which flags are raised by at least one worker."""
        return tuple(bool(x) for x in self._all(list(flags)).max(axis=0))

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Refuse workers that would not do the same.

        Args:
          facts: {what it is: its text}.

        Raises:
          ValueError: names what differs.
        """
        digests = [
            int.from_bytes(hashlib.sha256(x.encode()).digest()[:7], "big")
            for x in facts.values()
        ]
        seen = self._all(digests)
        wrong = [
            name
            for name, column in zip(facts, seen.T, strict=True)
            if len(set(column.tolist())) > 1
        ]
        if wrong:
            raise ValueError(
                f"the workers {', '.join(self.addresses)} have not the same "
                f"{' and '.join(wrong)}; expected one job. Start all of them "
                "with the same settings and data, and with a --logdir that "
                "all of them see."
            )

    def _all(self, row: Sequence[int]) -> np.ndarray:
        """Return the rows of all replicas, an integer array."""
        own = np.array([row], np.int64)
        return self._gather(tf.constant(own)).numpy() if self.addresses else own

    def _gathered(self, row: tf.Tensor) -> tf.Tensor:
        """Return the rows of all replicas: each adds its own to zeros."""

        def share(row: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            place = tf.one_hot(
                context.replica_id_in_sync_group,
                context.num_replicas_in_sync,
                dtype=row.dtype,
            )
            return context.all_reduce(
                tf.distribute.ReduceOp.SUM, place[:, tf.newaxis] * row
            )

        found = self._strategy.run(share, args=(row,))
        return self._strategy.experimental_local_results(found)[0]


@contextmanager
def noticing_losses() -> Iterator[None]:
    """Turn what TensorFlow says when another worker dies into one sentence.

    Raises:
      cli.LostWorkerError: inside, a worker did not answer any more.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not isinstance(error, _LOSSES) and _ABORTED not in str(error):
            raise
        raise cli.LostWorkerError(
            "another worker of the job is gone. Start all of them again with "
            "the same commands: training goes on from the last checkpoint."
        ) from error
