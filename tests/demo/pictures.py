"""Photograph the pages for docs/pictures: python -m tests.demo.pictures [RUN]

With the folder of a run or export that models photographs, its page is taken,
else that of drawings.
"""

import pathlib
import sys
import time

import PIL.Image
from selenium.webdriver.common.by import By

from tests.demo import browser
from tf_metagan import demo
from tf_metagan.demo_page import routes

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "pictures"
COLOURS = 48
PICKED = 2  # of the landscapes
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


def photographs(model: str) -> None:
    """Pick a landscape that the model was not trained on, and photograph."""
    with (
        routes.serving(*demo.load(model)) as server,
        browser.opened(size=browser.DESKTOP) as driver,
    ):
        driver.get(server.url)
        browser.wait(driver, lambda d: browser.state(d) == "ready")
        pick = driver.find_element(By.CSS_SELECTOR, "#image .pick")
        pick.click()
        items = browser.wait(
            driver,
            lambda d: d.find_elements(By.CSS_SELECTOR, "#landscapes button"),
        )
        items[PICKED].click()
        browser.finish(driver)
        pick.click()
        path = FOLDER / "demo_photograph.png"
        browser.photograph(driver, path)
    shrink(path, 900, 1.0, colours=128)


def shrink(
    path: pathlib.Path, width: int, part: float, *, colours: int = COLOURS
) -> None:
    """Keep the upper part of a picture, smaller and with fewer colours."""
    picture = PIL.Image.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, round(part * picture.height)))
    height = round(picture.height * width / picture.width)
    if picture.width != width:
        picture = picture.resize((width, height), PIL.Image.Resampling.LANCZOS)
    picture.quantize(colours, dither=PIL.Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        photographs(sys.argv[1])
    else:
        main()
