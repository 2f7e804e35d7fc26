"""JSON of TensorFlow Serving's REST protocol, to arrays and back.

A request holds `inputs`, tensors by name, or `instances`, a list of rows from
which each tensor gets its first axis; the answer has the same form. What the
server refuses is refused, what it ignores (unknown names among `inputs`) is
ignored, so that a request that is answered here is answered there.

Source: tensorflow/serving, util/json_tensor.cc.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

SERVING_DEFAULT = "serving_default"

_MOST_AXES = 8
_PIECE = 4096  # numbers that are written at once
_SHOWN = 60  # characters of a request that a sentence repeats


class Request(NamedTuple):
    """What is asked.

    Attributes:
      signature: its name.
      inputs: {name: array}, all inputs of the signature.
      rows: whether the answer goes row by row.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    rows: bool


def read(body: bytes, signatures: Mapping[str, Any]) -> Request:
    """Read the body of a predict request.

    Args:
      body: JSON.
      signatures: {name: SignatureDef}.

    Raises:
      ValueError: says what came, what was expected.
    """
    content = _parse(body)
    name = content.get("signature_name", "") or SERVING_DEFAULT
    if not isinstance(name, str) or name not in signatures:
        raise ValueError(
            f"signature_name is {_show(name)}; expected one of "
            f"{', '.join(sorted(signatures))}"
        )
    described = signatures[name].inputs
    forms = [key for key in ("inputs", "instances") if key in content]
    if len(forms) != 1:
        raise ValueError(
            f"the request has {' and '.join(forms) or 'neither'}; expected "
            'either "inputs", tensors by name, or "instances", a list of rows'
        )
    rows = forms == ["instances"]
    given = (_of_rows if rows else _of_inputs)(content[forms[0]], described)
    return Request(
        name,
        {key: tensor(key, given[key], described[key]) for key in described},
        rows,
    )


