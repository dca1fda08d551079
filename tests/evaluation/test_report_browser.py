"""The page in a real browser: Chromium of the machine, without a screen and without a network."""

import io
import itertools
import os
import re
import shutil
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from ldrestore.evaluation.report_page import write_page
from ldrestore.evaluation.summaries import summarised
from tests.tiny_results import HOSTILE_MODEL, tiny_results

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What Chromium is called on different systems; CHROMIUM names another file."""
STATE = "document.documentElement.dataset.ready"


def chromium_path():
    """The browser. Without one these tests fail, since they were asked for by name."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"no Chromium; install one (Debian: apt install chromium), or set CHROMIUM; looked for {NAMES}"
    return found


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright  # of the extra `browser`; without it the tests fail

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_page(tiny_results(folder), folder)
    return folder


@pytest.fixture
def open_page(browser, folder):
    """`open_page(fragment, folder=.., **context)` opens a page that fails the test on any error, and lists requests."""
    contexts, faults = [], []

    def open_it(fragment="", *, folder=folder, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.requests = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(f"{(folder / 'report.html').as_uri()}{fragment}")
        page.wait_for_function(STATE)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert faults == []


def column(page, table, index):
    """Text of one column of a table, from top to bottom."""
    cells = page.locator(f"#{table} tbody tr > :nth-child({index})")
    return [text.split("\n")[0].strip() for text in cells.all_inner_texts()]


def fragment_of(page):
    """What stands behind "#", once the page has written it."""
    page.wait_for_timeout(250)
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def shot_of_stage(page):
    """(H, W, 3) uint8, as the browser draws the compared pictures."""
    return np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB"))


def transforms(page):
    """Place and size of the pictures of both sides."""
    code = "[...document.querySelectorAll('.pane img:not(.reference)')].map(e => [e.style.transform, e.style.width])"
    return page.evaluate(code)


def test_nothing_is_fetched_from_outside(open_page, folder):
    page = open_page()
    page.get_by_role("radio", name="Blink").check(force=True)
    page.locator("#theme").click()
    assert page.requests and all(url.startswith((folder.as_uri(), "data:")) for url in page.requests)


def test_columns_sort_both_ways_and_back(open_page):
    page = open_page()
    assert column(page, "means", 1) == ["input", "smoother", "bolder"]
    head = page.get_by_role("columnheader", name="noise 40").first
    head.get_by_role("button").click()
    assert column(page, "means", 1) == ["bolder", "smoother", "input"]
    assert head.get_attribute("aria-sort") == "descending"
    assert fragment_of(page)["sort"] == "noise_40"
    page.keyboard.press("Enter")  # the focus stays on the head that was pressed
    assert column(page, "means", 1) == ["input", "smoother", "bolder"]
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "none" and "sort" not in fragment_of(page)


def test_the_divider_follows_pointer_slider_and_keys(open_page):
    page = open_page()
    stage = page.locator("#stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    clip = "getComputedStyle(document.querySelector('.pane-b')).clipPath"
    assert re.fullmatch(r"inset\(0px 0px 0px 2[45](\.\d+)?%\)", page.evaluate(clip))
    assert float(fragment_of(page)["split"]) == pytest.approx(25, abs=0.6)
    page.locator("#split").fill("80")
    assert "80%" in page.evaluate(clip)
    stage.focus()
    page.keyboard.press("ArrowLeft")
    assert "78%" in page.evaluate(clip)


def test_the_divider_shows_one_picture_on_each_side(open_page):
    page = open_page("#left=lq&right=gt&order=name&split=50")
    pixels = shot_of_stage(page).astype(float)
    rough = np.abs(np.diff(pixels[60:-60], axis=1)).mean(axis=(0, 2))  # noise at the left, none at the right
    middle = pixels.shape[1] // 2
    assert rough[middle - 200 : middle - 60].mean() > 2 * rough[middle + 60 : middle + 200].mean()


def test_blink_shows_the_two_in_turn_and_stops(open_page):
    page = open_page("#view=blink&period=350")
    visible = "getComputedStyle(document.querySelector('.pane-a')).visibility"
    states = set()
    for _ in range(12):
        states.add(page.evaluate(visible))
        page.wait_for_timeout(110)
    assert states == {"visible", "hidden"}
    page.get_by_role("button", name="Stop").click()
    before = page.evaluate(visible)
    page.wait_for_timeout(900)
    assert page.evaluate(visible) == before
    page.locator("#stage").focus()
    page.keyboard.press(" ")
    assert page.evaluate(visible) != before


def test_blink_waits_for_the_reader_where_less_motion_is_asked_for(open_page):
    page = open_page("#view=blink&period=350", reduced_motion="reduce")
    assert page.get_by_role("button", name="Start").is_visible()
    visible = "getComputedStyle(document.querySelector('.pane-a')).visibility"
    page.wait_for_timeout(800)
    assert page.evaluate(visible) == "visible"


def test_zoom_and_place_are_the_same_for_both_sides(open_page):
    page = open_page("#view=side")
    stage = page.locator("#stage")
    stage.scroll_into_view_if_needed()
    whole = transforms(page)
    box = stage.bounding_box()
    stage.focus()
    page.mouse.move(box["x"] + 100, box["y"] + 80)
    page.mouse.wheel(0, -600)
    page.wait_for_function("Number(document.querySelector('.pane img').style.width.slice(0, -2)) > 900")
    zoomed = transforms(page)
    assert zoomed[0] == zoomed[1] != whole[0]
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 120, steps=3)
    page.mouse.up()
    moved = transforms(page)
    assert moved[0] == moved[1] != zoomed[0]
    assert {"zoom", "x", "y"} <= fragment_of(page).keys()
    page.get_by_role("button", name="Fit").click()
    assert transforms(page) == whole


def test_the_error_is_black_where_there_is_none_and_grows_with_its_factor(open_page):
    def brightness(page):
        values = shot_of_stage(page).mean(axis=2)[60:]
        return values[:, : values.shape[1] // 2].mean(), values[:, values.shape[1] // 2 + 2 :].mean()

    page = open_page("#view=error&left=gt&right=lq&gain=0&dataset=noise_10")
    none, small = brightness(page)
    page.locator("#gain").fill("4")
    still_none, large = brightness(page)
    assert none < 3 and abs(none - still_none) < 0.5
    assert small < large / 2


def test_pictures_come_in_the_order_that_is_asked_for(open_page):
    page = open_page("#order=worst&of=bolder")
    values = [float(text) for text in page.locator(".thumb-value").all_inner_texts()]
    assert values == sorted(values) and len(values) == 8
    page.locator("#order").select_option("best")
    values = [float(text) for text in page.locator(".thumb-value").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.locator("#order").select_option("disputed")
    values = [float(text.removeprefix("Δ")) for text in page.locator(".thumb-value").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.locator("#dataset").select_option("noise_10")
    assert page.locator(".strip a").count() == 4
    page.locator(".strip a").nth(2).click()
    name = page.locator(".strip a[aria-current]").get_attribute("data-picture")
    assert fragment_of(page)["picture"] == name and name.removeprefix("noise_10/") in page.inner_text("#caption")
    page.locator("#stage").focus()
    page.keyboard.press("n")
    assert page.locator(".strip a").nth(3).get_attribute("aria-current") == "true"


def test_a_copied_address_shows_the_same_again(open_page):
    page = open_page()
    page.locator("#dataset").select_option("noise_10")
    page.locator("#right").select_option("=bolder")
    page.get_by_label("Side by side").check(force=True)
    page.get_by_label("ssim ↑").check(force=True)
    page.locator("#zoom-in").click()
    page.wait_for_timeout(250)
    again = open_page("#" + urlsplit(page.url).fragment)
    for code in ("document.querySelector('#means').innerText", "document.querySelector('#caption').innerText"):
        assert again.evaluate(code) == page.evaluate(code)
    assert transforms(again) == transforms(page)
    assert again.locator("#right").input_value() == "=bolder"


def test_an_address_that_names_what_is_not_there_is_ignored(open_page):
    page = open_page("#metric=none&view=spin&right=%3Dnobody&picture=x&zoom=1e9&split=-3&constructor=1&__proto__=2")
    assert page.locator("#means tbody tr").count() == 3
    assert page.locator("#stage").get_attribute("data-view") == "slide"


def test_points_of_the_scatter_open_their_pictures(open_page):
    page = open_page("#dataset=noise_40")
    points = page.locator("#scatter a")
    assert points.count() == 8
    points.nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#caption').innerText.includes('scene_0')")
    assert page.locator("#left").input_value() == "=smoother" and page.locator("#right").input_value() == "=bolder"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_or_the_reader(open_page, scheme):
    page = open_page(color_scheme=scheme)
    light = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 128"
    assert page.evaluate(light) == (scheme == "light")
    page.locator("#theme").click()
    assert page.evaluate(light) is True
    page.locator("#theme").click()
    assert page.evaluate(light) is False and fragment_of(page)["theme"] == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page, scheme):
    page = open_page(color_scheme=scheme)
    code = """() => {
        const channel = (v) => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0.9) return c; } return [255, 255, 255]; };
        const worst = {};
        for (const e of document.querySelectorAll("p, td, th, small, button, label, h1, h2, h3, h4, li, dt, dd")) {
            if (!e.offsetParent || !e.innerText.trim() || e.closest(".stage, .printed")) continue;
            const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) worst[e.tagName + "." + e.className + ": " + e.innerText.slice(0, 20)] = ratio;
        }
        return worst;
    }"""
    assert page.evaluate(code) == {}


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_down_alone(open_page, width):
    page = open_page("#view=side&zoom=2", viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#stage').classList.contains('is-stacked')")
    first, second = transforms(page)
    assert first == second


def test_every_control_has_a_name(open_page):
    page = open_page()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, a, [role=img]")]
            .filter((e) => e.offsetParent && !(e.ariaLabel || e.innerText || e.title || (e.labels || [])[0] || e.alt))
            .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_hostile_names_do_nothing_but_stand_there(open_page, tmp_path):
    write_page(tiny_results(tmp_path, is_hostile=True), tmp_path)
    page = open_page(folder=tmp_path)
    page.get_by_label("value", exact=True).check(force=True)
    for view in ("Blink", "Side by side", "Error"):
        page.get_by_label(view, exact=True).check(force=True)
    page.locator("#right").select_option(f"={HOSTILE_MODEL}")
    assert HOSTILE_MODEL in column(page, "means", 1)
    assert page.locator("main img[src=x], main script, main svg[onload]").count() == 0
    assert page.evaluate("typeof harm") == "undefined"


def test_pictures_beside_the_page_are_shown_and_held_against_each_other(open_page, tmp_path):
    write_page(tiny_results(tmp_path), tmp_path, max_embedded=0)
    page = open_page("#view=error", folder=tmp_path)
    loaded = "[...document.querySelectorAll('.pane img')].every((e) => e.complete && e.naturalWidth > 0)"
    page.wait_for_function(loaded)
    assert all(url.startswith(tmp_path.as_uri()) for url in page.requests)


def test_a_mean_over_fewer_pictures_says_so_and_is_never_bold(open_page, tmp_path):
    results = tiny_results(tmp_path)
    best = max((row for row in results.outputs if row.contestant == "bolder"), key=lambda row: row.scores["psnr"])
    kept = (row if row.contestant != "bolder" or row == best else replace(row, scores={}) for row in results.outputs)
    write_page(summarised(replace(results, outputs=tuple(kept))), tmp_path)
    page = open_page("#metric=psnr", folder=tmp_path)
    assert "1 of 4 pictures" in page.inner_text("#means")
    assert len(column(page, "means", 1)) == 3
    bold = page.locator("#means tbody tr", has=page.locator("strong")).all_inner_texts()
    assert bold and not any("bolder" in text for text in bold)
    page = open_page("#metric=psnr&first=input&second=bolder", folder=tmp_path)  # of one scene, without an interval
    assert "tied" in page.inner_text("#verdicts") and "NaN" not in page.inner_text("#verdicts")


def test_times_of_all_sizes_have_three_digits(open_page, tmp_path):
    results = tiny_results(tmp_path)
    timed = [replace(row, seconds_per_megapixel=value) for row, value in zip(results.costs, (1.9, 1234.6), strict=True)]
    write_page(replace(results, costs=tuple(timed)), tmp_path)
    page = open_page(folder=tmp_path)
    assert column(page, "costs", 2) == ["1.90", "1235"]
    assert "s a megapixel in this run" in page.inner_text("#costs thead")
    boxes = [mark.bounding_box() for mark in page.locator("#tradeoff text.tick").all() if mark.text_content().isdigit()]
    lowest = max(box["y"] for box in boxes)
    across = sorted((box["x"], box["x"] + box["width"]) for box in boxes if box["y"] > lowest - 2)
    assert len(across) >= 3
    assert all(end + 4 < start for (_, end), (start, _) in itertools.pairwise(across))


def test_without_times_there_is_a_word_in_place_of_an_empty_table(open_page, tmp_path):
    results = tiny_results(tmp_path)
    untimed = tuple(replace(row, seconds=None) for row in results.outputs)
    write_page(replace(results, outputs=untimed, costs=()), tmp_path)
    page = open_page(folder=tmp_path)
    assert page.locator("#costs table").count() == 0
    assert page.inner_text("#cost-note").startswith("No contestant was timed")


def test_without_ground_truth_or_scores_there_are_still_pictures(open_page, tmp_path):
    write_page(tiny_results(tmp_path, has_gt=False), tmp_path)
    page = open_page("#view=error", folder=tmp_path)
    assert page.locator(".strip a").count() == 8
    assert "No metric" in page.inner_text("#means")
