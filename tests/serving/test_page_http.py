"""The page's HTTP interface on a real port: what documentation promises, and what nobody should send."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.records import hash_of_pixels
from ldrestore.serving.offered_models import offered_models
from ldrestore.serving.wishes import Wishes, request_of
from tests.serving.running_page import running_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(models_folder, parent):
    words = ("--models", models_folder, "--model", "tiny", "--max-upload", "1", "--max-megapixels", "1")
    with running_page(parent, *words) as address:
        yield address
    assert list(parent.glob("ldrestore-app-*")) == []  # nothing is left


@pytest.fixture(scope="module")
def http(address):
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture
def upload(http):
    """`upload(path)`: where it lies then."""

    def send(path):
        with path.open("rb") as file:
            answer = http.post("/gradio_api/upload", files={"files": (path.name, file)})
        answer.raise_for_status()
        return answer.json()[0]

    return send


@pytest.fixture
def call(http):
    """`call("restore", picture, "tiny", ..)`: the event at the end, and its data."""

    def ask(name, *values):
        begun = http.post(f"/gradio_api/call/{name}", json={"data": list(values)})
        begun.raise_for_status()
        with http.stream("GET", f"/gradio_api/call/{name}/{begun.json()['event_id']}") as stream:
            lines = [line for line in stream.iter_lines() if line]
        events = [line.partition(": ")[2] for line in lines if line.startswith("event")]
        data = [line.partition(": ")[2] for line in lines if line.startswith("data")]
        return events[-1], json.loads(data[-1])

    return ask


def file_data(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


REST = (0, "", "", None, 1, None, 0)
"""Fidelity, instruction, degradations, mask, scale, steps and grain as they are unasked."""


def test_a_result_is_the_commands_file(http, upload, call, picture, make_settings, models_folder, tmp_path):
    source = picture(tmp_path / "Bild ä (1).png", mode="RGBA", height=40, width=31)
    event, (result, record) = call("restore", file_data(upload(source)), "tiny", 0.5, *REST[1:-1], 0.3)
    assert event == "complete"
    answer = http.get(f"/gradio_api/file={result['path']}")
    wishes = Wishes(model=offered_models(models_folder)["tiny"], fidelity=0.5, grain=0.3)
    target = tmp_path / "out.png"
    RestoreWorker(request_of(wishes, make_settings(), device="cpu"))(Job(source=source, target=target, name="a"))
    assert answer.content == target.read_bytes()
    assert (record["options"]["fidelity"], record["options"]["keep_grain"]) == (0.5, 0.3)
    assert result["orig_name"].endswith(".png")


CLIENT = """
import json, sys
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False, download_files=sys.argv[3])
source = handle_file(sys.argv[2])
result, record = client.predict(source, "tiny", 1, "", "", None, 1, None, api_name="/restore")
estimate = client.predict(source, "sampler", api_name="/estimate")
print(json.dumps([result, record, estimate, client.predict(api_name="/models")]))
"""


def test_the_gradio_client_does_it_too(address, picture, tmp_path):
    source = picture(tmp_path / "a.png", height=30, width=30)
    words = [sys.executable, "-c", CLIENT, address, source, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result, record, estimate, models = json.loads(done.stdout.splitlines()[-1])
    assert np.array_equal(read_photo(result).pixels, read_photo(source).pixels)
    assert record["model"]["pipeline"] == "FastRestorePipeline"
    assert set(estimate) == {"rain", "haze", "jpeg"}
    assert {"default", "default-fast", "tiny"} <= {one["name"] for one in models}


def test_twenty_at_once_are_all_answered_and_none_is_swapped(upload, call, picture, tmp_path, http):
    sources = [picture(tmp_path / f"{seed}" / "same.png", seed=seed) for seed in range(20)]

    def one(source):
        event, (result, _) = call("restore", file_data(upload(source)), "tiny", 1, *REST[1:])
        (source.parent / "back.png").write_bytes(http.get(f"/gradio_api/file={result['path']}").content)
        return event, np.array_equal(read_photo(source.parent / "back.png").pixels, read_photo(source).pixels)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, sources)) == [("complete", True)] * 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "not a picture"),
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n cut", "evil"),
        (b"<svg/>", "not a picture"),
    ],
)
def test_what_is_no_picture_is_a_plain_error(upload, call, tmp_path, parent, content, words):
    (tmp_path / "evil.png").write_bytes(content)
    event, data = call("restore", file_data(upload(tmp_path / "evil.png")), "tiny", *REST)
    assert event == "error"
    assert words in json.dumps(data) and str(parent) not in json.dumps(data)


def test_a_bomb_is_refused_by_its_header(upload, call, tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    event, data = call("restore", file_data(upload(tmp_path / "bomb.png")), "tiny", *REST)
    assert event == "error" and "at most 1,000,000" in json.dumps(data)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "http://127.0.0.1:9/x.png",
        "https://example.invalid/x.png",
        "file:///etc/passwd",
    ],
)
def test_no_file_of_the_machine_and_no_address_stands_in_for_an_upload(http, path):
    for value in (file_data(path), {**file_data(path), "url": path}):
        answer = http.post("/gradio_api/call/restore", json={"data": [value, "tiny", *REST]})
        assert answer.status_code == 422 and "names no file that was uploaded here" in answer.text


@pytest.mark.parametrize("way", ["call", "api", "run"])
def test_an_unknown_call_is_no_fault_of_the_server(http, way):
    answer = http.post(f"/gradio_api/{way}/repair", json={"data": []})
    assert (answer.status_code, answer.text) == (404, "there is no such call; there are estimate, models, restore")


def test_a_call_of_another_shape_is_refused_in_plain_words(http):
    for name, data, status in (("restore", [5], 422), ("estimate", [5, "tiny"], 422), ("nothing", [], 404)):
        answer = http.post(f"/gradio_api/call/{name}", json={"data": data})
        assert answer.status_code == status and "gradio." not in answer.text.replace("gradio.FileData", "")


def test_what_is_wrong_with_the_words_is_told(upload, call, picture, tmp_path):
    source = file_data(upload(picture(tmp_path / "a.png")))
    for values, words in (
        (("../tiny", *REST), "unknown model"),
        (("tiny", 2, *REST[1:]), "fidelity must be a number"),
        (("tiny", 0, "a" * 10_000, *REST[2:]), "10000 characters"),
        (("tiny", 0, "remove the rain", *REST[2:]), "takes no instructions"),
        (("tiny", 0, "", "rain=1", *REST[3:]), "takes no"),
    ):
        event, data = call("restore", source, *values)
        assert event == "error" and words in json.dumps(data)


def test_nothing_outside_the_folder_is_served(http, parent, tmp_path):
    (parent / "secret.txt").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    try:
        for path in (
            parent / "secret.txt",
            tmp_path / "secret.txt",
            "/etc/passwd",
            "pyproject.toml",
            "http://127.0.0.1:9/",
        ):
            for way in ("/gradio_api/file=", "/gradio_api/file/", "/file="):
                answer = http.get(f"{way}{path}")
                assert answer.status_code in (403, 404) and "secret" not in answer.text
    finally:
        (parent / "secret.txt").unlink()


def test_an_upload_that_is_too_large_is_refused(http):
    answer = http.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 1_100_000)})
    assert answer.status_code == 413


def test_names_of_uploads_stay_inside(http, parent):
    answer = http.post("/gradio_api/upload", files={"files": ("../../../evil.png", b"x")})
    assert answer.status_code == 200
    assert answer.json()[0].startswith(str(parent)) and ".." not in answer.json()[0]


def test_a_dropped_connection_harms_nobody_else(address, http, call, upload, picture, tmp_path):
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 5000\r\n\r\n--b\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\nhalf"
        )
    event, _ = call("restore", file_data(upload(picture(tmp_path / "a.png"))), "tiny", *REST)
    assert event == "complete"


def test_with_a_user_nothing_is_told_to_strangers(models_folder, tmp_path):
    words = ("--models", models_folder, "--model", "tiny", "--user", "ann")
    with (
        running_page(tmp_path, *words, environment={"LDRESTORE_APP_PASSWORD": "secret"}) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        assert client.get("/config").status_code == 401
        assert client.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 401
        assert client.post("/gradio_api/call/models", json={"data": []}).status_code == 401
        assert client.post("/login", data={"username": "ann", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "ann", "password": "secret"}).status_code == 200
        assert client.get("/config").status_code == 200


def test_a_file_is_served_whatever_it_is_called(http, upload, picture, tmp_path) -> None:
    for name in ("vibe-check.png", "svelte (1).png", "caf\u00e9 & <b>.png", "-rf.png", "%2e%2e.png"):
        source = picture(tmp_path / name)
        answer = http.get(f"/gradio_api/file={quote(upload(source))}")
        assert (answer.status_code, answer.content) == (200, source.read_bytes())


def test_calls_beyond_the_row_are_refused_and_none_of_those_in_it_is_lost(models_folder, picture, tmp_path) -> None:
    values = ("sampler", 0, "", "", None, 1, 30, 0)
    with (
        running_page(tmp_path, "--models", models_folder, "--model", "sampler", "--max-waiting", "2") as address,
        httpx.Client(base_url=f"{address}/gradio_api", timeout=120, trust_env=False) as http,
    ):
        stored = {}
        for seed in range(8):
            source = picture(tmp_path / f"{seed}.png", seed=seed)
            answer = http.post("/upload", files={"files": (source.name, source.read_bytes())})
            stored[source] = file_data(answer.json()[0])

        def begin(source):
            return http.post("/call/restore", json={"data": [stored[source], *values]})

        def end(begun):
            with http.stream("GET", f"/call/restore/{begun.json()['event_id']}") as stream:
                lines = [line.partition(": ")[2] for line in stream.iter_lines() if line]
            return lines[-2], json.loads(lines[-1])

        begun = {source: begin(source) for source in stored}
        refused = [source for source, answer in begun.items() if answer.status_code != 200]
        assert 1 <= len(refused) <= 6
        for source in refused:
            assert begun[source].status_code == 503 and "Queue is full" in begun[source].text
        for source in stored.keys() - set(refused):
            event, (_, record) = end(begun[source])
            assert event == "complete"
            assert record["input_sha256"] == hash_of_pixels(read_photo(source).pixels, None)
        assert end(begin(refused[0]))[0] == "complete"
