"""The page in a real browser: Chromium of the machine, without a screen and without a network."""

import io
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image

from ldrestore.images.files import read_photo
from tests.serving.page_in_browser import chromium, drop, open_page
from tests.serving.running_page import running_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE = 120_000
"""Milliseconds that a busy machine may take for a small picture."""


@pytest.fixture(scope="module")
def address(models_folder, tmp_path_factory):
    with running_page(tmp_path_factory.mktemp("page"), "--models", models_folder, "--model", "sampler") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def open_it(browser, address):
    """`open_it(**context)`: a page that fails the test on any error, and fetches nothing from elsewhere."""
    contexts, pages, faults = [], [], []

    def make(**options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options))
        pages.append(open_page(contexts[-1], address, faults))
        pages[-1].set_default_timeout(PATIENCE)
        return pages[-1]

    yield make
    for context in contexts:
        context.close()
    assert faults == []
    assert {url for page in pages for url in page.requests if not url.startswith((address, "data:", "blob:"))} == set()


def status(page):
    return page.locator("#ld-status .ld-good, #ld-status .ld-bad").first


def restore(page):
    """Press Restore and wait for its end."""
    page.get_by_role("button", name="Restore", exact=True).click()
    status(page).wait_for()


def download(page, name):
    """Bytes and name of what a button gives."""
    with page.expect_download() as waiting:
        page.locator(name).click()
    with open(waiting.value.path(), "rb") as file:
        return file.read(), waiting.value.suggested_filename


@pytest.fixture
def photo(picture, tmp_path):
    return picture(tmp_path / "in" / "harbour (2).png", height=96, width=128)


def test_drop_look_restore_compare_download(open_it, photo):
    page = open_it()
    drop(page, photo)
    sliders = page.locator("#ld-bars input[type=range]")
    sliders.first.wait_for()
    assert sliders.count() == 3
    restore(page)
    assert "is restored" in status(page).inner_text()
    page.locator("#ld-compare img").nth(1).wait_for()
    content, name = download(page, "#ld-download")
    assert Image.open(io.BytesIO(content)).size == (128, 96) and name.endswith(".png")
    record, name = download(page, "#ld-download-record")
    assert b'"output_sha256"' in record and name.endswith(".png.json")
    page.get_by_role("tab", name="Changes").click()
    page.locator("#ld-changes img").wait_for()
    page.get_by_role("tab", name="Record").click()
    page.locator("#ld-record").get_by_text("input_sha256").wait_for()


def test_a_bar_moved_by_keyboard_steers_and_goes_back(open_it, photo):
    page = open_it()
    drop(page, photo)
    slider = page.get_by_role("slider", name="How strong is rain")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    assert page.get_by_role("button", name="rain: back to what the model sees").is_visible()
    restore(page)
    record, _ = download(page, "#ld-download-record")
    assert b'"rain": 1.0' in record
    page.get_by_role("button", name="rain: back to what the model sees").click()
    assert page.locator(".ld-told").count() == 0


def test_what_is_painted_stays(open_it, photo, tmp_path):
    page = open_it()
    drop(page, photo)
    canvas = page.locator("#ld-painter canvas")
    page.wait_for_function("document.querySelector('#ld-painter canvas').width === 128")
    page.locator("#ld-painter input[type=range]").fill("40")
    box = canvas.bounding_box()
    for height in (10, 30):
        page.mouse.move(box["x"], box["y"] + height)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"], box["y"] + height, steps=6)
        page.mouse.up()
    restore(page)
    (tmp_path / "back.png").write_bytes(download(page, "#ld-download")[0])
    before, after = read_photo(photo).pixels, read_photo(tmp_path / "back.png").pixels
    assert np.array_equal(before[:30], after[:30])
    assert not np.array_equal(before[60:], after[60:])
    page.get_by_role("tab", name="Picture", exact=True).click()
    painter = page.locator("#ld-painter")
    painter.get_by_role("button", name="Undo").click()
    painter.get_by_role("button", name="Clear").click()
    assert painter.get_by_role("button", name="Clear").is_disabled()


def test_cancel_ends_a_long_picture_and_the_next_one_works(open_it, picture, photo, tmp_path):
    page = open_it()
    drop(page, picture(tmp_path / "large.png", height=700, width=700))
    page.locator("#ld-bars input[type=range]").first.wait_for()
    page.get_by_role("button", name="More").click()
    page.locator("#ld-steps input[type=number]").fill("100")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.locator("#ld-status").get_by_text("Cancelled").wait_for()
    page.get_by_role("button", name="Restore", exact=True).wait_for()
    assert not page.locator("#ld-download:not([disabled])").count()


