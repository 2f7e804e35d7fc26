"""Chromium without a window, and a hand that draws in it."""

import base64
import contextlib
import json
import math
import shutil

from selenium import webdriver
from selenium.webdriver.common.actions import interaction
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)


def missing() -> str | None:
    """Return what has to be installed for these tests, or None."""
    if not any(map(shutil.which, CHROMIUM)) or not shutil.which("chromedriver"):
        return "no Chromium: apt install chromium chromium-driver"
    return None


@contextlib.contextmanager
def opened(*, size=DESKTOP, dark=False, downloads=None):
    """Yield a browser; names of other hosts lead nowhere."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, CHROMIUM)))
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "hide-scrollbars",
        f"window-size={size[0]},{size[1]}",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(f"--{word}")
    logs = {"performance": "ALL", "browser": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    if downloads is not None:
        options.add_experimental_option(
            "prefs", {"download.default_directory": str(downloads)}
        )
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": size[0],
                "height": size[1],
                "deviceScaleFactor": 1,
                "mobile": size == PHONE,
            },
        )
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": features}
        )
        yield driver
    finally:
        driver.quit()


def symbol(*, turn=0.0, lean=0.0):
    """Return strokes of an invented symbol, [[(x, y), ...], ...] in 0 .. 1.

    Args:
      turn: radians by which its hook is turned.
      lean: sideways shift of its top.
    """
    hook = [
        (
            0.5 + 0.2 * math.cos(turn + 0.3 * i),
            0.62 + 0.2 * math.sin(turn + 0.3 * i),
        )
        for i in range(15)
    ]
    stem = [(0.5 + lean, 0.2), (0.5 + lean / 2, 0.35), (0.5, 0.62)]
    bar = [(0.33 + lean, 0.3), (0.52 + lean, 0.27), (0.7 + lean, 0.31)]
    return [stem, bar, hook]


def draw(driver, pad, strokes, *, kind=interaction.POINTER_MOUSE):
    """Draw strokes in a pad by a mouse, a pen or a finger."""
    canvas = driver.find_elements(By.CSS_SELECTOR, ".pad > canvas")[pad]
    driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'})", canvas
    )
    box = canvas.rect
    hand = PointerInput(kind, kind)
    actions = ActionBuilder(driver, mouse=hand, duration=10)

    def move(x, y):
        # Offsets are from the middle of the element.
        hand.create_pointer_move(
            duration=10,
            x=round((x - 0.5) * box["width"]),
            y=round((y - 0.5) * box["height"]),
            origin=canvas,
        )

    for stroke in strokes:
        move(*stroke[0])
        hand.create_pointer_down(button=0)
        for point in stroke[1:]:
            move(*point)
        hand.create_pointer_up(button=0)
    actions.perform()


def draw_all(driver, number=5):
    """Draw the symbol in the first pads, each a little differently."""
    for pad in range(number):
        wobble = (pad - 2) / 2
        draw(driver, pad, symbol(turn=0.25 * wobble, lean=0.04 * wobble))


def state(driver):
    """Return what the page does: ready, running, done, failed."""
    return driver.execute_script("return document.body.dataset.state")


def wait(driver, condition, *, seconds=30):
    """Wait until condition(driver) holds; return its result."""
    return WebDriverWait(driver, seconds, 0.05).until(condition)


def finish(driver):
    """Wait until a drawing begins and is done."""
    wait(driver, lambda d: state(d) == "running", seconds=5)
    wait(driver, lambda d: state(d) != "running")
    return state(driver)


def pixels(driver, selector="#adapted canvas"):
    """Return the picture on a canvas, PNG bytes."""
    url = driver.execute_script(
        "return document.querySelector(arguments[0]).toDataURL()", selector
    )
    return base64.b64decode(url.partition(",")[2])


def text(driver, name):
    """Return the text of the element of a name."""
    return driver.find_element(By.ID, name).text


def requests(driver):
    """Return the URLs that pages of this browser asked for."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return found


def photograph(driver, path):
    """Write the whole page, from its top, as a PNG file."""
    size = driver.execute_script(
        "scrollTo(0, 0);"
        "document.activeElement.blur();"
        "const all = document.documentElement;"
        "return [innerWidth, all.scrollHeight]"
    )
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": False,
        },
    )
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot",
        {"format": "png", "captureBeyondViewport": True},
    )
    with open(path, "wb") as file:
        file.write(base64.b64decode(taken["data"]))


_HOLD = """
const ask = window.fetch;
window.fetch = async (path, options) => {
  const answer = await ask(path, options);
  if (path.endsWith(arguments[0])) await new Promise((go) => (window.go = go));
  return answer;
};
"""
_PICTURES = (
    "return [...document.querySelectorAll(arguments[0])].map(x => x.src)"
)


def check_last_click_counts(driver, pictures, late):
    """Ask for others twice, of which the first answer comes last.

    Args:
      driver: a page that shows pictures to pick.
      pictures: selector of them.
      late: how the address of the first answer ends.
    """

    def shown():
        return driver.execute_script(_PICTURES, pictures)

    first = wait(driver, lambda d: shown())
    driver.execute_script(_HOLD, late)
    for _ in range(2):
        driver.find_element(By.ID, "others").click()
    wait(driver, lambda d: d.execute_script("return Boolean(window.go)"))
    last = wait(driver, lambda d: shown() != first and shown())
    driver.execute_async_script("window.go(); setTimeout(arguments[0], 300);")
    assert shown() == last
