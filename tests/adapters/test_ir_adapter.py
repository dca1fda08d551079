"""The IR-Adapter is the published one: the authors' implementation gave the golden output."""

from pathlib import Path

import accelerate
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import load_file
from torch.nn import functional as F

from ldrestore.adapters.ir_adapter import IRAdapter, SpatialSelfAttention, options_of_checkpoint
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.weights.fitting import load_strictly
from tests.adapters.conftest import randomize
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"


def test_published_weights_compute_what_the_authors_code_computes():
    published = checkpoint(FIXTURES / "ir_adapter.txt")
    adapter = IRAdapter(**options_of_checkpoint(published, degradations=MPERCEIVER_SET)).eval()
    load_strictly(adapter, published, source="ir_adapter.txt")
    golden = load_file(FIXTURES / "ir_adapter.safetensors")
    with torch.no_grad():
        features = adapter(golden["input_0"], golden["input_1"], golden["input_2"].softmax(dim=1))
    assert len(features) == 4
    for level, found in enumerate(features):
        expected = golden[f"output_{level}"]
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_defaults_are_the_published_sizes():
    with torch.device("meta"):
        adapter = IRAdapter()
    assert sum(parameter.numel() for parameter in adapter.parameters()) == 53_937_152
    found = options_of_checkpoint(adapter.state_dict(), degradations=MPERCEIVER_SET)
    assert {key: adapter.config[key] for key in found} == found


def test_names_and_rows_of_a_checkpoint_must_agree():
    with torch.device("meta"):
        weights = IRAdapter().state_dict()
    with pytest.raises(InputError, match="the pools have 9 degradations, got 2 names"):
        options_of_checkpoint(weights, degradations=["haze", "rain"])


def test_the_self_attention_is_that_of_the_paper():
    torch.manual_seed(0)
    attention = randomize(SpatialSelfAttention(8, num_heads=2, num_groups=4))
    states = torch.randn(1, 8, 3, 2)
    normed = F.group_norm(states, 4, attention.norm.weight, attention.norm.bias).flatten(2)[0]  # (C, L)
    projected = attention.qkv.weight[..., 0] @ normed + attention.qkv.bias[:, None]  # (3C, L)
    heads = []
    for head in range(2):  # a head's query, key and value lie beside each other
        query, key, value = projected[head * 12 : head * 12 + 12].split(4)
        weights = (query.T @ key / 4**0.5).softmax(dim=1)  # (L, L)
        heads.append(value @ weights.T)
    answer = attention.proj_out.weight[..., 0] @ torch.cat(heads) + attention.proj_out.bias[:, None]
    torch.testing.assert_close(attention(states), states + answer.view(1, 8, 3, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (1, 9), (8, 8)])
