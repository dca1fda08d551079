import sys

import pytest
import torch
from torch import nn

from ldrestore.errors import ConfigError, InputError, MissingExtraError
from ldrestore.guides.clip_text import ClipTextEncoder, load_clip_text, read_captions


class TinyClip(nn.Module):
    """What OpenCLIP's models offer for words, at 6 instead of 1024 wide."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.token_embedding = nn.Embedding(128, 6)

    def encode_text(self, tokens):
        return self.token_embedding(tokens).mean(dim=1)


def tokenize(captions):
    return torch.stack([torch.tensor([ord(letter) for letter in caption.ljust(8)[:8]]) for caption in captions])


@pytest.fixture
def encoder():
    return ClipTextEncoder(TinyClip(), tokenize, name="tiny", sha256=None, width=6)


def write_captions(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_captions_become_float32_features(encoder):
    features = encoder(["rain", "haze"])
    assert features.shape == (2, 6) and features.dtype == torch.float32
    torch.testing.assert_close(encoder(["haze"])[0], features[1])
    assert encoder.identity.shape == (6,) and encoder.identity.question is None


def test_it_is_frozen(encoder):
    assert not encoder(["rain"]).requires_grad
    assert not encoder.train().training and not encoder.model.training


@pytest.mark.parametrize("captions", ["rain", [], [3]])
def test_only_lists_of_captions_are_taken(encoder, captions):
    with pytest.raises(InputError, match="expected a list of captions, got"):
        encoder(captions)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"open_clip_torch is needed .*pip install 'ldrestore\[clip\]'"):
        load_clip_text()


def test_the_real_network_loads_from_a_folder(tmp_path):
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model("RN50-quickgelu", pretrained=None).eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    encoder = load_clip_text(tmp_path)
    features = encoder(["a street in heavy rain"])
    assert features.shape == (1, 1024)
    tokens = open_clip.get_tokenizer("RN50-quickgelu")(["a street in heavy rain"])
    torch.testing.assert_close(features, model.encode_text(tokens).detach())


def test_captions_are_read_by_path(tmp_path):
    path = write_captions(
        tmp_path / "c.csv", 'path,text\na.png,rain\n"sub/b.png","haze, and ""some"" noise"\n./c.png,snow\n', "utf-8-sig"
    )
    assert read_captions(path) == {"a.png": "rain", "sub/b.png": 'haze, and "some" noise', "c.png": "snow"}
    assert read_captions(write_captions(path, "text,path\nrain,a.png\n")) == {"a.png": "rain"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with the line `path,text`"),
        ("a.png,rain\n", r"must begin with the line `path,text`, got columns \['a.png', 'rain'\]"),
        ("path,text,text\na.png,rain,haze\n", "must begin with the line `path,text`"),
        ("path,text\n", "has no captions"),
        ("path,text\na.png\n", "line 2: expected a path and a text"),
        ("path,text\na.png, \n", "line 2: expected a path and a text"),
        ("path,text\na.png,rain, and haze\n", "with commas in double quotes"),
        ("path,text\na.png,rain\na.png,haze\n", "line 3: a.png has a caption already"),
        ('path,text\na.png,"rain\n', "cannot be read as captions"),
    ],
)
def test_bad_captions_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_captions(write_captions(tmp_path / "c.csv", text))


def test_captions_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as captions"):
        read_captions(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"path,text\na.png,pluie \xe9paisse\n")
    with pytest.raises(ConfigError, match="give a CSV file in UTF-8"):
        read_captions(tmp_path / "latin.csv")
