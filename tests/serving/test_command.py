"""python -m tf_metagan.serve: its three ways, and how it ends."""

import os
import signal
import subprocess
import sys

import pytest

from tests import runs
from tests.serving import asking
from tf_metagan import serve
from tf_metagan.serving import listening


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "expected --model, --server or --listen"),
        (["--model=x"], "--model needs --images"),
        (["--server=http://x"], "--server needs --model_name"),
        (["--listen=127.0.0.1:0"], "--listen needs --model"),
        (
            ["--listen=127.0.0.1:0", "--model=x", "--images=x"],
            "--images has no meaning with --listen",
        ),
        (
            ["--server=http://x", "--model_name=x", "--images=x", "--model=x"],
            "--model has no meaning with --server",
        ),
        (
            ["--model=x", "--images=x", "--waiting=3"],
            "--waiting has no meaning with --model",
        ),
        (["--listen=x", "--model=x", "--running=0"], "expected a number above"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(words, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        serve.main(words)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "listen", ["8501", "example.org:80", "127.0.0.1:x", "127.0.0.1:99999", "::"]
)
def test_addresses_are_checked(listen, capsys):
    assert serve.main([f"--listen={listen}", "--model=x"]) == 1
    assert f"--listen={listen}: " in (error := capsys.readouterr().err)
    assert "expected an address and a port, as 127.0.0.1:8501" in error


def test_addresses_are_read():
    assert listening.address("localhost:1") == ("127.0.0.1", 1)
    assert listening.address("[::1]:8501") == ("::1", 8501)
    assert listening.address("0.0.0.0:8501") == ("0.0.0.0", 8501)


def test_unreachable_server_and_absent_model_are_said(tmp_path, capsys):
    runs.write_pictures(tmp_path, 1, size=20)
    words = ["--model_name=toy", f"--images={tmp_path}"]
    assert serve.main(["--server=http://127.0.0.1:9", *words]) == 2
    assert "refused" in capsys.readouterr().err
    assert serve.main(["--listen=127.0.0.1:0", f"--model={tmp_path}"]) == 2
    assert "holds no exported model" in capsys.readouterr().err


def test_server_of_the_command_line_answers_until_it_is_told_to_stop(toy):
    """Neither Keras nor what trains is loaded; another address is warned of."""
    code = """
import sys
sys.modules["keras"] = None
from tf_metagan import serve
code = serve.main(sys.argv[1:])
ours = {name for name in sys.modules if name.startswith("tf_metagan.")}
assert all(name.startswith("tf_metagan.serv") for name in ours), ours
sys.exit(code)
"""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", code, "--listen=0.0.0.0:0"),
            *(f"--model={toy.folder.parent}", "--max_body_mb=1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        said = process.stdout.readline()
        assert said.startswith("serving at http://0.0.0.0:")
        url = said.split()[-1].replace("0.0.0.0", "127.0.0.1")
        inputs = {"num_samples": 1, "seed": [0, 0]}
        asked = {"signature_name": "sample_prior", "inputs": inputs}
        assert asking.predict(url, asked).status == 200
        large = asking.ask(url, "POST", "/v1/models/toy:predict", b" " * 2**20)
        assert large.status == 413
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "warning: everybody who reaches 0.0.0.0" in errors
    with pytest.raises(ConnectionError):
        asking.predict(url, asked)
