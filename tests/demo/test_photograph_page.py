"""The page of photographs in a real browser."""

import io
import zipfile

import numpy as np
import PIL.Image
import pytest

browser = pytest.importorskip(
    "tests.demo.browser",
    reason="no selenium: pip install 'tf-metagan[dev]'",
    exc_type=ImportError,
)
pytest.importorskip(
    "axe_core_python", reason="no axe-core: pip install 'tf-metagan[dev]'"
)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from tests.demo.test_page import (  # noqa: E402
    choose,
    complaints,
    faults,
    load,
    sentence,
)
from tests.exporting import exports  # noqa: E402
from tests.exporting.test_photographs import encoded, landscape  # noqa: E402
from tf_metagan.demo_page import routes  # noqa: E402
from tf_metagan.demo_page.photograph_model import PhotographRun  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        browser.missing() is not None, reason=str(browser.missing())
    ),
    pytest.mark.slow,
]
DRAWN = "#drawn canvas"


@pytest.fixture(scope="module")
def url():
    """A run whose weights are twice as large, so that seeds can be seen."""
    run = exports.photograph_run()
    g = {
        name: 2 * x if name.startswith("scale") else x
        for name, x in run.vars.params["g"].items()
    }
    vars = run.vars._replace(params={**run.vars.params, "g": g})
    model = PhotographRun(run._replace(vars=vars), "toy")
    with routes.serving(model, None) as server:
        yield server.url


@pytest.fixture(scope="module")
def narrow_url():
    """A model that draws four images at most."""
    model = PhotographRun(exports.photograph_run(), "toy")
    few = model.card.limits._replace(samples=4)
    model.card = model.card._replace(limits=few, samples=4)
    with routes.serving(model, None) as server:
        yield server.url


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    with browser.opened(downloads=downloads) as driver:
        driver.downloads = downloads
        yield driver


@pytest.fixture
def page(window, url):
    load(window, url)
    return window


def give(driver, slot, path):
    """Choose a file for a place."""
    selector = f"#{slot} input[type=file]"
    driver.find_element(By.CSS_SELECTOR, selector).send_keys(str(path))


def levels(png):
    """Return the levels of a picture."""
    return np.asarray(PIL.Image.open(io.BytesIO(png)), int)


def finish(driver, act):
    """Do something, and wait until what it asks for is drawn."""

    def runs():
        return driver.execute_script("return document.body.dataset.runs")

    before = runs()
    act()
    browser.wait(driver, lambda d: runs() != before)
    return browser.state(driver)


@pytest.fixture
def files(tmp_path):
    """Two photographs of another shape each."""
    found = []
    for number, height in enumerate((45, 80)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded(landscape(number, 60, height)))
        found.append(path)
    return found


def test_photographs_are_drawn_resized_and_blended(page, files):
    assert finish(page, lambda: give(page, "image", files[0])) == "done"
    assert "16 images of 24 × 18 pixels" in browser.text(page, "status")
    first = browser.pixels(page, DRAWN)
    assert finish(page, lambda: choose(page, "seed", 2)) == "done"
    assert browser.pixels(page, DRAWN) != first
    assert finish(page, lambda: choose(page, "seed", 1)) == "done"
    assert browser.pixels(page, DRAWN) == first
    # Another size, and back.
    assert finish(page, lambda: choose(page, "width", 64)) == "done"
    assert "of 64 × 18 pixels" in browser.text(page, "status")
    assert (
        finish(page, lambda: page.find_element(By.ID, "size").click()) == "done"
    )
    assert browser.pixels(page, DRAWN) == first
    # A blend with a second photograph.
    strength = page.find_element(By.ID, "strength")
    assert not strength.is_enabled()
    assert finish(page, lambda: give(page, "other", files[1])) == "done"
    half = browser.pixels(page, DRAWN)
    assert half != first
    assert browser.text(page, "strength-value") == "50 % of the second"
    assert finish(page, lambda: choose(page, "strength", 0)) == "done"
    # Another graph draws it, whose rounding may differ.
    again = levels(browser.pixels(page, DRAWN))
    assert np.abs(again - levels(first)).max() <= 2
    assert np.abs(levels(half) - levels(first)).max() > 2
    assert faults(page) == []
    assert complaints(page) == []


def test_keyboard_picks_a_landscape_and_saves(page):
    pick = page.find_element(By.CSS_SELECTOR, "#image .pick")
    pick.send_keys(Keys.ENTER)
    item = browser.wait(
        page,
        lambda d: d.find_elements(By.CSS_SELECTOR, "#landscapes button"),
    )[0]
    assert pick.get_attribute("aria-expanded") == "true"
    assert faults(page) == []
    assert finish(page, lambda: item.send_keys(Keys.ENTER)) == "done"
    assert (
        finish(
            page,
            lambda: page.find_element(By.ID, "layout").send_keys(
                Keys.ARROW_RIGHT
            ),
        )
        == "done"
    )
    assert "scale 1 of 3" in browser.text(page, "layout-value")
    for name in ("png", "zip"):
        page.find_element(By.ID, name).send_keys(Keys.ENTER)
        path = page.downloads / f"images.{name}"
        browser.wait(page, lambda d, path=path: path.exists())
    with zipfile.ZipFile(page.downloads / "images.zip") as file:
        assert file.testzip() is None
        names = file.namelist()
        tile = PIL.Image.open(io.BytesIO(file.read(names[9])))
    sheet = PIL.Image.open(page.downloads / "images.png")
    assert (len(names), tile.size, sheet.size) == (16, (24, 18), (192, 36))
    tenth = sheet.crop((24, 18, 48, 36)).convert("RGB")
    np.testing.assert_array_equal(tenth, tile.convert("RGB"))


def test_landscapes_are_those_of_the_last_click(page):
    page.find_element(By.CSS_SELECTOR, "#image .pick").click()
    browser.check_last_click_counts(page, "#landscapes img", "/landscapes/1")


def test_model_of_few_samples_and_a_photograph_taken_away(
    window, narrow_url, files
):
    load(window, narrow_url)
    assert finish(window, lambda: give(window, "image", files[0])) == "done"
    assert "4 images of 24 × 18 pixels" in browser.text(window, "status")
    window.find_element(By.CSS_SELECTOR, "#image .remove").click()
    assert browser.text(window, "status") == "There is no photograph."
    assert faults(window) == []


def test_what_is_wrong_is_a_sentence(page, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    give(page, "image", broken)
    assert sentence(page).startswith("broken.png is no picture that this")
    page.find_element(By.ID, "dismiss").click()
    flat = tmp_path / "flat.png"
    flat.write_bytes(encoded(landscape(0, 300, 20)))
    give(page, "image", flat)
    assert "expected an aspect between 1 : 8 and 8 : 1" in sentence(page)
    assert browser.state(page) == "failed"


def test_phone_has_room_in_the_dark(url, files):
    with browser.opened(size=browser.PHONE, dark=True) as driver:
        load(driver, url)
        give(driver, "image", files[0])
        browser.wait(driver, lambda d: browser.state(d) == "done")
        widths = driver.execute_script(
            "return [document.documentElement.scrollWidth, innerWidth]"
        )
        assert widths[0] <= widths[1]
        assert faults(driver) == []
