"""How long the page of the Omniglot model takes, from drawings to siblings.

Prints a JSON line for each number of steps: seconds until the last siblings are
there, and until the untrained twin and the copy check are there too; the least
of several requests, through the server.
"""

import argparse
import json
import math
import sys
import time
import urllib.request

from tf_metagan import demo
from tf_metagan.demo_page import routes


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 3, 10])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--requests", type=int, default=4)
    words = parser.parse_args(argv)
    with routes.serving(*demo.load("pretrained:omniglot")) as server:
        for steps in words.steps:
            request = {"steps": steps, "samples": words.samples, "seed": 1}
            request["images"] = [{"strokes": hook(0.1 * i)} for i in range(5)]
            found = [ask(server.url, request) for _ in range(words.requests)]
            siblings, everything = map(min, zip(*found, strict=True))
            line = {
                "steps": steps,
                "siblings_seconds": round(siblings, 3),
                "everything_seconds": round(everything, 3),
            }
            sys.stdout.write(json.dumps(line) + "\n")
    return 0


def hook(turn: float) -> list[list[tuple[float, float, float]]]:
    """Return the strokes of a symbol: x, y and pressure in 0 .. 1."""
    angles = [turn + 0.3 * i for i in range(15)]
    bow = [
        (0.5 + 0.2 * math.cos(a), 0.62 + 0.2 * math.sin(a), 0.5) for a in angles
    ]
    return [[(0.5, 0.2, 0.5), (0.5, 0.62, 0.5)], bow]


def ask(url: str, request: dict) -> tuple[float, float]:
    """Return the seconds until the siblings, and everything, is there."""
    asked = urllib.request.Request(
        f"{url}/api/draw",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    begin, siblings = time.perf_counter(), math.nan
    with urllib.request.urlopen(asked) as answer:
        for line in answer:
            if json.loads(line).get("of") == "adapted":
                siblings = time.perf_counter() - begin
    return siblings, time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
