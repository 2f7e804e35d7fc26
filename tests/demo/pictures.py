"""Photograph the page for docs/pictures: python -m tests.demo.pictures"""

import pathlib
import time

import PIL.Image

from tests.demo import browser
from tf_metagan import demo
from tf_metagan.demo_page import routes

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "pictures"
COLOURS = 48
SHOTS = {
    # {name: (size, dark, width of the file, part of the height)}
    "demo.png": (browser.DESKTOP, False, 900, 0.7),
    "demo_dark.png": (browser.DESKTOP, True, 900, 0.7),
    "demo_phone.png": (browser.PHONE, False, 390, 0.62),
}


def main() -> None:
    """Draw, wait, photograph, write small files."""
    with routes.serving(*demo.load("pretrained:omniglot")) as server:
        for name, (size, dark, width, part) in SHOTS.items():
            with browser.opened(size=size, dark=dark) as driver:
                driver.get(server.url)
                browser.wait(driver, lambda d: browser.state(d) == "ready")
                browser.draw_all(driver)
                browser.finish(driver)
                time.sleep(1)  # of the walk
                browser.photograph(driver, FOLDER / name)
            shrink(FOLDER / name, width, part)


def shrink(path: pathlib.Path, width: int, part: float) -> None:
    """Keep the upper part of a picture, smaller and with fewer colours."""
    picture = PIL.Image.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, round(part * picture.height)))
    height = round(picture.height * width / picture.width)
    if picture.width != width:
        picture = picture.resize((width, height), PIL.Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=PIL.Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    main()
