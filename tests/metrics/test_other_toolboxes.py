import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from ldrestore.errors import UnknownNameError, WeightsError
from ldrestore.images.photo import Photo
from ldrestore.metrics import iqa_metrics
from ldrestore.metrics.compared_pictures import bring_together
from ldrestore.metrics.iqa_metrics import open_iqa
from ldrestore.metrics.measures import MetricOptions
from ldrestore.metrics.piq_metrics import open_piq
from ldrestore.metrics.protocols import UINT8
from ldrestore.metrics.scoring import open_metrics
from ldrestore.metrics.set_distances import open_fid


@pytest.fixture
def pictures(cat, noisy):
    return bring_together(Photo(pixels=noisy), Photo(pixels=cat), UINT8)


@pytest.fixture
def pyiqa(monkeypatch):
    """A toolbox of one metric with and one without ground truth, and one that cannot reach its weights."""
    calls = []

    def create_metric(name, **options):
        print("Downloading")
        file = options.get("pretrained_model_path")
        content = None if file is None else torch.load(file, weights_only=True)
        if name == "clipiqa":
            content = clipiqa_arch.load("RN50", "cpu").content
        calls.append((name, options, content))
        if name == "unreachable":
            raise OSError("no network\nat all")
        if name == "maniqa" and content is not None:
            assert timm.create_model() == {"pretrained": False}
            content["params"]

        def network(*pictures):
            return torch.tensor([float(len(pictures))])

        network.metric_mode = "NR" if name == "musiq" else "FR"
        network.lower_better = name == "lpips"
        network.net = torch.nn.ParameterDict({} if name == "clipiqa" else {"weight": torch.ones(1)})
        return network

    names = ["musiq", "maniqa", "clipiqa", "lpips", "unreachable"]
    timm = types.SimpleNamespace(create_model=lambda **options: options)
    monkeypatch.setitem(sys.modules, "timm", timm)

    def build_model(tensors):
        network = torch.nn.Identity()
        network.content = tensors
        return network

    clip_model, clipiqa_arch = types.SimpleNamespace(build_model=build_model), types.SimpleNamespace(load=None)
    architectures = types.SimpleNamespace(clip_model=clip_model, clipiqa_arch=clipiqa_arch)
    monkeypatch.setitem(sys.modules, "pyiqa.archs", architectures)
    toolbox = types.SimpleNamespace(create_metric=create_metric, list_models=lambda: names)
    monkeypatch.setitem(sys.modules, "pyiqa", toolbox)
    iqa_metrics._say_licence.cache_clear()
    return calls


def test_ours_and_piq_s_names_mean_one_function(pictures, monkeypatch):
    def information_weighted_ssim(x, y, data_range):
        return x.mean() + data_range

    toolbox = types.SimpleNamespace(information_weighted_ssim=information_weighted_ssim)
    monkeypatch.setitem(sys.modules, "piq", toolbox)
    short, long = (
        open_piq(MetricOptions(name=f"piq:{name}"))(pictures) for name in ("iw_ssim", "information_weighted_ssim")
    )
    assert short == long == pytest.approx(1 + pictures.result.mean() / 255, abs=1e-5)
    with pytest.raises(UnknownNameError, match="metric of piq"):
        open_piq(MetricOptions(name="piq:brisque"))


def test_pyiqa_s_licence_is_said_once_and_its_words_do_not_reach_standard_output(pyiqa, pictures, capsys):
    with pytest.warns(UserWarning, match="non-commercial use alone") as warned:
        measures = [open_iqa(MetricOptions(name=f"iqa:{name}")) for name in ("musiq", "lpips")]
    assert len(warned) == 1
    assert [measure(pictures) for measure in measures] == [1.0, 2.0]
    assert capsys.readouterr().out == ""


def test_a_user_s_weights_reach_pyiqa_if_they_are_weights(pyiqa, tmp_path):
    torch.save({"params": {"weight": torch.zeros(1)}}, tmp_path / "own.pth")
    with pytest.warns(UserWarning, match="non-commercial"):
        open_iqa(MetricOptions(name="iqa:musiq", weights={"iqa:musiq": tmp_path / "own.pth"}))
    assert pyiqa[0][2] == {"weight": torch.zeros(1)}
    assert pyiqa[0][1]["pretrained_model_path"] != str(tmp_path / "own.pth")

    (tmp_path / "code.pth").write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(WeightsError, match=r"code\.pth"):
        open_iqa(MetricOptions(name="iqa:musiq", weights={"iqa:musiq": tmp_path / "code.pth"}))
    assert len(pyiqa) == 1


def test_pyiqa_gets_weights_in_the_place_where_each_metric_wants_them_and_builds_nothing_published(pyiqa, tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "own.safetensors")
    names = ("iqa:maniqa", "iqa:clipiqa")
    with pytest.warns(UserWarning, match="non-commercial"):
        open_metrics(names, weights=dict.fromkeys(names, tmp_path / "own.safetensors"))
    assert [(name, list(content)) for name, _, content in pyiqa] == [
        ("maniqa", ["weight"]),
        ("maniqa", ["params"]),
        ("clipiqa", ["weight"]),
    ]
    assert sys.modules["pyiqa.archs"].clipiqa_arch.load is None
    assert sys.modules["timm"].create_model(pretrained=True) == {"pretrained": True}


def test_a_file_that_lacks_weights_of_the_metric_is_refused(pyiqa, tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "own.pth")
    with (
        pytest.warns(UserWarning, match="non-commercial"),
        pytest.raises(WeightsError, match="lacks 1 weights, such as"),
    ):
        open_iqa(MetricOptions(name="iqa:musiq", weights={"iqa:musiq": tmp_path / "own.pth"}))


def test_what_pyiqa_cannot_reach_is_unavailable_and_the_rest_goes_on(pyiqa):
    with pytest.warns(UserWarning, match="non-commercial"):
        opened = open_metrics(["iqa:unreachable", "psnr"])
    assert list(opened.pairs) == ["psnr"]
    assert "OSError: no network at all); let it reach" in opened.unavailable["iqa:unreachable"]
    with pytest.raises(UnknownNameError, match="did you mean 'musiq'"):
        open_metrics(["iqa:musik"])


def test_missing_packages_are_named_with_their_extras(monkeypatch):
    for package in ("pyiqa", "torch_fidelity", "piq"):
        monkeypatch.setitem(sys.modules, package, None)
    opened = open_metrics(["iqa:musiq", "fid", "kid", "piq:vif"])
    assert "ldrestore[iqa]" in opened.unavailable["iqa:musiq"]
    assert all("ldrestore[metrics]" in opened.unavailable[name] for name in ("fid", "kid", "piq:vif"))


def test_without_inception_weights_the_way_to_get_them_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=None))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    opened = open_metrics(["fid"])
    assert "put it there, or name it with --weights fid=FILE" in opened.unavailable["fid"]
    assert open_fid.__doc__


def test_which_way_is_better_is_what_the_toolbox_says(pyiqa, monkeypatch):
    toolbox = types.SimpleNamespace(gmsd=None, vif_p=None)
    monkeypatch.setitem(sys.modules, "piq", toolbox)
    with pytest.warns(UserWarning, match="non-commercial"):
        records = open_metrics(["piq:gmsd", "piq:vif", "iqa:lpips", "iqa:musiq", "psnr"]).records
    ways = {name: record.lower_is_better for name, record in records.items()}
    assert ways == {"piq:gmsd": True, "piq:vif": False, "iqa:lpips": True, "iqa:musiq": False, "psnr": False}
    assert [name for name, record in records.items() if record.compares == "results"] == ["iqa:musiq"]