def test_features_halve_and_round_up(ir_adapter, height, width):
    features = ir_adapter(torch.randn(2, 4, height, width), 10, torch.rand(2, 3))
    halved = (-(-height // 2), -(-width // 2))
    assert [feature.shape for feature in features] == [(2, 8, height, width), (2, 8, *halved)]


def test_timesteps_may_differ_within_a_batch(ir_adapter):
    randomize(ir_adapter)
    latents, probabilities = torch.randn(2, 4, 6, 6), torch.rand(2, 3)
    both = ir_adapter(latents, torch.tensor([3, 700]), probabilities)
    for picture, timestep in enumerate([3, 700]):
        alone = ir_adapter(latents[picture : picture + 1], timestep, probabilities[picture : picture + 1])
        for found, expected in zip(both, alone, strict=True):
            torch.testing.assert_close(found[picture], expected[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], ir_adapter(latents, 3, probabilities)[0])


def test_cosines_come_first_in_the_embedding_of_time(ir_adapter):
    waves = get_timestep_embedding(torch.tensor([500.0]), 8, flip_sin_to_cos=True, downscale_freq_shift=0)
    frequencies = 10000 ** (-torch.arange(4) / 4)
    torch.testing.assert_close(
        waves[0], torch.cat([(500 * frequencies).cos(), (500 * frequencies).sin()]), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        ir_adapter.embed_time(torch.tensor([500])), ir_adapter.time_embed(waves), rtol=1e-4, atol=1e-4
    )


def test_prompts_computed_once_change_no_bit(ir_adapter):
    randomize(ir_adapter)
    prompts, latents, probabilities = ir_adapter.prepare(), torch.randn(2, 4, 6, 5), torch.rand(2, 3)
    for timestep in (900, 100):
        prepared = ir_adapter(latents, timestep, probabilities, prompts=prompts)
        for found, expected in zip(prepared, ir_adapter(latents, timestep, probabilities), strict=True):
            assert torch.equal(found, expected)


def test_a_saved_adapter_is_the_same_with_its_names(ir_adapter, tmp_path):
    randomize(ir_adapter).save_pretrained(tmp_path)
    loaded = IRAdapter.from_pretrained(tmp_path)
    assert list(loaded.config["degradations"]) == ["haze", "rain", "snow"]
    assert loaded.state_dict().keys() == ir_adapter.state_dict().keys()
    assert all(torch.equal(value, ir_adapter.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_new_degradations_leave_the_old_ones_untouched(ir_adapter, tmp_path):
    randomize(ir_adapter)
    before = {key: value.clone() for key, value in ir_adapter.state_dict().items()}
    latents, probabilities = torch.randn(1, 4, 6, 6), torch.tensor([[0.2, 0.3, 0.5]])
    expected = ir_adapter(latents, 5, probabilities)
    ir_adapter.add_degradations(["jpeg"], generator=torch.Generator().manual_seed(0))
    for key, value in ir_adapter.state_dict().items():
        assert torch.equal(value[:, :3] if key == "visual_prompt" else value, before[key])
    assert ir_adapter.visual_prompt.shape == (2, 4, 1, 3, 6)
    for found, old in zip(ir_adapter(latents, 5, F.pad(probabilities, (0, 1))), expected, strict=True):
        torch.testing.assert_close(found, old, rtol=1e-4, atol=1e-5)
    ir_adapter.save_pretrained(tmp_path)
    loaded = IRAdapter.from_pretrained(tmp_path)
    assert list(loaded.config["degradations"]) == ["haze", "rain", "snow", "jpeg"]
    assert torch.equal(loaded.visual_prompt, ir_adapter.visual_prompt)


def test_new_prompts_follow_the_generator(ir_adapter):
    other = IRAdapter(**{**ir_adapter.config, "degradations": ["haze"]})
    other.visual_prompt = torch.nn.Parameter(ir_adapter.visual_prompt[:, :1].detach())
    for adapter in (ir_adapter, other):
        adapter.add_degradations(["jpeg"], generator=torch.Generator().manual_seed(7))
    assert torch.equal(ir_adapter.visual_prompt[:, -1], other.visual_prompt[:, -1])


def test_gradients_reach_every_parameter(ir_adapter):
    features = randomize(ir_adapter)(torch.randn(1, 4, 6, 6), 5, torch.tensor([[0.2, 0.3, 0.5]]))
    sum(feature.square().sum() for feature in features).backward()
    assert [name for name, parameter in ir_adapter.named_parameters() if not parameter.grad.abs().sum() > 0] == []


def test_half_precision_stays_near(ir_adapter):
    randomize(ir_adapter)
    latents, probabilities = torch.randn(1, 4, 6, 6), torch.tensor([[0.2, 0.3, 0.5]])
    expected = ir_adapter(latents, 500, probabilities)
    for found, full in zip(
        ir_adapter.bfloat16()(latents.bfloat16(), 500, probabilities.bfloat16()), expected, strict=True
    ):
        assert found.dtype == torch.bfloat16
        assert (found - full).abs().max() <= 0.05 * full.abs().max()


def test_the_chosen_attention_backend_is_called(ir_adapter, recorded_backend):
    latents, probabilities = torch.randn(1, 4, 6, 6), torch.tensor([[0.2, 0.3, 0.5]])
    ir_adapter(latents, 5, probabilities)
    assert recorded_backend.calls == 0
    ir_adapter.set_attention_backend(recorded_backend.name)
    ir_adapter(latents, 5, probabilities)
    assert recorded_backend.calls == 4  # finest scale, middle, and two pools of prompts


@pytest.mark.parametrize("off_load", [accelerate.cpu_offload, accelerate.cpu_offload_with_hook])
def test_off_loaded_weights_come_for_prompts_and_features(ir_adapter, off_load):
    latents, probabilities = torch.randn(1, 4, 6, 6), torch.tensor([[0.2, 0.3, 0.5]])
    expected = randomize(ir_adapter)(latents, 500, probabilities)
    off_load(ir_adapter, execution_device="cpu")
    with torch.no_grad():
        prompts = ir_adapter.prepare()
        found = [ir_adapter(latents, 500, probabilities, prompts=prompts), ir_adapter(latents, 500, probabilities)]
    for features in found:
        for feature, full in zip(features, expected, strict=True):
            torch.testing.assert_close(feature, full, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_adapter_compiles_to_one_graph(ir_adapter):
    randomize(ir_adapter)
    compiled = torch.compile(ir_adapter, fullgraph=True, backend="aot_eager")
    latents, probabilities = torch.randn(1, 4, 6, 6), torch.tensor([[0.2, 0.3, 0.5]])
    with torch.no_grad():
        prompts = ir_adapter.prepare()
        for timestep in (500, 20):
            timesteps = torch.tensor([timestep])
            expected = ir_adapter(latents, timesteps, probabilities)
            for found, full in zip(compiled(latents, timesteps, probabilities, prompts=prompts), expected, strict=True):
                torch.testing.assert_close(found, full)


@pytest.mark.parametrize("shape", [(1, 3, 6, 6), (4, 6, 6)])
def test_latents_of_another_shape_are_refused(ir_adapter, shape):
    with pytest.raises(ShapeError, match=r"expected lq_latents of shape \(B, 4, H, W\)"):
        ir_adapter(torch.randn(shape), 5, torch.rand(1, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degradations": []}, "different names of degradations, at least one"),
        ({"degradations": ["rain", "haze", "rain"]}, "different names of degradations"),
        ({"channels": (130,)}, "multiples of num_groups"),
        ({"channels": (96,), "num_heads": 5}, "channels of num_heads"),
    ],
)
def test_sizes_and_names_that_make_no_adapter_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        IRAdapter(**options)


def test_a_degradation_is_added_once(ir_adapter):
    with pytest.raises(ConfigError, match="rain: there already"):
        ir_adapter.add_degradations(["rain"])


@pytest.fixture
def without_pools(ir_adapter):
    torch.manual_seed(5)
    return randomize(IRAdapter(**{**ir_adapter.config, "num_prompts": 0}))


def test_without_pools_the_residual_blocks_of_equation_4_are_left(without_pools):
    latents, timestep = torch.randn(2, 4, 6, 5), torch.tensor([500, 20])
    temb = without_pools.embed_time(timestep)
    states = without_pools._scales(latents, temb)
    features = without_pools(latents, timestep, torch.rand(2, 3))
    for found, state, block in zip(features, states, without_pools.fea_tran, strict=True):
        torch.testing.assert_close(found, block(state, temb))
    other = without_pools(latents, timestep, torch.rand(2, 3), prompts=without_pools.prepare())
    assert all(torch.equal(found, again) for found, again in zip(features, other, strict=True))


def test_an_adapter_without_pools_is_one_with_less(without_pools, ir_adapter, tmp_path):
    left_out = ("visual_prompt", "prompt_attns.", "norm1.", "norm2.")
    kept = {key for key in ir_adapter.state_dict() if not key.startswith(left_out)}
    assert without_pools.state_dict().keys() == kept
    without_pools.save_pretrained(tmp_path)
    loaded = IRAdapter.from_pretrained(tmp_path)
    assert loaded.config["num_prompts"] == 0
    assert loaded.state_dict().keys() == kept
    assert all(torch.equal(value, without_pools.state_dict()[key]) for key, value in loaded.state_dict().items())
    loaded.add_degradations(["jpeg"])
    assert list(loaded.config["degradations"])[-1] == "jpeg" and loaded.state_dict().keys() == kept


def test_gradients_reach_every_parameter_without_pools(without_pools):
    features = without_pools(torch.randn(1, 4, 6, 6), 5, torch.tensor([[0.2, 0.3, 0.5]]))
    sum(feature.square().sum() for feature in features).backward()
    assert [name for name, parameter in without_pools.named_parameters() if not parameter.grad.abs().sum() > 0] == []


def test_less_than_no_prompts_are_refused():
    with pytest.raises(ConfigError, match="num_prompts must be at least 0, got -1"):
        IRAdapter(num_prompts=-1)
