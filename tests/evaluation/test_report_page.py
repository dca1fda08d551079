import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ldrestore.errors import ImageWriteError
from ldrestore.evaluation.report_data import page_data
from ldrestore.evaluation.report_page import PAGE_FOLDER, SCRIPTS, json_in_html, page_text, write_page
from ldrestore.evaluation.results import Results
from tests.tiny_results import HOSTILE_MODEL, HOSTILE_NOTE, HOSTILE_PICTURE, tiny_results


class Outline(HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        if self.cdata_elem is not None:
            tag, attributes = self.elements[-1]
            self.raw[attributes.get("id", tag)] = text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return write_page(tiny_results(folder, is_hostile=True, num_pictures=2), folder).read_text(encoding="utf-8")


def test_hostile_names_stay_text_and_add_no_element(hostile, tmp_path):
    names = (HOSTILE_PICTURE, HOSTILE_MODEL, HOSTILE_NOTE)
    assert not any(name in hostile for name in names)
    data = json.loads(Outline(hostile).raw["data"])
    assert HOSTILE_MODEL in [row["name"] for row in data["contestants"]]
    assert HOSTILE_PICTURE in [row["name"] for row in data["pictures"]]
    assert data["notes"] == [HOSTILE_NOTE]
    harmless = write_page(tiny_results(tmp_path, num_pictures=2), tmp_path).read_text(encoding="utf-8")
    assert Outline(hostile).elements == Outline(harmless).elements


def test_a_hostile_suite_name_stays_text(tmp_path):
    data = page_data(tiny_results(tmp_path, num_pictures=1)) | {"suite": "</title><script>harm()</script>"}
    text = page_text(data, {})
    assert "<script>harm()" not in text
    assert f"<title>{html.escape(data['suite'])}" in text


def test_the_page_names_nothing_outside_itself(hostile):
    outline = Outline(hostile)
    assert not any(tag in ("link", "iframe", "base", "object", "embed", "form") for tag, _ in outline.elements)
    assert not any({"src", "srcset", "data"} & attributes.keys() for _, attributes in outline.elements)
    links = [attributes["href"] for _, attributes in outline.elements if "href" in attributes]
    assert links and all(link.startswith("#") for link in links)
    own = "".join((PAGE_FOLDER / name).read_text() for name in (*SCRIPTS, "page.css", "page.html"))
    assert re.findall(r"https?://[^\"\s]+", own) == ["http://www.w3.org/2000/svg"]  # the name of a namespace
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|fetch\(|@import|url\([^#]", own
    )


def test_the_policy_lets_only_the_pages_own_script_and_style_run(hostile):
    outline = Outline(hostile)
    policy = next(
        attributes["content"] for tag, attributes in outline.elements if tag == "meta" and "content" in attributes
    )
    for part in ("script", "style"):
        digest = hashlib.sha256(outline.raw[part].encode("utf-8")).digest()
        assert f"{part}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_json_in_a_page_cannot_end_its_element():
    value = {"</script><!--": ["&amp;", "\u2028", "日本", 1.5, None]}
    text = json_in_html(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_every_script_of_the_folder_is_in_the_page():
    assert {path.name for path in PAGE_FOLDER.glob("*.js")} == set(SCRIPTS)


def test_texts_that_look_like_places_of_the_template_are_not_filled(hostile):
    assert "{{data}}" in json.loads(Outline(hostile).raw["data"])["notes"][0]


HOSTILE = "</script>\u2028<img src=x onerror=harm()>&amp;'\""


def everywhere_hostile(folder: Path) -> Results:
    """Results of which every text that someone else may choose would do harm."""
    results = tiny_results(folder, num_pictures=1, sigmas=(10,))
    contestants = tuple(replace(row, options={HOSTILE: [HOSTILE]}, licence=HOSTILE) for row in results.contestants)
    (dataset,) = results.datasets
    texts = dict.fromkeys(("title", "task", "making", "layout", "terms"), HOSTILE)
    return replace(
        results,
        suite=HOSTILE,
        summary=HOSTILE,
        ldrestore=HOSTILE,
        environments={"e": {HOSTILE: {HOSTILE: HOSTILE}}},
        contestants=contestants,
        datasets=(replace(dataset, notes=(HOSTILE,), **texts),),
        metrics=tuple(replace(row, source=HOSTILE, version=HOSTILE) for row in results.metrics),
        outputs=tuple(replace(row, failure=HOSTILE, degradations={HOSTILE: 0.9}) for row in results.outputs),
        costs=tuple(replace(row, device=HOSTILE) for row in results.costs),
        notes=(HOSTILE,),
        protocol={**results.protocol, "source": HOSTILE},
    )


def texts_of(value: object) -> Iterator[str]:
    """All texts of plain values, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


def test_no_text_of_any_row_adds_an_element_or_is_lost(tmp_path: Path) -> None:
    outline = Outline(write_page(everywhere_hostile(tmp_path), tmp_path).read_text(encoding="utf-8"))
    plain = tiny_results(tmp_path / "plain", num_pictures=1, sigmas=(10,))
    harmless = Outline(write_page(plain, tmp_path / "plain").read_text(encoding="utf-8"))
    assert outline.elements == harmless.elements
    data = json.loads(outline.raw["data"])
    assert sum(text == HOSTILE for text in texts_of(data)) >= 25
    assert (data["suite"], data["summary"], data["version"], data["notes"]) == (HOSTILE, HOSTILE, HOSTILE, [HOSTILE])
    assert [row["reason"] for row in data["failures"]] == [HOSTILE] * 3


def test_the_page_opens_alone_as_long_as_its_pictures_fit(tmp_path: Path) -> None:
    results = tiny_results(tmp_path, num_pictures=2, sigmas=(10,))
    page = write_page(results, tmp_path)
    addresses = json.loads(Outline(page.read_text(encoding="utf-8")).raw["addresses"])
    assert addresses and all(address.startswith("data:image/") for address in addresses.values())
    page = write_page(results, tmp_path, max_embedded=0)
    addresses = json.loads(Outline(page.read_text(encoding="utf-8")).raw["addresses"])
    assert all(re.fullmatch(r"report_pictures/[0-9a-f]{16}\.png", address) for address in addresses.values())
    assert all((tmp_path / address).is_file() for address in addresses.values())


def test_every_picture_that_the_page_shows_has_an_address(tmp_path: Path) -> None:
    outline = Outline(write_page(tiny_results(tmp_path), tmp_path).read_text(encoding="utf-8"))
    data, addresses = (json.loads(outline.raw[name]) for name in ("data", "addresses"))
    shown = {row[part] for row in data["pictures"] for part in ("lq", "gt")}
    shown |= {made["picture"] for row in data["pictures"] for made in row["results"].values()}
    assert shown == addresses.keys()


def test_equal_results_give_an_equal_page(tmp_path: Path) -> None:
    first = write_page(tiny_results(tmp_path / "one"), tmp_path / "one").read_bytes()
    assert write_page(tiny_results(tmp_path / "two"), tmp_path / "two").read_bytes() == first
    assert write_page(tiny_results(tmp_path / "one"), tmp_path / "one").read_bytes() == first


def test_a_page_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_page(tiny_results(tmp_path, num_pictures=1), tmp_path)
    before, more = page.read_bytes(), tiny_results(tmp_path, num_pictures=2)

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ImageWriteError, match=r"report\.html"):
        write_page(more, tmp_path)
    assert page.read_bytes() == before


def test_numbers_that_json_has_not_are_refused_and_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_in_html({"a": float("inf")})
