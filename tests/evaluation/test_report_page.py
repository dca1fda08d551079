import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest

from ldrestore.evaluation.report_data import page_data
from ldrestore.evaluation.report_page import PAGE_FOLDER, SCRIPTS, json_in_html, page_text, write_page
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
