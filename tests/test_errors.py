import pickle

import pytest

from ldrestore.errors import CorruptImageError, InputError, MissingExtraError, UnknownNameError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain café.png", "plain café.png"),
        ("line\nbreak\r", r"line\nbreak\r"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("\udcff.png", r"\xff.png"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        (3, "3"),
    ],
)
def test_texts_are_shown_without_what_acts_on_a_terminal(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    "error",
    [
        InputError("wrong"),
        UnknownNameError("model", "defualt", ["default"]),
        CorruptImageError("a\n.png", "is cut off", "get an intact copy"),
        MissingExtraError("onnx", "export", "to export"),
    ],
)
def test_errors_come_whole_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


@pytest.mark.parametrize(("name", "closest"), [("LPIPS", "'lpips'"), ("psrn", "'PSNR'"), ("niqe ", "'niqe'")])
def test_the_closest_names_are_found_in_capitals_too(name, closest):
    assert f"did you mean {closest}" in str(UnknownNameError("metric", name, ["lpips", "PSNR", "niqe"]))
