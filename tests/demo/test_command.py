"""python -m tf_metagan.demo: what it takes, says and shows."""

import http.client
import json
import signal

import pytest

from tests import runs
from tests.serving import asking
from tf_metagan import cli, demo


def test_help_has_the_settings(capsys):
    assert cli.run(demo.COMMAND, ["--help"]) == 0
    assert "--model=pretrained:omniglot" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--listen=8600"], 1, "expected an address and a port"),
        (["--model=pretrained:none"], 1, "names no model that comes with"),
        (["--model=/no/such"], 2, "/no/such"),
        (["--time_limit=0"], 1, "--time_limit"),
    ],
)
def test_wrong_settings_are_one_sentence(words, code, sentence, capsys):
    assert cli.run(demo.COMMAND, ["--noopen", *words]) == code
    assert sentence in capsys.readouterr().err


def test_page_of_an_export_is_there_until_the_command_is_stopped(toy):
    """The browser is left alone; another address is warned of."""
    process = runs.spawn(
        "tf_metagan.demo",
        f"--model={toy.folder.parent}",
        "--listen=0.0.0.0:0",
        "--noopen",
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    try:
        assert process.stdout.readline() == "preparing toy, version 1 ...\n"
        said = process.stdout.readline()
        assert said.startswith("the page is at http://0.0.0.0:")
        url = said.split()[4].rstrip(",").replace("0.0.0.0", "127.0.0.1")
        connection = http.client.HTTPConnection(*asking.address(url))
        connection.request("GET", "/api/model")
        card = json.loads(connection.getresponse().read())
        connection.close()
        assert (card["name"], card["scratch"]) == ("toy, version 1", False)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "warning: everybody who reaches 0.0.0.0" in errors


def test_browser_is_opened_when_asked(monkeypatch, toy):
    seen = []
    monkeypatch.setattr(
        demo.webbrowser, "open", lambda url: seen.append(url) or _stop()
    )

    def _stop():
        signal.raise_signal(signal.SIGINT)

    words = [f"--model={toy.folder}", "--listen=127.0.0.1:0"]
    assert cli.run(demo.COMMAND, words) == 0
    assert seen[0].startswith("http://127.0.0.1:")