def _parse(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = (
            "nested too deeply"
            if isinstance(error, RecursionError)
            else (f"no JSON: {error}")
        )
        raise ValueError(f"the body is {reason}; expected a JSON object") from (
            error
        )
    if not isinstance(content, dict):
        raise ValueError(
            f"the body is {_show(content)}; expected a JSON object with "
            '"inputs" or "instances"'
        )
    return content


def _of_inputs(value: Any, described: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict) or _is_encoded(value):
        return {_only(described, "inputs"): value}
    _complete(value, described)
    return value


def _of_rows(value: Any, described: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(
            f'"instances" is {_show(value)}; expected a list of one row or more'
        )
    named = [isinstance(row, dict) and not _is_encoded(row) for row in value]
    if not any(named):
        return {_only(described, "instances"): value}
    for number, row in enumerate(value):
        if not named[number]:
            raise ValueError(
                f"instances[{number}] is {_show(row)}; expected an object with "
                f"{', '.join(sorted(described))}, as the rows before"
            )
        _complete(row, described)
        for key in row.keys() - described.keys():
            raise ValueError(
                f"instances[{number}] has {_show(key)}; expected exactly "
                f"{', '.join(sorted(described))}"
            )
    return {key: [row[key] for row in value] for key in described}


def _only(described: Mapping[str, Any], form: str) -> str:
    if len(described) > 1:
        raise ValueError(
            f'"{form}" names no tensors; expected '
            f"{', '.join(sorted(described))} by name"
        )
    return next(iter(described))


def _complete(value: dict[str, Any], described: Mapping[str, Any]) -> None:
    if missing := sorted(described.keys() - value.keys()):
        raise ValueError(
            f"{', '.join(missing)} is missing; expected "
            f"{', '.join(sorted(described))}: this protocol has no defaults"
        )


def tensor(name: str, value: Any, info: Any) -> np.ndarray:
    """Return the array that a JSON value stands for.

    Args:
      name: of the input, for sentences.
      value: a number, a text, {"b64": text}, or lists of these.
      info: TensorInfo, for the type; the graph looks at the shape.

    Raises:
      ValueError: the lists are ragged or hold something of another type.
    """
    shape, flat = _flatten(name, value)
    kind = tf.dtypes.as_dtype(info.dtype)
    if kind == tf.string:
        array = np.empty(len(flat), object)
        array[:] = [_bytes(name, item) for item in flat]
        return array.reshape(shape)
    _check_numbers(name, flat, kind)
    try:
        with np.errstate(over="ignore"):  # infinite, which the graph refuses
            return np.array(flat, kind.as_numpy_dtype).reshape(shape)
    except OverflowError as error:
        raise ValueError(
            f"{name} holds a number that is too large; expected {kind.name}"
        ) from error


def _flatten(name: str, value: Any) -> tuple[list[int], list[Any]]:
    shape: list[int] = []
    level = [value]
    while any(isinstance(item, list) for item in level):
        sizes = {
            len(item) if isinstance(item, list) else None for item in level
        }
        if len(sizes) > 1:
            raise ValueError(
                f"{name} holds lists of different lengths, or lists beside "
                f"something else, on axis {len(shape)}; expected a tensor"
            )
        shape += [size for size in sizes if size is not None]
        if len(shape) > _MOST_AXES:
            raise ValueError(
                f"{name} is nested more than {_MOST_AXES} lists deep; expected "
                "a tensor"
            )
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _check_numbers(name: str, flat: list[Any], kind: tf.DType) -> None:
    allowed = {int, float} if kind.is_floating else {int}
    if not set(map(type, flat)) <= allowed:
        odd = next(item for item in flat if type(item) not in allowed)
        expected = "numbers" if kind.is_floating else "whole numbers"
        raise ValueError(f"{name} holds {_show(odd)}; expected {expected}")
    if flat and not kind.is_floating:
        low, high = min(flat), max(flat)
        if low < kind.min or high > kind.max:
            odd = low if low < kind.min else high
            raise ValueError(
                f"{name} holds {_show(odd)}; expected {kind.min} to {kind.max}"
            )


def _is_encoded(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _bytes(name: str, item: Any) -> bytes:
    try:
        if isinstance(item, str):
            return item.encode()
        if _is_encoded(item) and isinstance(item["b64"], str):
            return base64.b64decode(item["b64"], validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise ValueError(
            f"{name} holds {_show(item)}: {error}; expected a text or "
            '{"b64": base64}'
        ) from error
    raise ValueError(
        f'{name} holds {_show(item)}; expected a text or {{"b64": base64}}'
    )


def _show(value: Any) -> str:
    """Return the beginning of a JSON value."""
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)} elements"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def write(outputs: Mapping[str, np.ndarray], *, rows: bool) -> str:
    """Write the answer to a predict request as JSON.

    Byte strings are base64 where the name of the output ends in "_bytes", and
    text elsewhere. A single output stands without its name.

    Args:
      outputs: {name: array}.
      rows: whether to write `predictions`, row by row, or `outputs`.

    Raises:
      ValueError: rows are asked for where the outputs have no rows in common.
    """
    if not rows:
        texts = {key: _text(key, value) for key, value in outputs.items()}
        return f'{{"outputs": {_named(texts)}}}'
    sizes = {key: value.shape[:1] for key, value in outputs.items()}
    if len(set(sizes.values())) > 1 or () in sizes.values():
        raise ValueError(
            f"the outputs {', '.join(sizes)} have no rows in common; ask with "
            '"inputs", not "instances"'
        )
    columns = [
        [_text(key, value[i, ...]) for i in range(len(value))]
        for key, value in outputs.items()
    ]
    lines = (
        _named(dict(zip(outputs, row, strict=True)))
        for row in zip(*columns, strict=True)
    )
    return f'{{"predictions": [{", ".join(lines)}]}}'


def _named(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    pairs = (f'"{key}": {text}' for key, text in texts.items())
    return f"{{{', '.join(pairs)}}}"


def _text(key: str, value: np.ndarray) -> str:
    if value.ndim > 1 and value.size > _PIECE:
        # The encoder holds the interpreter's lock; pieces give others a turn.
        return f"[{', '.join(_text(key, row) for row in value)}]"

    def of_bytes(content: bytes) -> Any:
        if key.endswith("_bytes"):
            return {"b64": base64.b64encode(content).decode()}
        return content.decode(errors="replace")

    return json.dumps(value.tolist(), default=of_bytes)


def status(version: int) -> Any:
    """Return the answer to GET /v1/models/NAME, plain values."""
    return {
        "model_version_status": [
            {
                "version": str(version),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def metadata(name: str, version: int, signatures: Mapping[str, Any]) -> Any:
    """Return the answer to GET .../metadata, plain values."""
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(version),
        },
        "metadata": {
            "signature_def": {
                "signature_def": {
                    key: json_format.MessageToDict(
                        value, preserving_proto_field_name=True
                    )
                    for key, value in sorted(signatures.items())
                }
            }
        },
    }
