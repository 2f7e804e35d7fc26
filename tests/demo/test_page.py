"""The page in a real browser: pointer in, pictures out."""

import io
import math
import pathlib
import zipfile

import numpy as np
import PIL.Image
import pytest

browser = pytest.importorskip(
    "tests.demo.browser",
    reason="no selenium: pip install 'tf-metagan[dev]'",
    exc_type=ImportError,
)
axe = pytest.importorskip(
    "axe_core_python", reason="no axe-core: pip install 'tf-metagan[dev]'"
)

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions import interaction  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from tests import runs  # noqa: E402
from tf_metagan import demo  # noqa: E402
from tf_metagan.demo_page import routes  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        browser.missing() is not None, reason=str(browser.missing())
    ),
    pytest.mark.slow,
]

AXE = pathlib.Path(axe.__file__).parent / "axe.min.js"
ALLOWED = ("data:", "blob:")


@pytest.fixture(scope="module")
def model():
    """The model that the package ships, with what can be picked."""
    return demo.load("pretrained:omniglot")


@pytest.fixture(scope="module")
def url(model):
    with routes.serving(*model) as server:
        yield server.url


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    with browser.opened(downloads=downloads) as driver:
        driver.downloads = downloads
        yield driver


@pytest.fixture
def page(window, url):
    """A page on which nothing is drawn yet."""
    load(window, url)
    window.execute_script("sessionStorage.clear()")
    load(window, url)
    return window


