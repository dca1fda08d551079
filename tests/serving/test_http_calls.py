import json

import pytest

from ldrestore.serving.http_calls import called_name, fault_of_call

FILE = {"path": "/store/a.png", "meta": {"_type": "gradio.FileData"}}


def fault(name, data, *, body=None):
    return fault_of_call(
        name, body or json.dumps({"data": data}).encode(), is_stored=lambda path: path == "/store/a.png"
    )


def test_a_call_is_told_by_its_path():
    assert called_name("/gradio_api/call/restore") == called_name("/gradio_api/call/restore/") == "restore"
    assert called_name("/gradio_api/api/restore") == called_name("/gradio_api/run/restore/") == "restore"
    others = (
        "/gradio_api/run/predict",
        "/gradio_api/call/restore/0a1b",
        "/gradio_api/upload",
        "/",
        "/call",
        "/gradio_api/queue/join",
    )
    for path in others:
        assert called_name(path) is None


def test_what_is_right_is_handed_on():
    assert fault("restore", [FILE, "default", 0, "", "", None, 1, None, 0]) is None
    assert fault("restore", [FILE, "default", 0, "", "", FILE, 1, None, 0]) is None
    assert fault("estimate", [FILE, "default"]) is None and fault("models", []) is None
    assert fault("page_restore", ["anything"]) is None


@pytest.mark.parametrize(
    ("name", "data", "status", "words"),
    [
        ("repair", [], 404, "there are estimate, models, restore"),
        ("restore", [FILE], 422, "must have 9 values for restore, got 1"),
        ("estimate", {"a": 1}, 422, "must have 2 values for estimate, got no list"),
        ("estimate", [5, "default"], 422, "value 1 of data must be an uploaded file"),
        ("estimate", ["/store/a.png", "default"], 422, "value 1 of data must be an uploaded file"),
        ("estimate", [{"path": "/store/a.png"}, "default"], 422, "must be an uploaded file"),
        ("estimate", [{**FILE, "path": None, "url": "http://x/a.png"}, "default"], 422, "must be an uploaded file"),
        ("estimate", [{**FILE, "path": "../../etc/passwd"}, "default"], 422, "names no file that was uploaded here"),
        ("restore", [FILE, "m", 0, "", "", {**FILE, "path": "/x"}, 1, None, 0], 422, "value 6 of data names no file"),
    ],
)
def test_what_is_wrong_is_said_plainly(name, data, status, words):
    came, text = fault(name, data)
    assert came == status and words in text


@pytest.mark.parametrize("body", [b"{not json", b"[]", b'{"datum": []}', b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_no_call_is_told_how_one_looks(body):
    assert fault("restore", None, body=body) == (
        422,
        'send JSON such as {"data": [...]}, with the values in their order',
    )


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/call/",
        "/gradio_api/callrestore",
        "/gradio_api/call/restore/extra",
        "/x/call/call/restore",
        "/gradio_api/call/v2/restore",
    ],
)
def test_other_paths_are_no_calls_of_ours(path) -> None:
    assert called_name(path) is None


@pytest.mark.parametrize("name", ["", "Restore", "restore ", "../restore", "models\n", "x" * 5000])
def test_a_call_that_there_is_not_is_answered_in_a_line(name) -> None:
    status, text = fault(name, [])
    assert status == 404 and len(text) < 100


@pytest.mark.parametrize("value", [True, 1.5, [], [FILE], {}, {"meta": None}, {"meta": FILE["meta"]}, "null"])
def test_nothing_but_an_uploaded_file_is_a_picture(value) -> None:
    for place, data in ((1, [value, "m"]), (6, ["", "m", 0, "", "", value, 1, None, 0])):
        name = "estimate" if place == 1 else "restore"
        status, text = fault(name, data if place == 1 else [FILE, *data[1:]])
        assert status == 422 and f"value {place} of data must be an uploaded file" in text


def test_no_picture_at_all_is_for_the_call_itself_to_answer() -> None:
    assert fault("estimate", [None, "default"]) is None
    assert fault("restore", [None, "m", 0, "", "", None, 1, None, 0]) is None


def test_values_that_are_no_files_are_not_looked_at() -> None:
    assert fault("restore", [FILE, 17, "much", None, {"a": [1]}, None, "x", [], {}]) is None


@pytest.mark.parametrize("body", [b"", b"null", b"7", b'"data"', b'{"data": 1', b'{"data": [1' + b"0" * 5000 + b"]}"])
def test_every_other_body_gets_the_same_advice(body) -> None:
    status, text = fault_of_call("models", body, is_stored=lambda path: True)
    assert status == 422 and text.startswith("send JSON such as")
