"""What a wrong call of any command is told: one line, the closest names, and exit code 2 before anything is done."""

import io

import pytest

from ldrestore.cli.main import main
from ldrestore.options import XLRestoreOptions, declared_options


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("restore", "{in}", "{out}", "--model", "defalt"), ("'default'",)),
        (("restore", "{in}", "{out}", "--model", "DEFAULT-FAST"), ("'default-fast'",)),
        (("restore", "{in}", "{out}", "--engine", "onx"), ("'onnx'",)),
        (("restore", "{in}", "{out}", "--engine", "Ray"), ("'ray'",)),
        (("restore", "{in}", "{out}", "--engine", "accelarate", "--workers", "2"), ("'accelerate'",)),
        (("restore", "{in}", "{out}", "--degradation", "rian=1"), ("'rain'",)),
        (("restore", "{in}", "{out}", "--device", "gpu"), ("cuda", "cpu")),
        (("restore", "{in}", "{out}", "--format", "jpg"), ("jpeg",)),
        (("restore", "{in}", "{out}", "--colour-fix", "wavelets"), ("wavelet",)),
        (("restore", "{in}", "{out}", "--fidelty", "1"), ("--fidelity",)),
        (("restor", "{in}", "{out}"), ("restore",)),
        (("degrade", "{in}", "{out}", "--recipe", "rian"), ("'rain'",)),
        (("degrade", "{in}", "{out}", "--recipe", "rain+gausian_noise"), ("'gaussian_noise'",)),
        (("degrade", "{in}", "{out}", "--recipe", "jpeg(qualty=3)"), ("'quality'",)),
        (("convert", "nafnett", "{in}", "{out}"), ("'nafnet",)),
        (("info", "defaut"), ("'default'",)),
        (("info", "nafnet"), ("is an architecture", "ldrestore convert nafnet")),
        (("export", "defaut", "{out}.onnx"), ("'default'",)),
        (("explain", "{in}", "--model", "defaut"), ("'default'",)),
        (("score", "{in}", "{in}", "--metric", "pnsr"), ("'psnr'",)),
        (("score", "{in}", "{in}", "--protocol", "uint"), ("'uint8'",)),
        (("bench", "buildin", "--model", "default-fast", "--out", "{out}"), ("'builtin'",)),
        (("bench", "builtin", "--model", "defaut", "--out", "{out}"), ("'default'",)),
        (("fetch", "metric"), ("'metrics'",)),
    ],
)
def test_a_name_that_is_nearly_right_gets_the_right_one(call, picture, tmp_path, words, names) -> None:
    source, out = picture(tmp_path / "in" / "a.png"), tmp_path / "out.png"
    result = call(*(word.replace("{in}", str(source)).replace("{out}", str(out)) for word in words))
    assert result.exit_code == 2, result.stderr
    assert "Traceback" not in result.stderr
    for name in names:
        assert name in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


FLOATS = sorted(
    option.flag.name
    for option in declared_options(XLRestoreOptions)
    if option.flag is not None and option.flag.kind is float
)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "1e400"])
def test_a_number_that_is_none_is_refused_by_every_option(call, picture, xl_model_folder, tmp_path, number) -> None:
    assert {"--fidelity", "--keep-grain", "--memory", "--strength", "--guidance"} <= set(FLOATS)
    source = picture(tmp_path / "a.png")
    for flag in FLOATS:
        result = call("restore", source, tmp_path / "out.png", "--model", xl_model_folder, f"{flag}={number}")
        assert result.exit_code == 2, (flag, result.stderr)
        assert not (tmp_path / "out.png").exists()


@pytest.fixture(scope="session")
def xl_model_folder(tmp_path_factory):
    """What tells the track of a model, without its weights: nothing of it is loaded."""
    folder = tmp_path_factory.mktemp("xl")
    (folder / "model_index.json").write_text('{"_class_name": "XLRestorePipeline"}')
    return folder


@pytest.mark.parametrize("words", [("--severity", "nan"), ("--severity", "1.5"), ("--seed", "-1"), ("--quality", "0")])
def test_numbers_of_degrade_are_checked_too(call, picture, tmp_path, words) -> None:
    source = picture(tmp_path / "a.png")
    result = call("degrade", source, tmp_path / "out.png", "--recipe", "rain", *words)
    assert result.exit_code == 2 and not (tmp_path / "out.png").exists(), result.stderr


@pytest.mark.parametrize("device", ["gpu", "xpu", "meta", "cuda:99", "CPU", "", "cpu,cuda"])
def test_a_device_that_is_not_there_is_one_line(call, picture, tiny_model, tmp_path, device) -> None:
    source = picture(tmp_path / "a.png")
    result = call("restore", source, tmp_path / "out.png", "--model", tiny_model, f"--device={device}")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "device" in line and "cpu" in line


@pytest.mark.parametrize("tile", ["9" * 5000, "1" + "0" * 10, "64x64", "-64", "0x40", " 64"])
def test_tiles_of_no_size_are_one_line(call, picture, tiny_model, tmp_path, tile) -> None:
    source = picture(tmp_path / "a.png")
    result = call("restore", source, tmp_path / "out.png", "--model", tiny_model, f"--tile={tile}")
    assert result.exit_code == 2 and "--tile takes auto, off, or a multiple of 64" in result.stderr


def test_a_long_word_is_not_said_back_whole(call, picture, tiny_model, tmp_path) -> None:
    source = picture(tmp_path / "a.png")
    for words in (("--tile", "x" * 20_000), ("--degradation", "y" * 20_000), ("--instruction", "z" * 20_000)):
        result = call("restore", source, tmp_path / "out.png", "--model", tiny_model, *words)
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1


class FullStream(io.StringIO):
    """Standard output on a disk that is full."""

    def __init__(self, file, number: int) -> None:
        super().__init__()
        self._file, self._number = file, number

    def flush(self) -> None:
        raise OSError(self._number, "No space left on device")

    def fileno(self) -> int:
        return self._file.fileno()


@pytest.mark.parametrize(("number", "words"), [(28, "error: No space left on device; make room"), (32, "")])
def test_words_that_cannot_be_written_are_told_of_where_anybody_reads(
    monkeypatch, capsys, tmp_path, number, words
) -> None:
    with (tmp_path / "stdout").open("w") as file, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", FullStream(file, number))
        assert main(["models"]) == 1
    assert capsys.readouterr().err.startswith(words)


def test_a_disk_that_fills_without_naming_a_file_is_one_line(monkeypatch, capsys, picture, tmp_path) -> None:
    def full(*words, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ldrestore.cli.models.print_json", full)
    assert main(["models", "--json"]) == 1
    assert capsys.readouterr().err == "error: No space left on device; make room, or write elsewhere\n"


def test_another_fault_of_the_system_is_not_hidden(monkeypatch) -> None:
    def broken(*words, **options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("ldrestore.cli.models.print_json", broken)
    with pytest.raises(OSError, match="Input/output error"):
        main(["models", "--json"])
