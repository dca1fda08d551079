"""The page in the Chromium of the machine."""

from contextlib import contextmanager

from tests.evaluation.test_report_browser import chromium_path


@contextmanager
def chromium():
    """A running browser without a screen."""
    from playwright.sync_api import sync_playwright  # of the extra `browser`; without it the tests fail

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield running
        running.close()


def open_page(context, address, faults):
    """A page of a context, which notes its errors in `faults` and lists requests in `.requests`."""
    page = context.new_page()
    page.requests = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(address)
    page.get_by_role("heading", name="ldrestore").wait_for()
    return page


def drop(page, path, *, place="ld-upload"):
    """Give a picture to the page."""
    page.locator(f"#{place} input[type=file]").set_input_files(str(path))
