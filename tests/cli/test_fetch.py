def test_what_can_be_fetched_is_listed(call):
    result = call("fetch")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("metrics") and any(line.startswith("instructir ") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_an_unknown_name_is_a_wrong_call_with_the_closest_ones(call):
    result = call("fetch", "instructr")
    assert result.exit_code == 2 and "did you mean 'instructir'" in result.stderr


def test_a_folder_for_the_weights_of_metrics_is_a_wrong_call(call, tmp_path):
    assert call("fetch", "metrics", "--out", tmp_path).exit_code == 2


def test_what_only_a_browser_gets_ends_with_one_and_the_way_out(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("fetch", "moce_ir")
    assert result.exit_code == 1
    assert "https://github.com/eduardzamfir/MoCE-IR" in result.stderr and "--archives FOLDER" in result.stderr
    assert list(tmp_path.iterdir()) == []