def serve(address):
    """Start the command: (process, url)."""
    process = runs.spawn(
        "tf_metagan.demo",
        f"--listen={address}",
        "--noopen",
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    said = ""
    while not said.startswith("the page is at "):
        said = process.stdout.readline()
        assert said, process.communicate()[1]
    return process, said.split()[4].rstrip(",")


def load(driver, url):
    driver.get(url)
    browser.wait(driver, lambda d: browser.state(d) == "ready")


def sentence(driver):
    """Wait for an error and return it."""
    found = driver.find_element(By.ID, "sentence")
    browser.wait(driver, lambda d: found.is_displayed() and found.text)
    return found.text


def choose(driver, name, value):
    """Set a slider or a number, as a person who has let go of it."""
    driver.execute_script(
        "const e = document.getElementById(arguments[0]);"
        "e.value = arguments[1];"
        "for (const kind of ['input', 'change'])"
        "  e.dispatchEvent(new Event(kind, {bubbles: true}));",
        name,
        value,
    )


def faults(driver):
    """Return what axe-core finds wrong, serious or critical."""
    driver.execute_script(AXE.read_text())
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run().then((found) => done(found.violations));"
    )
    return [
        (fault["id"], [node["target"] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def complaints(driver):
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] == "SEVERE"
    ]


def test_drawings_have_siblings_that_follow_the_seed(page):
    browser.draw_all(page)
    assert browser.finish(page) == "done"
    assert "32 siblings of 5 drawings after 3 steps" in browser.text(
        page, "status"
    )
    first = browser.pixels(page)
    assert np.asarray(PIL.Image.open(io.BytesIO(first)))[..., 3].any()
    page.find_element(By.ID, "draw").click()
    assert browser.finish(page) == "done"
    assert browser.pixels(page) == first
    choose(page, "seed", 2)
    assert browser.finish(page) == "done"
    assert browser.pixels(page) != first
    # Every moment on the way has pictures of its own.
    last = browser.pixels(page)
    choose(page, "moment", 0)
    assert browser.text(page, "moment-value") == "step 0"
    assert browser.pixels(page) != last
    assert page.find_elements(By.CSS_SELECTOR, "#losses path.d.adapted")
    assert len(page.find_elements(By.CSS_SELECTOR, "#losses path")) == 4
    assert browser.text(page, "place-value").endswith("of 48")
    # Which drawing is nearest, by pointer and by keys.
    choose(page, "moment", 4)
    cells = page.find_element(By.ID, "cells")
    ActionChains(page).move_to_element_with_offset(cells, 10, 10).perform()
    assert "is nearest to drawing" in browser.text(page, "near")
    assert page.find_elements(By.CSS_SELECTOR, ".pad.nearest")
    cells.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert browser.text(page, "near").startswith("Sibling ")
    assert faults(page) == []
    assert complaints(page) == []


def test_pictures_are_saved(page):
    browser.draw_all(page, 2)
    assert browser.finish(page) == "done"
    for name in ("png", "zip"):
        page.find_element(By.ID, name).click()
        path = page.downloads / f"siblings.{name}"
        browser.wait(page, lambda d, path=path: path.exists())
    with zipfile.ZipFile(page.downloads / "siblings.zip") as file:
        assert file.testzip() is None
        names = file.namelist()
        tile = PIL.Image.open(io.BytesIO(file.read(names[9])))
    assert len(names) == 32
    sheet = PIL.Image.open(page.downloads / "siblings.png").convert("L")
    assert (tile.size, sheet.size) == ((32, 32), (1024, 512))
    box = (128, 128, 256, 256)  # the tenth
    np.testing.assert_array_equal(
        np.asarray(sheet.crop(box))[::4, ::4], np.asarray(tile.convert("L"))
    )


def test_keyboard_alone_draws_and_asks(page):
    pads = page.find_elements(By.CSS_SELECTOR, ".pad > canvas")
    for pad in pads[:2]:
        pad.send_keys(" ", *[Keys.ARROW_DOWN] * 5, *[Keys.ARROW_RIGHT] * 5, " ")
        assert "1 strokes" in pad.get_attribute("aria-label")
    assert browser.finish(page) == "done"
    pads[0].send_keys(Keys.DELETE)
    assert "empty" in pads[0].get_attribute("aria-label")


@pytest.mark.parametrize(
    "kind", [interaction.POINTER_PEN, interaction.POINTER_TOUCH]
)
def test_pen_and_finger_draw(page, kind):
    browser.draw(page, 0, browser.symbol(), kind=kind)
    pad = page.find_element(By.CSS_SELECTOR, ".pad > canvas")
    assert "3 strokes" in pad.get_attribute("aria-label")


def test_row_of_a_data_set_is_picked(page):
    page.find_element(By.ID, "pick").click()
    choose(page, "dataset", "glyphs")
    row = browser.wait(
        page, lambda d: d.find_elements(By.CSS_SELECTOR, "#rows button")
    )[0]
    row.click()
    assert browser.finish(page) == "done"
    assert "of 5 drawings" in browser.text(page, "status")
    assert faults(page) == []


def test_rows_are_those_of_the_last_click(page):
    page.find_element(By.ID, "pick").click()
    choose(page, "dataset", "glyphs")
    browser.check_last_click_counts(page, "#rows img", "/rows/glyphs/1")


def test_files_are_taken_or_refused_in_a_sentence(page, tmp_path):
    paths = runs.write_pictures(tmp_path / "good", 6, size=40)
    files = page.find_element(By.ID, "files")
    files.send_keys("\n".join(map(str, paths)))
    assert "There are 5 places" in sentence(page)
    browser.wait(page, lambda d: browser.state(d) == "done")
    (tmp_path / "large.png").write_bytes(b" " * 20 * 2**20)
    files.send_keys(str(tmp_path / "large.png"))
    browser.wait(page, lambda d: "20 MB" in browser.text(d, "sentence"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files.send_keys(str(tmp_path / "broken.png"))
    browser.wait(page, lambda d: "no picture" in browser.text(d, "sentence"))
    page.find_element(By.ID, "dismiss").click()
    assert not page.find_element(By.ID, "trouble").is_displayed()


def test_reload_in_mid_run_keeps_the_drawings(page, url):
    browser.draw_all(page, 2)
    choose(page, "steps", 50)
    browser.wait(page, lambda d: browser.state(d) == "running")
    page.refresh()
    # They are drawn again without being asked for.
    browser.wait(page, lambda d: browser.state(d) == "done")
    assert "of 2 drawings" in browser.text(page, "status")


def test_two_pages_at_once(page, url):
    first = page.current_window_handle
    browser.draw_all(page, 2)
    assert browser.finish(page) == "done"
    alone = browser.pixels(page)
    page.find_element(By.ID, "draw").click()
    page.switch_to.new_window("window")
    try:
        load(page, url)
        browser.draw_all(page, 2)
        browser.wait(page, lambda d: browser.state(d) == "done")
        assert browser.pixels(page) == alone
    finally:
        page.close()
        page.switch_to.window(first)
    browser.wait(page, lambda d: browser.state(d) == "done")
    assert browser.pixels(page) == alone


def test_killed_server_is_said_and_the_page_goes_on_with_the_next():
    server, url = serve("127.0.0.1:0")
    try:
        with browser.opened() as driver:
            load(driver, url)
            browser.draw(driver, 0, browser.symbol())
            choose(driver, "steps", 50)
            browser.wait(driver, lambda d: browser.state(d) == "running")
            server.kill()
            server.communicate()
            assert sentence(driver).startswith("The server does not answer.")
            assert browser.state(driver) == "failed"
            server, url = serve(url.removeprefix("http://"))
            choose(driver, "steps", 1)
            driver.find_element(By.ID, "draw").click()
            browser.wait(
                driver, lambda d: browser.state(d) == "done", seconds=90
            )
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("dark", [False, True])
def test_phone_has_room_for_everything(url, dark):
    with browser.opened(size=browser.PHONE, dark=dark) as driver:
        load(driver, url)
        browser.draw(
            driver, 0, browser.symbol(), kind=interaction.POINTER_TOUCH
        )
        driver.find_element(By.ID, "draw").click()
        browser.wait(driver, lambda d: browser.state(d) == "done")
        widths = driver.execute_script(
            "return [document.documentElement.scrollWidth, innerWidth]"
        )
        assert widths[0] <= widths[1]
        assert faults(driver) == []
        ground = driver.execute_script(
            "return getComputedStyle(document.body).backgroundColor"
        )
        level = sum(map(int, ground[4:-1].split(","))) / 3
        assert math.copysign(1, level - 128) == (-1 if dark else 1)


def test_nothing_leaves_the_machine(window, url):
    """Of all that the tests above have done in this window."""
    found = browser.requests(window)
    assert any(path.startswith(f"{url}/api/draw") for path in found)
    strange = [
        path
        for path in found
        if not path.startswith((url, *ALLOWED, "about:", "chrome:"))
    ]
    assert strange == []
