"""Load the local server with clients that ask at the same time.

    python -m benchmarks.serving_load
    python -m benchmarks.serving_load --model=DIR --requests=500 --clients=16

Server and clients are processes of their own on one machine. Every client
sends its next request when it has the answer to the last. A row is one load;
the first, of a single client, is the latency without any waiting. Without
--model the pretrained MNIST model is exported first.
"""

import argparse
import base64
import contextlib
import http.client
import io
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from benchmarks import facts, processes

FORMAT = 1
RESULTS = pathlib.Path(__file__).parent / "results" / "serving_load.json"

_ANSWER_SECONDS = 120


class Row(NamedTuple):
    """What one load gave.

    Attributes:
      clients: that ask at the same time.
      running: requests that the server works on at the same time.
      requests: sent.
      answered: with status 200.
      refused: with another status.
      lost: without any answer.
      p50_ms: latency of the answered, as all that follow; the median.
      p90_ms: 90th percentile.
      p99_ms: 99th percentile.
      max_ms: largest.
      per_s: answers in a second.
    """

    clients: int
    running: int
    requests: int
    answered: int
    refused: int
    lost: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    per_s: float


@contextlib.contextmanager
def server(model: str, *, running: int) -> Iterator[tuple[str, int]]:
    """Yield (host, port) of a local server in a process of its own."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tf_metagan.serve"),
            "--listen=127.0.0.1:0",
            f"--model={model}",
            "--model_name=model",
            f"--running={running}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        found = re.search(r"http://(.*):(\d+)", process.stdout.readline())
        if found is None:
            raise RuntimeError(
                f"the server did not start; run it alone: {process.args}"
            )
        yield found[1], int(found[2])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def body(*, images: int, steps: int, samples: int, seed: int) -> bytes:
    """Return a request of encoded images of noise."""
    draw = np.random.default_rng(seed)
    files = []
    for _ in range(images):
        pixels = draw.integers(0, 256, (28, 28), np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "PNG")
        files.append({"b64": base64.b64encode(file.getvalue()).decode()})
    inputs = {
        "image_bytes": files,
        "num_samples": samples,
        "steps": steps,
        "seed": [0, seed],
    }
    request = {"signature_name": "adapt_and_sample_bytes", "inputs": inputs}
    return json.dumps(request).encode()


def ask(place: tuple[str, int], content: bytes) -> int:
    """Send a request; return the status, 0 if no whole answer came."""
    connection = http.client.HTTPConnection(*place, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", "/v1/models/model:predict", content)
        answer = connection.getresponse()
        json.loads(answer.read())
        return answer.status
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    finally:
        connection.close()


def load(
    place: tuple[str, int],
    bodies: Sequence[bytes],
    *,
    clients: int,
    running: int,
) -> Row:
    """Send all bodies from so many clients at the same time."""
    left = list(enumerate(bodies))
    statuses = [0] * len(bodies)
    seconds = [0.0] * len(bodies)

    def client() -> None:
        while True:
            try:
                number, content = left.pop()  # atomic
            except IndexError:
                return
            start = time.perf_counter()
            statuses[number] = ask(place, content)
            seconds[number] = time.perf_counter() - start

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - start
    return summary(
        statuses, seconds, whole=whole, clients=clients, running=running
    )


def summary(
    statuses: Sequence[int],
    seconds: Sequence[float],
    *,
    whole: float,
    clients: int,
    running: int,
) -> Row:
    """Count the answers and rank their times."""
    kinds = Counter(
        {200: "answered", 0: "lost"}.get(status, "refused")
        for status in statuses
    )
    good = [
        1000 * time
        for time, status in zip(seconds, statuses, strict=True)
        if status == 200
    ] or [float("nan")]
    p50, p90, p99 = np.percentile(good, (50, 90, 99)).tolist()
    return Row(
        clients,
        running,
        len(statuses),
        kinds["answered"],
        kinds["refused"],
        kinds["lost"],
        p50,
        p90,
        p99,
        max(good),
        kinds["answered"] / whole,
    )


def markdown(report: dict) -> str:
    """Return the report as Markdown."""
    request = report["request"]
    out = [
        "# Load on the local server\n\n",
        f"`{report['command']}`\n\n",
        f"adapt_and_sample_bytes by REST: {request['images']} PNG files of "
        f"28x28, {request['steps']} steps, {request['samples']} samples, of "
        f"{report['model']}. Latencies in ms, by the clock of the client.\n\n",
        *(f"- {k}: {v}\n" for k, v in report["machine"].items() if v),
        "\nOther work on the machine (load_at_start, of as many cores) slows "
        "all rows.\n\n",
    ]
    heads = [name.removesuffix("_ms") for name in Row._fields]
    lines = [heads, ["---"] * len(heads)]
    for row in report["rows"]:
        lines.append(
            [
                f"{x:.3g}" if isinstance(x, float) and x < 100 else f"{x:.0f}"
                for x in row.values()
            ]
        )
    out += [f"| {' | '.join(line)} |\n" for line in lines]
    return "".join(out)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write; return 1 if a request was refused or lost."""
    args = _parser().parse_args(argv)
    request = {
        "images": args.images,
        "steps": args.steps,
        "samples": args.samples,
    }
    bodies = [body(**request, seed=seed) for seed in range(args.requests)]
    machine = facts.machine(processes.usable_cores())
    rows = []
    with contextlib.ExitStack() as stack:
        model = args.model
        if model is None:
            base = stack.enter_context(tempfile.TemporaryDirectory())
            model = f"{base}/mnist"
            subprocess.run(
                [
                    *(sys.executable, "-m", "tf_metagan.export"),
                    "--run=pretrained:mnist",
                    f"--output={model}",
                ],
                check=True,
            )
        with server(model, running=args.running) as place:
            for clients in (1, args.clients):
                # A single client would take long for all of them.
                some = bodies if clients > 1 else bodies[::10]
                rows.append(
                    load(place, some, clients=clients, running=args.running)
                )
                print(rows[-1], file=sys.stderr)
    report = {
        "format": FORMAT,
        "command": " ".join(
            ["python -m benchmarks.serving_load", *(argv or sys.argv[1:])]
        ),
        "model": "pretrained:mnist" if args.model is None else args.model,
        "request": request,
        "machine": machine,
        "rows": [row._asdict() for row in rows],
    }
    facts.save(report, markdown(report), args.output)
    print(markdown(report))
    return int(any(row.refused or row.lost for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", help="exported model; default: pretrained:mnist, exported")
    for name, default, what in (
        ("requests", 200, "of the largest load"),
        ("clients", 8, "of the largest load"),
        ("running", 2, "requests that the server works on at a time"),
        ("images", 16, "of a request"),
        ("steps", 10, "of a request"),
        ("samples", 64, "of a request"),
    ):
        add(
            f"--{name}",
            type=int,
            default=default,
            help=f"{what}, default {default}",
        )
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        metavar="FILE.json",
        help="a .md is written beside it; default: benchmarks/results/",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
