import re
from pathlib import Path

import pytest

from ldrestore.errors import ImageWriteError, OutputExistsError
from ldrestore.jobs.contact_sheet import check_sheet_place, contact_sheet, sheet_path, write_contact_sheet
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.report import RunReport

EVIL = '"><script>alert(1)</script>&.png'


def outcome(name, status=Status.DONE, **more):
    return Outcome(job=Job(source=Path("in") / name, target=Path("out") / name, name=name), status=status, **more)


def sheet(*outcomes):
    return contact_sheet(RunReport(command="restore", outcomes=outcomes), folder=Path("out"))


def test_names_reasons_and_records_cannot_bring_mark_up():
    record = {"degradations": {EVIL: 0.5}, "options": {EVIL: EVIL}, "model": {"name": EVIL}}
    page = sheet(
        outcome(EVIL, record=record, advice=(EVIL,), notes=(EVIL,), thumbnails=(b"a", b"b")),
        outcome(f"b{EVIL}", Status.FAILED, reason=EVIL),
    )
    assert "<script" not in page and "alert(1)</" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_nothing_is_fetched_and_no_script_is_run():
    page = sheet(outcome("a.png", thumbnails=(b"\xff\xd8", b"\xff\xd8")))
    assert "default-src 'none'; img-src data:" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sorted({address.partition(":")[0] for address in addresses}) == ["./a.png", "data"]


def test_failures_come_first_and_pictures_are_shown_before_and_after():
    page = sheet(
        outcome("a.png", thumbnails=(b"1", b"2"), seconds=1.26), outcome("b.png", Status.FAILED, reason="torn")
    )
    assert page.index("b.png") < page.index("a.png") and "torn" in page
    assert page.index('alt="before: a.png"') < page.index('alt="after: a.png"')
    assert "done, 1.3 s" in page and "<b>1</b> failed" in page and "<b>1</b> done" in page


def test_estimate_and_options_are_told():
    record = {"degradations": {"rain": 0.2, "haze": 0.91, "snow": 0.01}, "options": {"fidelity": 0.3, "seed": None}}
    page = sheet(outcome("a.png", record=record))
    assert page.index("haze") < page.index("rain") and "snow" not in page
    assert 'value="0.910"' in page and "fidelity" in page and "seed" not in page
    assert "the model saw nothing wrong" in sheet(outcome("a.png", record={"degradations": {"rain": 0.0}}))


def test_links_lead_to_the_results_whatever_they_are_called():
    page = sheet(outcome("sub/javascript:x #1%.png"), outcome("b\udcff.png"))
    assert 'href="./sub/javascript%3Ax%20%231%25.png"' in page and 'href="./b%FF.png"' in page


def test_beyond_a_number_of_pictures_words_are_left(monkeypatch):
    monkeypatch.setattr("ldrestore.jobs.contact_sheet.MOST_PICTURED", 2)
    page = sheet(*(outcome(f"{index}.png", thumbnails=(b"1", b"2")) for index in range(4)))
    assert page.count("<img") == 4 and page.count("<article") == 4


def test_a_sheet_lies_with_the_results(tmp_path):
    assert sheet_path("x/out.png", is_file=True) == Path("x/out.png.report.html")
    assert sheet_path("out", is_file=False) == Path("out/report.html")
    path = tmp_path / "out" / "report.html"
    report = RunReport(command="restore", outcomes=(outcome("a.png"),))
    write_contact_sheet(report, path)
    check_sheet_place(path)
    write_contact_sheet(report, path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    path.write_text("<p>another page</p>")
    with pytest.raises(OutputExistsError, match="is none of ours"):
        check_sheet_place(path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ImageWriteError, match="the report cannot be written"):
        write_contact_sheet(RunReport(command="restore", outcomes=()), tmp_path / "out" / "report.html")


def test_the_sheet_of_a_result_with_the_longest_name_has_a_name_of_its_own(tmp_path) -> None:
    target = tmp_path / ("写" * 83 + ".png")  # 253 bytes
    path = sheet_path(target, is_file=True)
    check_sheet_place(path)
    write_contact_sheet(RunReport(command="restore", outcomes=(outcome("a.png"),)), path)
    assert path.is_file() and path.name.endswith(".report.html") and path.parent == tmp_path
    other = sheet_path(tmp_path / ("写" * 83 + ".jpg"), is_file=True)
    assert other != path and len(other.name.encode()) <= 255


def test_every_state_that_a_run_can_end_with_is_on_the_sheet() -> None:
    states = [Status.DONE, Status.SKIPPED, Status.FAILED, Status.CANCELLED, Status.PLANNED]
    page = sheet(*(outcome(f"{index}.png", status) for index, status in enumerate(states)))
    for status in states:
        assert f"<b>1</b> {status.value}" in page and f'<article class="{status.value}">' in page
    assert page.count("<a href") == 1  # of the one that is there
    order = [page.index(f'<article class="{status.value}">') for status in states]
    assert sorted(order) == [order[index] for index in (2, 3, 0, 1, 4)]


def test_an_empty_run_and_records_of_other_kinds_have_a_sheet_too() -> None:
    assert "0 pictures" in sheet()
    for record in ({}, {"model": "name"}, {"degradations": [1]}, {"options": None, "model": {"name": None}}):
        page = sheet(outcome("a.png", record=record))
        assert page.count("<article") == 1 and "how it was made" not in page


def test_weights_of_all_models_of_a_run_are_named_once() -> None:
    records = [{"model": {"name": name, "weights_sha256": digit * 64}} for name, digit in (("b", "2"), ("a", "1"))]
    page = sheet(*(outcome(f"{index}.png", record=records[index % 2]) for index in range(6)))
    assert "model a (111111111111); model b (222222222222); " in page


def test_a_link_or_a_folder_in_place_of_the_sheet_is_not_replaced(tmp_path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputExistsError, match="none of ours"):
        check_sheet_place(tmp_path / "report.html")
    with pytest.raises(ImageWriteError, match="the report cannot be written"):
        write_contact_sheet(RunReport(command="restore", outcomes=()), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]  # no temporary file is left
