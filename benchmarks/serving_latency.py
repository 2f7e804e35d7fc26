"""Time an exported model beside the library and beside eager PyTorch.

    python -m benchmarks.serving_latency --quick
    python -m benchmarks.serving_latency --run=pretrained:mnist

One request: adapt to 16 images in 10 steps and draw 64 samples. Contestants
live in fresh processes and take turns, one request each; ratios are medians
over rounds of two times from the same round. This process imports neither
TensorFlow nor PyTorch.
"""

import argparse
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from benchmarks import (
    facts,
    processes,
    serving_contestants,
    serving_report,
)
from benchmarks.serving_contestants import Case, Request

FORMAT = 1
RESULTS = pathlib.Path(__file__).parent / "results" / "serving_latency.json"

# A fresh process times itself, from its first line on.
_COLD = """
import time
start = time.perf_counter()
import json, sys
import numpy as np
from tf_metagan import serve
imported = time.perf_counter()
model = serve.load(sys.argv[1])
loaded = time.perf_counter()
request = np.load(sys.argv[2])
answer = model.adapt_and_sample(
    request["images"], num_samples=int(sys.argv[3]), steps=int(sys.argv[4])
)
answer.samples.numpy()
answered = time.perf_counter()
print(json.dumps({
    "import_s": imported - start,
    "load_s": loaded - imported,
    "answer_s": answered - loaded,
    "total_s": answered - start,
}))
"""


def measure(
    run_name: str,
    request: Request,
    *,
    rounds: int,
    starts: int,
    cores: int,
    torch: bool,
    say: Callable[[str], None],
) -> dict:
    """Export, race, start cold.

    Args:
      run_name: folder of a run, or pretrained:NAME.
      request: sizes.
      rounds: requests of each contestant besides the first.
      starts: cold starts.
      cores: cores to use.
      torch: whether PyTorch is installed.
      say: called with what is about to happen.

    Returns:
      {"rows", "goals", "cold", "half"} of a report.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        words = [f"--run={run_name}", f"--folder={folder}", *_words(request)]
        say("exporting in " + ", ".join(serving_contestants.WEIGHTS))
        ready = json.loads(
            _run("-m", __spec__.name, "--prepare", *words).splitlines()[-1]
        )
        say("requests")
        raced = serving_contestants.cases(
            cores=cores, torch=torch and ready["torch"]
        )
        workers = processes.take_turns(
            [
                functools.partial(
                    processes.Worker,
                    case.name,
                    __spec__.name,
                    [f"--worker={json.dumps(case)}", *words],
                    cores=cores,
                    environment=case.environment(),
                )
                for case in raced
            ],
            rounds=rounds,
            seconds=float("inf"),
        )
        walls = [[turn["wall"] for turn in w.turns] for w in workers]
        say("cold starts")
        cold = [
            json.loads(
                _run(
                    "-c",
                    _COLD,
                    str(folder / "float32"),
                    str(folder / "request.npz"),
                    str(request.samples),
                    str(request.steps),
                )
            )
            for _ in range(starts)
        ]
    rows = serving_report.summary(
        raced, walls, [worker.others() for worker in workers]
    )
    return {
        "goals": serving_report.goals(raced, walls, cold),
        "rows": [row._asdict() for row in rows],
        "cold": cold,
        "half": ready["half"],
    }


def _words(request: Request) -> list[str]:
    return [f"--{name}={n}" for name, n in request._asdict().items()]


def _run(*words: str) -> str:
    """Run Python in a fresh process and return what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"a process ended with code {done.returncode}; its last words:\n"
            + "\n".join(done.stderr.splitlines()[-20:])
        )
    return done.stdout


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run; see the docstring of the module."""
    parser = _parser()
    args = parser.parse_args(argv)
    request = Request(args.images, args.steps, args.samples)
    cores = min(args.cores, processes.usable_cores())
    if args.prepare:
        print(
            json.dumps(
                serving_contestants.prepare(args.run, args.folder, request)
            )
        )
        return
    if args.worker:
        case = Case(*json.loads(args.worker))
        processes.answer_turns(
            functools.partial(
                serving_contestants.step_of,
                case,
                args.folder,
                args.run,
                request,
            ),
            cores=cores,
        )
        return
    if min(*request, cores) < 1:
        parser.error(
            "--images, --steps, --samples and --cores count things; got "
            f"{request.images}, {request.steps}, {request.samples} and "
            f"{args.cores}, expected at least 1 of each."
        )
    known = facts.machine(cores)
    report = {
        "format": FORMAT,
        "command": " ".join(
            ["python -m benchmarks.serving_latency", *(argv or sys.argv[1:])]
        ),
        "run": args.run,
        "request": request._asdict(),
        "machine": known,
        **measure(
            args.run,
            request,
            rounds=20 if args.quick else 200,
            starts=2 if args.quick else 5,
            cores=cores,
            torch=bool(known["torch"]),
            say=lambda text: print(text, file=sys.stderr),
        ),
    }
    facts.save(report, serving_report.markdown(report), args.output)
    print(serving_report.markdown(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving_latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--run",
        default="pretrained:mnist",
        help="trained run, default %(default)s",
    )
    for name, value in Request()._asdict().items():
        add(f"--{name}", type=int, default=value, help="default %(default)s")
    add("--cores", type=int, default=2, help="to use at most, default 2")
    add("--quick", action="store_true", help="20 rounds, not 200")
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        metavar="FILE.json",
        help="a .md is written beside it; default: benchmarks/results/",
    )
    add("--prepare", action="store_true", help=argparse.SUPPRESS)
    add("--worker", help=argparse.SUPPRESS)
    add("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
