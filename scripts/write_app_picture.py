"""Write the picture of the page that the documentation shows: a sample restored, in Chromium.

    python scripts/write_app_picture.py docs/images/app.jpg

starts the page, restores samples/coffee_rainy.png with `default`, and saves what the browser shows.
"""

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from ldrestore.serving.page_server import serving
from ldrestore.serving.settings import PageSettings

SAMPLE = Path(__file__).parent.parent / "samples" / "coffee_rainy.png"


def write_app_picture(path: Path, *, chromium: str) -> None:
    """Restore the sample on a page and save a picture of it.

    Args:
        path: A JPEG file.
        chromium: The browser.
    """
    settings = PageSettings(port=0, devices=("cpu",), first_model="default")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(settings, parent=Path(folder)) as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        page.set_default_timeout(300_000)
        page.goto(address)
        page.locator("#ld-upload input[type=file]").set_input_files(str(SAMPLE))
        page.locator(".ld-bar").first.wait_for()
        page.locator("#ld-restore").click()
        page.locator("#ld-status .ld-good").first.wait_for()
        page.mouse.move(0, 0)
        page.wait_for_timeout(2000)
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=88)
        browser.close()


if __name__ == "__main__":
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    write_app_picture(Path(sys.argv[1]), chromium=found)
