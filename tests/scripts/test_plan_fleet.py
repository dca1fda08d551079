"""A plan of many pictures from a measured few."""

import json

import plan_fleet
import pytest


def report_of(folder, *, failed=1):
    results = []
    for number in range(4):
        source, target = folder / f"{number}.jpg", folder / "out" / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        source.write_bytes(bytes(1000))
        target.write_bytes(bytes(2000))
        target.with_name(f"{target.name}.json").write_bytes(bytes(500))
        results.append({"input": str(source), "output": str(target), "status": "done", "seconds": 1.0 + number})
    broken = {"input": str(folder / "x.jpg"), "output": "", "status": "failed", "seconds": 0.1}
    return {"results": results + [broken] * failed}


def test_a_sample_is_what_was_done_and_what_failed(tmp_path):
    sample = plan_fleet.sample_of(report_of(tmp_path))
    assert sample == plan_fleet.Sample(seconds=2.5, bytes_in=1000, bytes_out=2500, share_failed=0.2)
    assert plan_fleet.sample_of(report_of(tmp_path), seconds=0.5).seconds == 0.5
    with pytest.raises(ValueError, match="no picture that was done"):
        plan_fleet.sample_of({"results": []})


def test_the_plan_follows_from_the_sample(tmp_path, capsys):
    (tmp_path / "report.json").write_text(json.dumps(report_of(tmp_path, failed=0)))
    words = ["--pictures", "3600000", "--days", "2", "--workers-a-machine", "10", "--price", "2", "--seconds", "1"]
    assert plan_fleet.main([str(tmp_path / "report.json"), *words]) == 0
    rows = {
        row[1].strip(): row[3].strip()
        for row in map(lambda line: line.split("|"), capsys.readouterr().out.splitlines())
    }
    assert rows["worker hours"] == "1,000" and rows["machine hours"] == "115"
    assert rows["machines"] == "3 with 30 workers" and rows["cost"] == "230"
    assert rows["writing"] == "0.009 TB" and rows["calls"] == "36" and rows["pictures named as failed"] == "0"
    assert rows["machines lost"] == "6"
