import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from stable_runs import last_metrics, run_values, save_pictures, write
from torch import Tensor, nn

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import balance_loss
from ldrestore.config import load_config
from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.training.losses.picture_losses import l1_loss, ssim_loss
from ldrestore.training.tasks.detail_experts import create_distances, prepare_detail_experts
from ldrestore.training.tasks.detail_experts_config import DetailExpertsTrainingConfig
from ldrestore.training.trainers import train_by_config
from ldrestore.weights.hashes import hash_of_weights
from tests.tiny_xl import tiny_xl_base

SIZES = {"hidden_channels": [8, 8, 8], "head_dim": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pictures, a base, and what stage 1 exports."""
    root, parts = tmp_path_factory.mktemp("xl"), tiny_xl_base()
    with without_progress_bar():
        for name, part in parts.items():
            part.save_pretrained(root / "base" / name)
        LQEncoder.from_vae(parts["vae"]).save_pretrained(root / "restorer/lq_encoder")
        daff = DAFF(block_out_channels=(8, 16), lq_channels=16, text_dim=20, dim=16, head_dim=16, num_single=1)
        daff.save_pretrained(root / "restorer/daff")
    save_pictures(root / "pictures")
    return root


@pytest.fixture
def config_of(tmp_path, folders):
    def create(**extra):
        values = run_values(tmp_path, folders / "pictures", steps=2) | {
            "trainer": "detail_experts",
            "base": {"path": str(folders / "base")},
            "restorer": str(folders / "restorer"),
            "sizes": SIZES,
            "latents": {"min_steps": 1, "max_steps": 2},
            "validation": {
                "folder": str(folders / "pictures"),
                "recipes": ["rain"],
                "num_pictures": 1,
                "crop_size": 18,
            },
        }
        return write(tmp_path / "experts.yaml", values | extra)

    return create


@pytest.fixture
def prepared_of(config_of):
    def create(**extra):
        prepared = prepare_detail_experts(load_config(DetailExpertsTrainingConfig, config_of(**extra)))
        prepared.network.train()
        return prepared.network, prepared.task

    return create


def batch():
    return {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}


def moved(network, task, *, num):
    """Keys of what some steps on random pictures moved."""
    before, optimizer = copy.deepcopy(network.state_dict()), torch.optim.AdamW(network.parameters(), lr=0.01)
    torch.manual_seed(3)
    for _ in range(num):
        task.loss(network, batch())[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    return {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}


def test_decoder_and_experts_move_and_nothing_else_does(prepared_of):
    network, task = prepared_of()
    frozen = [*task.base.modules(), task.restorer]
    hashes = [hash_of_weights(part) for part in frozen]
    keys = moved(network, task, num=3)
    decoder = {key for key in network.state_dict() if key.startswith(("vae.decoder.", "vae.post_quant_conv."))}
    experts = {key for key in network.state_dict() if key.startswith("daem.")}
    assert keys <= decoder | experts and decoder <= keys
    left = experts - keys  # of experts that no picture took
    assert left < {key for key in experts if ".experts.experts." in key}
    assert [hash_of_weights(part) for part in frozen] == hashes


@pytest.mark.parametrize(
    ("extra", "prefixes"),
    [({"trains_decoder": False}, ("daem.",)), ({"has_experts": False}, ("vae.decoder.", "vae.post_quant_conv."))],
)
def test_rows_of_the_ablation_train_what_they_have(prepared_of, extra, prefixes):
    network, task = prepared_of(**extra)
    keys = moved(network, task, num=2)
    assert keys and all(key.startswith(prefixes) for key in keys)


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_loss_is_equation_10(prepared_of, top_k):
    network, task = prepared_of(latents={"sampled_share": 0.0, "max_noise": 0.0}, sizes=SIZES | {"top_k": top_k})
    network.eval()  # routers draw nothing
    pair = batch()
    with torch.no_grad(), observed(network.daem.routers) as routings:
        total, parts = task.loss(network, pair)
        latents = task.base.vae.encode(pair["gt"] * 2 - 1).latent_dist.mode()
        features = task.restorer.lq_encoder(pair["lq"]).features
        restored = network(latents * 0.13025, features, pair["lq"]).restored
    balances = [balance_loss(routing, correction=0, top_k=top_k) for routing in routings.values()]
    balance = torch.stack(balances).mean()
    torch.testing.assert_close(parts["l1"], l1_loss(restored, pair["gt"]).mean())
    torch.testing.assert_close(parts["ssim"], 0.2 * ssim_loss(restored, pair["gt"]).mean())
    torch.testing.assert_close(parts["balance"], 0.01 * balance)
    torch.testing.assert_close(total, sum(parts.values()))


def test_a_run_exports_decoder_and_experts_and_tells_what_they_gain(tmp_path, config_of):
    assert train_by_config(config_of(), overrides=[], resume=None)
    names = {"l1", "ssim", "balance", "validation/psnr/rain", "validation/plain/psnr/rain"}
    assert names <= last_metrics(tmp_path).keys()
    export = tmp_path / "run/export"
    assert {path.name for path in export.iterdir()} >= {"daem", "vae"}
    assert AutoencoderKL.from_pretrained(export / "vae").config.scaling_factor == 0.13025
    assert DetailExpertModule.from_pretrained(export / "daem").config["routing"] == "image"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"has_experts": False, "trains_decoder": False}, "leave nothing to train"),
        ({"loss": {"l1": 0, "ssim": 0}}, "l1 or ssim above 0"),
        ({"loss": {"balance": -1}}, "negative: balance"),
        ({"sizes": {"routing": "word"}}, "routing"),
    ],
)
def test_configs_that_make_no_sense_are_refused(config_of, changed, message):
    with pytest.raises(ConfigError, match=message):
        load_config(DetailExpertsTrainingConfig, config_of(**changed))


class Distance(nn.Module):
    """A third of the squared difference of each picture."""

    def forward(self, restored: Tensor, gt: Tensor) -> Tensor:
        return (restored - gt).square().mean(dim=(1, 2, 3)) / 3


def test_distances_count_with_their_weights_and_are_not_trained(
    prepared_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def weights_of(name: str) -> dict:
        names.append(name)
        return {}

    monkeypatch.setattr("ldrestore.training.tasks.detail_experts.read_metric_weights", weights_of)
    monkeypatch.setattr("ldrestore.training.tasks.detail_experts.Lpips", lambda *_: Distance())
    monkeypatch.setattr("ldrestore.training.tasks.detail_experts.Dists", lambda *_: Distance())
    weights = {"l1": 0.5, "ssim": 0.0, "lpips": 6.0, "dists": 3.0}
    network, task = prepared_of(loss=weights, latents={"sampled_share": 0.0, "max_noise": 0.0})
    assert names == ["lpips_vgg", "dists"]
    restored = []
    network.register_forward_hook(lambda _, inputs, output: restored.append(output.restored))
    pair = batch()
    total, parts = task.loss(network, pair)
    difference = restored[-1] - pair["gt"]
    assert parts.keys() == {"l1", "balance", "lpips", "dists"}
    torch.testing.assert_close(parts["lpips"], 2.0 * difference.square().mean())
    torch.testing.assert_close(parts["dists"], 1.0 * difference.square().mean())
    torch.testing.assert_close(total - parts["balance"], 0.5 * difference.abs().mean() + 3 * difference.square().mean())


@pytest.mark.parametrize(("trunk", "weights"), [("vgg", "lpips_vgg"), ("alex", "lpips")])
def test_lpips_looks_with_the_classifier_that_was_chosen(
    config_of: Callable, monkeypatch: pytest.MonkeyPatch, trunk: str, weights: str
) -> None:
    built = []
    monkeypatch.setattr("ldrestore.training.tasks.detail_experts.read_metric_weights", lambda name: name)
    monkeypatch.setattr("ldrestore.training.tasks.detail_experts.Lpips", lambda *parts: built.append(parts))
    loss = {"lpips": 1.0, "lpips_trunk": trunk}
    assert create_distances(load_config(DetailExpertsTrainingConfig, config_of(loss=loss))).keys() == {"lpips"}
    assert built == [(trunk, weights)]


def test_distances_whose_weights_were_not_fetched_say_how_to_get_them(
    config_of: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    config = load_config(DetailExpertsTrainingConfig, config_of(loss={"dists": 0.1}))
    with pytest.raises(WeightsUnavailableError, match="dists"):
        create_distances(config)
    assert create_distances(load_config(DetailExpertsTrainingConfig, config_of())) == {}


@pytest.mark.parametrize(("share", "passes"), [(0.0, 0), (1.0, 2)])
def test_samples_of_stage_1_are_of_the_pictures_that_are_decoded(
    prepared_of: Callable, share: float, passes: int
) -> None:
    network, task = prepared_of(latents={"sampled_share": share, "min_steps": 2, "max_steps": 2, "max_noise": 0.0})
    calls = []
    task.restorer.unet.register_forward_hook(lambda _, inputs, output: calls.append(len(inputs[0])))
    network.eval()
    torch.manual_seed(0)
    pair = batch()
    task.loss(network, pair)
    assert calls == [2] * passes
    assert not task.restorer.training and not any(weight.requires_grad for weight in task.restorer.parameters())


def test_a_run_without_a_trained_decoder_exports_the_experts_alone(tmp_path: Path, config_of: Callable) -> None:
    path = config_of(trains_decoder=False, validation=None)
    assert train_by_config(path, overrides=["ema.decay=0.5"], resume=None)
    assert {folder.name for folder in (tmp_path / "run/export").iterdir()} == {"daem"}
    averaged = load_file(tmp_path / "run/checkpoints/step_00000002/ema.safetensors")
    for key, value in DetailExpertModule.from_pretrained(tmp_path / "run/export/daem").state_dict().items():
        assert torch.equal(value, averaged[f"daem.{key}"])


def test_validation_decodes_the_same_samples_with_and_without_experts(prepared_of: Callable) -> None:
    network, task = prepared_of()
    calls = []
    task.restorer.unet.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        first, again = task.validate(network.eval()), task.validate(network)
    assert first == again and len(calls) == 2  # two steps, sampled once
    assert {"psnr/rain", "gain/rain", "plain/psnr/rain", "plain/gain"} <= first.keys()


def test_a_run_goes_on_with_module_and_decoder_of_an_earlier_one(tmp_path: Path, config_of: Callable) -> None:
    assert train_by_config(config_of(validation=None), overrides=["ema=null"], resume=None)
    export = tmp_path / "run/export"
    config = load_config(
        DetailExpertsTrainingConfig, config_of(init_from=str(export), sizes={"hidden_channels": [64, 64]})
    )
    network = prepare_detail_experts(config).network
    for part, kind in ((network.daem, DetailExpertModule), (network.vae, AutoencoderKL)):
        earlier = kind.from_pretrained(export / ("daem" if kind is DetailExpertModule else "vae")).state_dict()
        assert all(torch.equal(value, earlier[key]) for key, value in part.state_dict().items())


def test_an_earlier_module_of_another_autoencoder_is_refused(tmp_path: Path, config_of: Callable) -> None:
    DetailExpertModule((8, 16, 24), (8, 8, 8), head_dim=8).save_pretrained(tmp_path / "other/daem")
    with pytest.raises(ConfigError, match=r"widths \[8, 16, 24\], the base's autoencoder \[8, 8, 16\]"):
        prepare_detail_experts(load_config(DetailExpertsTrainingConfig, config_of(init_from=str(tmp_path / "other"))))
