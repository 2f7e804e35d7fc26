"""The examples in export/clients are run as they stand."""

import base64
import json
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import runs

CLIENTS = pathlib.Path(__file__).parents[2] / "export" / "clients"


@pytest.fixture
def pictures(tmp_path):
    runs.write_pictures(tmp_path / "images", 3, size=40)
    return sorted(str(path) for path in (tmp_path / "images").iterdir())


def is_sample(png):
    image = tf.io.decode_png(png)
    return image.shape == [16, 16, 1] and np.asarray(image).std() > 0


def call(monkeypatch, name, *words):
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    runpy.run_path(str(CLIENTS / name), run_name="__main__")


@pytest.mark.parametrize("name", ["rest_client.py", "grpc_client.py"])
def test_python_clients_write_samples(
    name, rest, grpc_address, pictures, tmp_path, monkeypatch
):
    server = rest if name.startswith("rest") else grpc_address
    output = tmp_path / "out"
    call(monkeypatch, name, server, "toy", output, *pictures)
    written = sorted(output.iterdir())
    assert [path.name for path in written][-1] == "007.png"
    assert all(is_sample(path.read_bytes()) for path in written)
    with pytest.raises(SystemExit, match="9 image_bytes; expected 1 to 8"):
        call(monkeypatch, name, server, "toy", output, *3 * pictures)


def test_rest_client_needs_the_standard_library_alone():
    code = f"""
import runpy, sys
before = set(sys.modules)
runpy.run_path({str(CLIENTS / "rest_client.py")!r})
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
sys.exit(", ".join(sorted(new - set(sys.stdlib_module_names))) or 0)
"""
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


def test_curl_script_prints_the_answer(rest, pictures):
    done = subprocess.run(
        [str(CLIENTS / "rest.sh"), rest, "toy", *pictures],
        check=True,
        capture_output=True,
    )
    samples = json.loads(done.stdout)["outputs"]["png_bytes"]
    assert len(samples) == 8
    assert all(is_sample(base64.b64decode(x["b64"])) for x in samples)
    done = subprocess.run(
        [str(CLIENTS / "rest.sh"), rest, "other", *pictures],
        check=False,
        capture_output=True,
    )
    assert done.returncode != 0
    assert "there is no model other" in json.loads(done.stdout)["error"]
