"""Draw more of a few images by REST; Python's standard library is enough.

    python export/clients/rest_client.py http://127.0.0.1:8501 NAME OUTPUT *.png

Works with TensorFlow Serving and `python -m tf_metagan.serve --listen`.
"""

import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request


def draw(server, model, files, *, num_samples=8, steps=10, seed=1):
    """Return PNG files drawn after adapting to PNG or JPEG files."""
    encoded = [{"b64": base64.b64encode(file).decode()} for file in files]
    request = {
        "signature_name": "adapt_and_sample_bytes",
        # By REST every input must be given.
        "inputs": {
            "image_bytes": encoded,
            "num_samples": num_samples,
            "steps": steps,
            "seed": [0, seed],
        },
    }
    url = f"{server}/v1/models/{model}:predict"
    body = json.dumps(request).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            outputs = json.load(answer)["outputs"]
    except urllib.error.HTTPError as error:
        # What was wrong stands in the body.
        raise SystemExit(f"{error.code}: {json.load(error)['error']}") from None
    return [base64.b64decode(png["b64"]) for png in outputs["png_bytes"]]


if __name__ == "__main__":
    server, model, output, *paths = sys.argv[1:]
    images = [pathlib.Path(path).read_bytes() for path in paths]
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for number, png in enumerate(draw(server, model, images)):
        (folder / f"{number:03d}.png").write_bytes(png)
