import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from ldrestore import __version__
from ldrestore.cli.main import main, make_app
from ldrestore.errors import InputError

COMMANDS = ("restore", "degrade", "train", "convert", "export", "explain", "score", "fetch", "models", "info")


def test_version_is_told(call):
    assert call("--version").stdout == f"ldrestore {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_examples(call, command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.stdout
    assert f"\n    ldrestore {command} " in result.stdout or command == "models"


def test_exit_codes_come_back_from_main(capsys, tmp_path):
    assert main(["--version"]) == 0
    assert main(["nonsense"]) == 2
    assert main(["restore", str(tmp_path / "missing"), str(tmp_path / "out")]) == 2
    assert "error: no file or folder at" in capsys.readouterr().err


LONG = "n" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "{picture}", LONG + "/a.png"),
        ("restore", "{picture}", "{folder}/out.png", "--model", LONG),
        ("restore", LONG, "out.png"),
        ("degrade", "{picture}", LONG + ".png", "--recipe", "rain"),
        ("convert", "nafnet", LONG, "out"),
        ("export", "default-fast", LONG + ".onnx"),
        ("export", LONG, "{folder}/a.onnx"),
        ("info", LONG),
        ("replay", LONG),
        ("score", LONG, "{folder}"),
        ("train", LONG),
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(call, picture, tmp_path, words):
    places = {"picture": picture(tmp_path / "a.png"), "folder": tmp_path}
    result = call(*(word.format(**places) for word in words))
    assert result.exit_code in (1, 2)
    (line,) = result.stderr.splitlines()
    assert LONG in line and "; " in line


def test_a_folder_that_may_not_be_entered_is_one_line(call, monkeypatch, tmp_path):
    def refuse(*words, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / "secret"))

    monkeypatch.setattr("ldrestore.conversion.convert", refuse)
    result = call("convert", "nafnet", "a.pth", tmp_path / "secret" / "out")
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'secret'}: Permission denied; check the path and its permissions\n"


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    words = ["restore", str(tmp_path / "missing"), str(tmp_path / "out")]
    logger = logging.getLogger("ldrestore")
    level = logger.level
    try:
        with pytest.raises(InputError):
            main(["--debug", *words])
        monkeypatch.setenv("LDRESTORE_DEBUG", "1")
        with pytest.raises(InputError):
            main(words)
    finally:
        logger.setLevel(level)


@pytest.mark.e2e
def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ldrestore.cli.main import main; code = main(['--help']);"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'numpy', 'PIL'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy or code else 0)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.e2e
def test_an_interrupt_is_one_line_and_leaves_nothing_half_written(picture, tmp_path):
    for index in range(400):
        picture(tmp_path / "in" / f"{index:03}.png", seed=index)
    code = (
        "import sys, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from ldrestore.cli.main import main;"
        f"sys.exit(main(['degrade', {str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}, '--recipe', 'rain+snow']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "001.png").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert messages.splitlines() == ["interrupted; what was finished is whole, nothing is half-written"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png"}
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("name", "page"), [("restore", "cli.md"), ("degrade", "cli.md"), ("explain", "explain.md")])
def test_the_tables_of_the_documentation_have_all_options(name, page):
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `--")]
    flags = set(re.findall(r"--[a-z-]+", " ".join(cells)))
    command = get_command(make_app()).commands[name]
    options = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
    assert options - {"--help"} <= flags