def test_a_result_can_be_fetched_until_another_picture_is_dropped(open_it, picture, photo, tmp_path):
    page = open_it()
    drop(page, photo)
    page.locator("#ld-bars input[type=range]").first.wait_for()
    restore(page)
    page.get_by_role("button", name="More").click()
    page.locator("#ld-steps input[type=number]").fill("100")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.locator("#ld-status").get_by_text("Cancelled").wait_for()
    assert Image.open(io.BytesIO(download(page, "#ld-download")[0])).size == (128, 96)
    assert page.locator("#ld-compare").is_visible()
    page.locator("#ld-upload").get_by_role("button", name="Clear").click()
    drop(page, picture(tmp_path / "other.png"))
    page.locator("#ld-status").get_by_text("other.png").wait_for()
    assert page.locator("#ld-download").is_disabled()
    assert page.locator("#ld-painter").is_visible()


def test_a_hostile_name_and_a_broken_file_are_words(open_it, tmp_path):
    page = open_it()
    broken = tmp_path / "<img src=x onerror=alert(1)>.png"
    broken.write_bytes(b"<script>alert(1)</script>")
    drop(page, broken)
    page.locator("#ld-status .ld-bad").wait_for()
    assert "not a picture" in page.locator("#ld-status").inner_text()
    assert page.locator("#ld-status img, #ld-states img").count() == 0


def test_many_pictures_come_back_as_a_zip(open_it, picture, tmp_path):
    page = open_it()
    page.get_by_role("tab", name="Many pictures").click()
    page.locator("#ld-batch-model input").click()
    page.get_by_role("option", name="tiny", exact=True).click()
    files = [picture(tmp_path / "many" / f"{seed}.png", seed=seed) for seed in range(3)]
    files.append(tmp_path / "many" / "broken.png")
    files[-1].write_bytes(b"x")
    page.locator("#ld-batch-upload input[type=file]").set_input_files(list(map(str, files)))
    page.locator("#ld-batch-upload tr").nth(3).wait_for()
    page.get_by_role("button", name="Restore all").click()
    page.locator("#ld-zip:not([disabled])").wait_for()
    assert "4 of 4, 1 not done" in page.locator("#ld-states").inner_text()
    content, _ = download(page, "#ld-zip")
    assert {"0.png", "1.png", "2.png", "report.json"} <= set(zipfile.ZipFile(io.BytesIO(content)).namelist())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_nothing_runs_out_of_the_window_and_all_can_be_named(open_it, scheme, width, height):
    page = open_it(viewport={"width": width, "height": height}, color_scheme=scheme)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#ld-upload").bounding_box()["x"] <= 0.04 * width + 1  # little is wasted beside it
    for view in ("Picture", "Compare", "Changes", "Record"):
        assert page.get_by_role("tab", name=view, exact=True).is_visible()
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input:not([type=file]), select, textarea, canvas')]
        .filter(e => e.checkVisibility())
        .filter(e => !(e.innerText || e.ariaLabel || e.title || e.placeholder || e.labels?.length))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_results_stay_in_sight_beside_a_longer_column(open_it):
    page = open_it(viewport={"width": 1440, "height": 500})
    page.locator(".ld-asked").evaluate("column => { column.style.minHeight = '3000px' }")
    before = page.locator("#ld-views").bounding_box()["y"]
    page.evaluate("window.scrollTo(0, 1000)")
    assert page.evaluate("window.scrollY") == 1000 and before > 100
    assert 0 <= page.locator("#ld-views").bounding_box()["y"] < 40


def test_colours_are_changed_by_a_button(open_it):
    page = open_it(color_scheme="light")
    button = page.get_by_role("button", name="Use dark colours")
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.body.classList.contains('dark')")
    assert page.get_by_role("button", name="Use light colours").get_attribute("aria-pressed") == "true"


def fill_row(address, source):
    """Calls that take a while until one runs, one waits and one was refused; where events of those taken are read."""
    with httpx.Client(base_url=f"{address}/gradio_api", timeout=120, trust_env=False) as http:
        (stored,) = http.post("/upload", files={"files": (source.name, source.read_bytes())}).json()
        file = {"path": stored, "meta": {"_type": "gradio.FileData"}}
        events = []
        while True:
            answer = http.post("/call/restore", json={"data": [file, "sampler", 0, "", "", None, 1, 60, 0]})
            if answer.status_code == 200:
                events.append(f"{address}/gradio_api/call/restore/{answer.json()['event_id']}")
            elif len(events) >= 2:
                return events


def test_a_full_row_is_told_on_the_page_and_what_was_dropped_is_restored_later(
    browser, models_folder, picture, photo, tmp_path
) -> None:
    words = ("--models", models_folder, "--model", "sampler", "--max-waiting", "1")
    with running_page(tmp_path, *words) as address:
        page = open_page(browser.new_context(), address, [])  # a refused call is an error to the console
        page.set_default_timeout(PATIENCE)
        drop(page, photo)
        page.locator("#ld-bars input[type=range]").first.wait_for()
        events = fill_row(address, picture(tmp_path / "large.png", height=192, width=192))
        page.get_by_role("button", name="Restore", exact=True).click()
        page.locator("#ld-status").get_by_text("too many wait just now").wait_for()
        page.get_by_role("button", name="Restore", exact=True).wait_for()
        for event in events:
            assert "event: complete" in httpx.get(event, timeout=300, trust_env=False).text
        restore(page)
        assert "is restored" in status(page).inner_text()
        page.context.close()
