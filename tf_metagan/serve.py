"""Use an exported model: python -m tf_metagan.serve, or `load` in a program.

TensorFlow from 2.15.1 on and neither Keras nor the part that trains.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_metagan.serving import drawing, listening
from tf_metagan.serving.model import (
    FORMAT,
    INFO_FILE,
    Adapted,
    Answer,
    Blend,
    Endpoint,
    Model,
    explain,
    find,
    load,
)
from tf_metagan.serving.pictures import grid, read_images

__all__ = [
    "FORMAT",
    "INFO_FILE",
    "Adapted",
    "Answer",
    "Blend",
    "Endpoint",
    "Model",
    "connect",
    "explain",
    "find",
    "grid",
    "load",
    "main",
    "read_images",
]

_SECONDS = 30.0  # as TensorFlow Serving allows a REST request

_EXAMPLES = """\
three ways:
  --model=DIR --images=FOLDER --output=more.png
      answer from a folder of images to a picture, here
  --server=http://HOST:8501 --model_name=NAME --images=FOLDER --output=more.png
      the same, by a running server; grpc://HOST:8500 by gRPC
  --listen=127.0.0.1:8501 --model=DIR
      be a server for development, with the REST protocol of TensorFlow Serving
"""

# What a model is asked; to which means what, drawing.py knows.
_ASKED = (
    "num_samples",
    "steps",
    "width",
    "height",
    "random_from",
    "other",
    "strength",
    "seed",
)

# {what is done: (flags it needs, flags it may have)}
_MODES = {
    "listen": (
        ("listen", "model"),
        ("model_name", "time_limit", "max_body_mb", "running", "waiting"),
    ),
    "server": (
        ("server", "model_name", "images"),
        ("output", *_ASKED, "time_limit"),
    ),
    "model": (
        ("model", "images"),
        ("output", *_ASKED),
    ),
}


def connect(
    server: str,
    name: str,
    *,
    version: int | None = None,
    seconds: float = _SECONDS,
) -> Endpoint:
    """Return a model on a server, with the methods of `Model`.

    Args:
      server: "http://HOST:PORT" for REST, "grpc://HOST:PORT" for gRPC.
      name: of the model.
      version: None is the newest.
      seconds: that a request may take.

    Raises:
      ValueError: neither of these, or the server has no such model.
      ImportError: gRPC is asked for without tensorflow-serving-api.
      OSError: the server cannot be reached.
    """
    # Whoever calls no server needs nothing of this.
    scheme, _, address = server.partition("://")
    if scheme in ("http", "https"):
        from tf_metagan.serving.rest_client import RestClient

        return RestClient(server, name, version=version, seconds=seconds)
    if scheme == "grpc" and address:
        from tf_metagan.serving.grpc_client import GrpcClient

        return GrpcClient(address, name, version=version, seconds=seconds)
    raise ValueError(
        f"the server is {server!r}; expected http://HOST:8501 (REST) or "
        "grpc://HOST:8500 (gRPC)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = _parser()
    words = parser.parse_args(argv)
    mode = next((m for m in _MODES if getattr(words, m) is not None), None)
    if mode is None:
        parser.error("expected --model, --server or --listen; see --help")
    _check_flags(parser, words, mode)
    # The fusion of convolutions and biases fails on these graphs, says so in
    # the log and gains nothing.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        if mode == "listen":
            _listen(words)
        else:
            _draw(words)
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2 if isinstance(error, OSError | ImportError) else 1
    return 0


def _draw(words: argparse.Namespace) -> None:
    """Answer from a folder of images to a picture."""
    endpoint: Endpoint
    if words.server is None:
        endpoint = load(words.model)
    else:
        seconds = words.time_limit or _SECONDS
        endpoint = connect(words.server, words.model_name, seconds=seconds)
    given = {name: getattr(words, name) for name in _ASKED}
    asked = {k: v for k, v in given.items() if v is not None}
    drawn = drawing.draw(endpoint, words.images, asked)
    output = words.output or "samples.png"
    with open(output, "wb") as file:
        file.write(drawn.picture)
    sys.stdout.write(f"{drawn.number} samples: {output}\n")


def _listen(words: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    # Whoever listens to nobody needs no HTTP library.
    from tf_metagan.serving import http_server, rest_server

    host, port = listening.address(words.listen)
    limits = http_server.Limits(
        body_bytes=(words.max_body_mb or 16) * 2**20,
        seconds=words.time_limit or _SECONDS,
        running=words.running or 2,
        waiting=words.waiting or 32,
    )
    with (
        listening.until_signal() as stop,
        rest_server.serving(
            words.model,
            host=host,
            port=port,
            name=words.model_name,
            limits=limits,
        ) as server,
    ):
        if not listening.is_loopback(host):
            sys.stderr.write(
                f"warning: everybody who reaches {host} can use this server, "
                "which is made for development; TensorFlow Serving is for "
                "production.\n"
            )
        sys.stdout.write(f"serving at {server.url}\n")
        sys.stdout.flush()
        stop.wait()


def _check_flags(
    parser: argparse.ArgumentParser, words: argparse.Namespace, mode: str
) -> None:
    needed, possible = _MODES[mode]
    given = {name for name, value in vars(words).items() if value is not None}
    for name in needed:
        if name not in given:
            parser.error(f"--{mode} needs --{name}; see --help")
    for name in sorted(given - {*needed, *possible}):
        parser.error(f"--{name} has no meaning with --{mode}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf_metagan.serve",
        description="Give images or photographs to an exported model and draw "
        "more of them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", help="exported model: a version, or NAME")
    add("--server", help="address of a running server, http:// or grpc://")
    add("--listen", help="address to serve at, as 127.0.0.1:8501")
    add("--model_name", help="of the model on a server")
    add("--images", help="folder of PNG or JPEG files, or one file")
    add("--output", help="picture to write (samples.png)")
    for name in ("num_samples", "steps", "seed"):
        add(f"--{name}", type=int, help="that of the model, if not given")
    for name in ("width", "height"):
        add(f"--{name}", type=int, help="of samples of photographs, pixels")
    add("--random_from", type=int, help="first scale with noise (0)")
    add("--other", help="photograph to blend with, a PNG or JPEG file")
    add("--strength", type=float, help="share of the other one (0.5)")
    add("--time_limit", type=_positive(float), help="seconds of a request (30)")
    limit = parser.add_argument_group("limits of --listen")
    add = limit.add_argument
    add("--max_body_mb", type=_positive(int), help="of a request (16)")
    add("--running", type=_positive(int), help="requests at a time (2)")
    add("--waiting", type=_positive(int), help="requests that wait (32)")
    return parser


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(
                f"got {text}; expected a number above 0"
            )
        return value

    return read


if __name__ == "__main__":
    sys.exit(main())
