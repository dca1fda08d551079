import json

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.conversion import convert
from ldrestore.errors import InputError, MissingExtraError, WeightsError
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.replay import ReplayRequest, replay
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.pipelines.pipeline_foreign_restore import ForeignRestorePipeline
from ldrestore.restorers import load_restorer, restore
from tests.foreign_networks import compact, grey_dncnn, publish, unshuffling_esrgan

pytest.importorskip("spandrel")


def picture(height=20, width=26, channels=3):
    values = np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


def direct(network, values):
    """What the network makes of a picture, without us."""
    lq = torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1) / 255)[None]
    with torch.no_grad():
        return (network(lq).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.fixture
def doubling(tmp_path):
    """The file of a network that enlarges twice."""
    return publish(compact(scale=2), tmp_path / "double.safetensors", metadata={"license": "CC-BY-4.0"})


def test_at_its_own_scale_the_result_is_the_networks(doubling):
    values = picture()
    output = restore(values, model=doubling, scale=2, device="cpu", output_type="photo")
    assert np.array_equal(output.photos[0].pixels, direct(compact(scale=2), values))
    assert output.advice == [()]


@pytest.mark.parametrize(("scale", "size"), [(1, (20, 26)), (3, (60, 78)), (4, (80, 104))])
def test_any_other_scale_is_made_up_before_or_after_it(doubling, scale, size):
    output = restore(picture(), model=doubling, scale=scale, device="cpu", output_type="photo")
    assert output.photos[0].pixels.shape[:2] == size
    assert output.advice == [()] if scale == 4 else "--scale 2 keeps all of it" in output.advice[0][0]


def test_tiles_and_the_whole_agree(doubling):
    values = picture(200, 170)
    whole, tiled = (
        restore(values, model=doubling, scale=2, tile=tile, device="cpu", output_type="photo").photos[0].pixels
        for tile in ("off", 128)
    )
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize("scale", [1, 2])
def test_fidelity_and_self_ensemble_work_at_every_scale(doubling, scale):
    values = picture()
    same = restore(values, model=doubling, scale=scale, fidelity=1.0, device="cpu", output_type="photo").photos[0]
    if scale == 1:
        assert np.array_equal(same.pixels, values)
    plain, mean = (
        restore(values, model=doubling, scale=scale, self_ensemble=share, device="cpu", output_type="photo").photos[0]
        for share in (False, True)
    )
    assert mean.pixels.shape == plain.pixels.shape == same.pixels.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_one_channel_takes_each_by_itself(tmp_path, channels):
    path, values = publish(grey_dncnn(), tmp_path / "grey.safetensors"), picture(channels=channels)
    found = restore(values, model=path, device="cpu", output_type="photo").photos[0].pixels
    single = direct(grey_dncnn(), values.reshape(20, 26, -1)[..., :1])
    assert np.array_equal(found[..., :1], single) and found.shape[2] == channels


def test_a_networks_own_size_rule_is_kept_and_told(tmp_path):
    pipeline = load_restorer(publish(unshuffling_esrgan(), tmp_path / "x.safetensors"), device="cpu")
    assert (pipeline.network.facts.scale, pipeline.network.facts.size_multiple) == (2, 4)
    assert pipeline(picture(21, 27), scale=2, output_type="photo").photos[0].pixels.shape[:2] == (42, 54)


def test_depth_alpha_and_grey_are_kept(doubling):
    deep = np.random.default_rng(0).integers(0, 65536, (12, 14, 4), dtype=np.uint16)
    photo = restore(deep, model=doubling, scale=2, device="cpu", output_type="photo").photos[0]
    assert photo.pixels.dtype == np.uint16 and photo.alpha.shape == (24, 28)
    grey = restore(picture(channels=1), model=doubling, device="cpu", output_type="photo").photos[0]
    assert grey.num_channels == 1


def test_a_pickle_is_converted_and_never_loaded_directly(tmp_path):
    pickled = publish(compact(scale=1), tmp_path / "plain.pth")
    with pytest.raises(WeightsError, match=r"ldrestore convert spandrel .*plain\.pth OUT_DIR"):
        restore(picture(), model=pickled, device="cpu")
    folder = convert("spandrel", pickled, tmp_path / "plain")
    origin = json.loads((folder / "ldrestore.json").read_text())
    assert origin["architecture"] == "RealESRGAN Compact" and "not stated" in origin["weights_licence"]
    values = picture()
    found = restore(values, model=folder, device="cpu", output_type="photo").photos[0].pixels
    assert np.array_equal(found, direct(compact(scale=1), values))


def test_what_spandrel_does_not_recognise_is_refused(tmp_path):
    path = publish(torch.nn.Linear(2, 2), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="holds no network that spandrel"):
        load_restorer(path, device="cpu")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no intact safetensors file"):
        load_restorer(tmp_path / "y.safetensors", device="cpu")
    with pytest.raises(WeightsError, match="holds no network that spandrel"):
        convert("spandrel", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_spandrel_the_extra_is_named(doubling, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    with pytest.raises(MissingExtraError, match=r"ldrestore\[spandrel\]"):
        load_restorer(doubling, device="cpu")


def test_a_number_type_that_it_cannot_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="DnCNN does not compute in"):
        load_restorer(publish(grey_dncnn(), tmp_path / "x.safetensors"), device="cpu", dtype="float16")


def test_the_command_restores_records_replays_and_tells(doubling, tmp_path):
    source = tmp_path / "in.png"
    Image.fromarray(picture()).save(source)
    request = RestoreRequest(model=str(doubling), device="cpu", options=options_for(str(doubling), {"scale": 2}))
    worker = RestoreWorker(request)
    result = worker(Job(source=source, target=tmp_path / "out.png", name="in.png"))
    assert result.record["model"]["architecture"] == "RealESRGAN Compact"
    assert "spandrel" in result.record["packages"]
    again = replay(tmp_path / "out.png", ReplayRequest(source=source, model=str(doubling)))
    assert again.is_reproduced and again.differences == ()
    with pytest.raises(InputError, match="--instruction is for models of the fast"):
        options_for(str(doubling), {"instruction": "remove the rain"})


def test_info_tells_scale_size_rule_and_licence(doubling):
    from ldrestore.cli.info import _facts

    facts = _facts(str(doubling), base=None)
    assert (facts["track"], facts["scale"], facts["licence"]) == ("foreign", 2, "CC-BY-4.0")
    assert facts["size_multiple"] == 1 and facts["parameters"] > 0


def test_the_pipeline_is_importable_from_the_library():
    import ldrestore

    assert ldrestore.ForeignRestorePipeline is ForeignRestorePipeline
