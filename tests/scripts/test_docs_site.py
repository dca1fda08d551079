from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the docs as a site are built with the extra docs")

from docs_site import PAGES, turned

ROOT = Path(__file__).resolve().parents[2]


def test_links_between_pages_stay_and_links_to_pages_that_lie_elsewhere_are_turned():
    text = "[a](../benchmarks.md#steps) [card](../../ldrestore/assets/default/README.md)"
    assert turned(text, "stable/runs.md") == "[a](../benchmarks.md#steps) [card](../cards/default.md)"
    card = "[tables](../../../docs/default_fast/measurements.md)"
    assert turned(card, "cards/default.md") == "[tables](../default_fast/measurements.md)"


def test_links_out_of_the_site_are_words_and_pictures_and_addresses_stay():
    text = "[the config](../configs/tiny.yaml) ![a picture](images/a.jpg) [there](https://example.org) [here](#below)"
    assert turned(text, "training.md") == (
        "the config ![a picture](images/a.jpg) [there](https://example.org) [here](#below)"
    )


def test_every_page_of_the_docs_stands_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in [*pages, *PAGES.values()] if page not in navigation] == []
    assert [path for path in PAGES if not (ROOT / path).is_file()] == []
