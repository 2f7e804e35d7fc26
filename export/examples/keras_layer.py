"""Embed an exported model in a Keras model, from grey levels to grey levels.

    python export/examples/keras_layer.py --model=export/models/mnist \
        --images=FOLDER --output=more.png

`TFSMLayer` passes one argument, which is what the signature serving_default
takes; the number of drawings and the rest have the defaults of the export.
"""

import argparse
import json
import pathlib

import keras
import tensorflow as tf

from tf_metagan import serve


def build(folder: str) -> keras.Model:
    """Return a Keras model: levels [K, H, W, C] -> levels [N, H, W, C].

    Levels are 0 to 255. The batch axis is that of the images of one request,
    so `predict` needs a batch_size of at least K.

    Args:
      folder: version of an exported model.
    """
    info = json.loads(pathlib.Path(folder, serve.INFO_FILE).read_text())
    image = info["image"]
    levels = keras.Input([image["height"], image["width"], image["channels"]])
    images = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(levels)
    adapt = keras.layers.TFSMLayer(folder, call_endpoint="serving_default")
    samples = adapt(images)["samples"]
    drawn = keras.layers.Rescaling(127.5, offset=127.5)(samples)
    return keras.Model(levels, drawn)


def main(argv: list[str] | None = None) -> None:
    """Draw more of a folder; see the docstring of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="exported model")
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--output", default="samples.png", help="picture")
    args = parser.parse_args(argv)
    folder = serve.find(args.model)
    if folder is None:
        parser.error(f"--model={args.model} holds no exported model")
    model = build(folder)
    _, height, width, channels = model.input_shape
    images = keras.utils.image_dataset_from_directory(
        args.images,
        labels=None,
        color_mode="grayscale" if channels == 1 else "rgb",
        batch_size=None,
        image_size=(height, width),
        shuffle=False,
        verbose=False,
    )
    levels = tf.stack(list(images))
    drawn = model.predict(levels, batch_size=len(levels), verbose=0)
    pictures = tf.cast(tf.round(drawn), tf.uint8)
    files = [tf.io.encode_png(picture).numpy() for picture in pictures]
    pathlib.Path(args.output).write_bytes(serve.grid(files))
    print(f"{len(files)} samples: {args.output}")


if __name__ == "__main__":
    main()
