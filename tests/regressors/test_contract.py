"""What every registered regressor must do; new entries are tested without a new line here."""

import re
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ldrestore.errors import ConfigError, ShapeError, UnknownNameError
from ldrestore.registry import resolve
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor, list_regressors, record_of

TINY = {
    "ldrestore.regressors.datprl_ir:DATPRLIR": {
        "dim": 8,
        "num_blocks": [1, 1, 1, 1],
        "dec_blk_nums": [1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 4],
        "prompt_dim": 16,
        "pool_sizes": [4, 3],
        "top_k": [3, 2],
    },
    "ldrestore.regressors.grid_nafnet:GridNAFNet": {
        "width": 4,
        "middle_blk_num": 1,
        "enc_blk_nums": [1, 1, 1],
        "dec_blk_nums": [1, 1, 1],
        "num_prompts": 3,
        "prompt_dim": 8,
        "code_dim": 6,
        "num_levels": 3,
    },
    "ldrestore.regressors.instructir:InstructIR": {
        "width": 4,
        "middle_blk_num": 1,
        "enc_blk_nums": [1, 1, 1, 1],
        "dec_blk_nums": [1, 1, 1, 1],
        "txtdim": 6,
    },
    "ldrestore.regressors.moce_ir:MoCEIR": {
        "dim": 8,
        "num_blocks": [1, 1, 1, 1],
        "num_dec_blocks": [1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 4],
    },
    "ldrestore.regressors.nafnet:NAFNet": {
        "width": 4,
        "middle_blk_num": 1,
        "enc_blk_nums": [1, 1, 1, 1],
        "dec_blk_nums": [1, 1, 1, 1],
    },
    "ldrestore.regressors.prompted_nafnet:PromptedNAFNet": {
        "width": 4,
        "middle_blk_num": 1,
        "enc_blk_nums": [1, 1, 1],
        "dec_blk_nums": [1, 1, 1],
        "num_prompts": 3,
        "prompt_dim": 8,
    },
    "ldrestore.regressors.restormer:Restormer": {
        "dim": 4,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 4],
    },
    "ldrestore.regressors.promptir:PromptIR": {
        "dim": 4,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 4],
        "prompt_dims": [2, 4, 8],
        "prompt_sizes": [5, 4, 3],
        "num_prompts": 2,
    },
    "ldrestore.regressors.mmfe_ir:MMFEIR": {
        "dim": 4,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 4],
        "embedding_width": 6,
        "num_experts": 3,
    },
}
"""Constructor arguments that make each architecture small enough for a test."""

RESTING = {"ldrestore.regressors.moce_ir:MoCEIR": r"dec\.\d\.2\.layers\.\d\.adapter\.experts\.\d\."}
"""Parameters of experts, which only the pictures that chose them reach; the architecture's own tests go through all."""


def tiny(name, seed=0):
    torch.manual_seed(seed)
    network = create_regressor(name, **TINY[REGRESSORS.get(name).target])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # zero-initialised branches would hide half of the network
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def steering_of(name, network):
    """What a network takes besides lq to use all of its weights."""
    record = REGRESSORS.get(name)
    is_told = record.takes_embedding or record.aligns_to_embedding
    if record.takes_hints:
        return {"hints": torch.rand(1, 2 * len(network.config["degradations"]))}
    return {"embedding": torch.rand(1, *network.embedding_shape)} if is_told else {}


@pytest.fixture(params=list(list_regressors()))
def name(request):
    return request.param


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 18)])
def test_any_size_comes_back_in_its_size(name, size):
    lq = torch.rand(2, 3, *size)
    restored = tiny(name)(lq)
    assert restored.shape == lq.shape
    assert restored.isfinite().all()


def test_gradients_reach_every_parameter(name):
    network, lq = tiny(name), torch.rand(1, 3, 32, 32)
    record = REGRESSORS.get(name)
    if record.auxiliary_losses:
        restored, losses = network(lq, return_auxiliary=True, **steering_of(name, network))
        assert tuple(losses) == record.auxiliary_losses
        outputs = (restored, *losses.values())
    elif record.gives_estimate:
        outputs = network(lq, return_estimate=True, **steering_of(name, network))
    else:
        outputs = (network(lq, **steering_of(name, network)),)
    sum(output.square().sum() for output in outputs).backward()
    trained = {key: parameter for key, parameter in network.named_parameters() if parameter.requires_grad}
    without = [
        key for key, parameter in trained.items() if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    resting = RESTING.get(record.target)
    assert [key for key in without if not (resting and re.match(resting, key))] == []


def test_saved_and_loaded_weights_are_equal_to_the_bit(name, tmp_path):
    network = tiny(name)
    network.save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path).eval()
    weights, loaded_weights = network.state_dict(), loaded.state_dict()
    assert weights.keys() == loaded_weights.keys()
    assert all(torch.equal(weights[key], loaded_weights[key]) for key in weights)
    for key in TINY[REGRESSORS.get(name).target]:
        assert loaded.config[key] == network.config[key]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(name, dtype):
    network, lq = tiny(name), torch.rand(1, 3, 16, 16)
    expected = network(lq)
    restored = network.to(dtype)(lq.to(dtype))
    assert restored.dtype == dtype
    assert (restored.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_load_into_half_precision(name, dtype, tmp_path):
    network = tiny(name)
    network.save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path, torch_dtype=dtype).state_dict()
    assert all(torch.equal(weight.to(dtype), loaded[key]) for key, weight in network.state_dict().items())


@pytest.mark.parametrize("instructed", [record.name for record in REGRESSORS if record.takes_embedding])
def test_an_embedding_changes_the_result_of_its_own_picture(instructed):
    network, lq = tiny(instructed), torch.rand(2, 3, 17, 20)
    embedding = torch.randn(2, *network.embedding_shape)
    with torch.no_grad():
        both = network(lq, embedding=embedding)
        singles = [network(lq[i : i + 1], embedding=embedding[i : i + 1]) for i in range(2)]
        shared = network(lq, embedding=embedding[:1])
    torch.testing.assert_close(both, torch.cat(singles))
    torch.testing.assert_close(shared[:1], singles[0])
    assert (shared[1] - both[1]).abs().max() > 1e-4


@pytest.mark.parametrize("estimating", [record.name for record in REGRESSORS if record.gives_estimate])
def test_an_estimate_falls_out_of_the_same_pass(estimating):
    network, lq = tiny(estimating), torch.rand(2, 3, 17, 20)
    restored, logits = network(lq, return_estimate=True)
    assert torch.equal(restored, network(lq))
    names = getattr(network, "estimate_names", network.config["degradations"])
    assert logits.shape == (2, len(names))


@pytest.mark.parametrize("showing", [record.name for record in REGRESSORS if record.shows_usage])
def test_usage_is_a_row_for_each_picture_whatever_its_company(showing):
    record, network, lq = REGRESSORS.get(showing), tiny(showing), torch.rand(2, 3, 17, 20)
    options = [{}, {}, {}]
    if record.takes_embedding:
        embedding = torch.randn(2, *network.embedding_shape)
        options = [{"embedding": steering_of} for steering_of in (embedding, embedding[:1], embedding[1:])]
    both = network.usage(lq, **options[0])
    singles = [network.usage(lq[i : i + 1], **options[i + 1]) for i in range(2)]
    assert both and all(list(single) == list(both) for single in singles)
    for name, weights in both.items():
        assert weights.ndim == 2 and len(weights) == 2 and weights.isfinite().all()
        assert not weights.requires_grad and weights.min() >= 0 and weights.max() <= 1
        torch.testing.assert_close(weights, torch.cat([single[name] for single in singles]))
        if not record.shows_expert_maps:  # those of a softmax; a sigmoid weighs each expert by itself
            torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("showing", [record.name for record in REGRESSORS if record.shows_expert_maps])
def test_expert_maps_are_one_of_the_pictures_size_for_each_expert(showing):
    network, lq = tiny(showing), torch.rand(2, 3, 17, 20)
    embedding = torch.randn(2, *network.embedding_shape)
    maps = network.expert_maps(lq, embedding)
    num_experts = {weights.shape[1] for weights in network.usage(lq, embedding).values()}
    assert maps.shape == (2, *num_experts, 17, 20)
    assert maps.isfinite().all() and maps.min() >= 0


def test_wrong_shapes_are_refused(name):
    with pytest.raises(ShapeError, match=r"expected lq of shape \(B, 3, H, W\), got \(3, 8, 8\)"):
        tiny(name)(torch.rand(3, 8, 8))
    with pytest.raises(ShapeError):
        tiny(name)(torch.rand(1, 1, 8, 8))


def test_the_record_of_a_network_is_its_variant(name):
    record = REGRESSORS.get(name)
    network_class_only = tiny(name)
    assert record_of(network_class_only).target == record.target


def test_size_multiple_of_the_record_is_that_of_the_network(name):
    with torch.device("meta"):
        network = create_regressor(name)
    assert network.size_multiple == REGRESSORS.get(name).size_multiple
    assert record_of(network).options == REGRESSORS.get(name).options


def test_parameters_and_operations_of_the_record_are_those_of_the_network(name):
    record = REGRESSORS.get(name)
    with torch.device("meta"):
        network = create_regressor(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, 256, 256, device="meta"))
    assert sum(parameter.numel() for parameter in network.parameters()) == record.parameters
    assert counter.get_total_flops() == 2 * record.macs


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'nafnet'"):
        create_regressor("nafnett")
    with pytest.raises(UnknownNameError, match="unknown option of nafnet 'widht'; did you mean 'width'"):
        create_regressor("nafnet", widht=3)


@pytest.mark.parametrize(
    ("regressor", "options"),
    [
        ("nafnet", {"width": "wide"}),
        ("moce_ir", {"expert": "cheap"}),
        ("moce_ir", {"rank": 0}),
        ("moce_ir", {"dim": 8, "heads": [1, 2, 3, 4], "num_blocks": 3}),
        ("datprl_ir", {"top_k": 3}),
        ("mmfe_ir", {"embedding_width": [2]}),
    ],
)
def test_options_of_a_wrong_type_are_refused(regressor, options):
    with pytest.raises(ConfigError, match=f"{regressor} cannot be built with .*; check types and sizes"):
        create_regressor(regressor, **options)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_know_each_other(name: str) -> None:
    network = tiny(name)
    dark_to_bright = torch.linspace(0, 1, 3)[:, None, None, None]
    lq = dark_to_bright * torch.rand(3, 3, 17, 20)
    together = network(lq)
    alone = torch.cat([network(picture) for picture in lq.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(lq[[2, 0, 1]]), together[[2, 0, 1]], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_call_changes_neither_its_input_nor_the_next_one_and_any_memory_layout_will_do(name: str) -> None:
    network, lq = tiny(name), torch.rand(2, 3, 17, 20)
    kept = lq.clone()
    expected = network(lq)
    assert torch.equal(lq, kept)
    assert torch.equal(network(lq), expected)
    strided = torch.rand(2, 6, 17, 40)[:, ::2, :, ::2].copy_(lq)  # a view with holes
    for same in (lq.contiguous(memory_format=torch.channels_last), strided):
        torch.testing.assert_close(network(same), expected, rtol=1e-4, atol=1e-5)


def test_double_precision_and_gradients_change_no_digit_that_a_picture_shows(name: str) -> None:
    network, lq = tiny(name), torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        expected = network(lq)
    with_gradients = network(lq)
    torch.testing.assert_close(with_gradients.detach(), expected.clone(), rtol=1e-4, atol=1e-5)
    wide = network.double()(lq.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), with_gradients, rtol=1e-3, atol=1e-4)


def test_what_is_read_off_the_shapes_builds_the_same_network(name: str) -> None:
    record = REGRESSORS.get(name)
    read = resolve(f"{record.target.partition(':')[0]}:options_of_checkpoint")
    with torch.device("meta"):
        network = create_regressor(name, **TINY[record.target])
        found = read(network.state_dict())
        again = create_regressor(name, **found)
    shapes, read_shapes = ({key: value.shape for key, value in one.state_dict().items()} for one in (network, again))
    assert read_shapes == shapes
    traceless = {"top_k", "pool_sizes"}  # how many are chosen, and the size of a pool that is not there
    read_options = {key: _listed(value) for key, value in found.items() if key not in traceless}
    assert read_options == {key: _listed(network.config[key]) for key in read_options}


def _listed(value: Any) -> Any:
    """Tuples as lists."""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "constant") for name in ("nafnet", "squeezed_nafnet", "instructir", "datprl_ir", "prompted_nafnet")),
        *((name, "reflect") for name in ("restormer", "restormer_biasfree", "promptir", "moce_ir", "mmfe_ir")),
    ],
)
@torch.no_grad()
def test_sides_are_filled_up_as_each_release_does(name: str, mode: str) -> None:
    network, lq = tiny(name), torch.rand(1, 3, 25, 21)
    multiple = network.size_multiple
    filled = F.pad(lq, (0, -21 % multiple, 0, -25 % multiple), mode=mode)
    torch.testing.assert_close(network(lq), network(filled)[..., :25, :21], rtol=1e-4, atol=1e-5)
    other = F.pad(lq, (0, -21 % multiple, 0, -25 % multiple), mode="reflect" if mode == "constant" else "constant")
    assert (network(lq) - network(other)[..., :25, :21]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "options", "millions"),
    [
        ("restormer", {}, 26.1266),
        ("restormer_biasfree", {}, 26.1117),
        ("restormer", {"inp_channels": 6, "dual_pixel_task": True}, 26.1325),
        ("promptir", {}, 35.592),
        ("moce_ir", {}, 25.3538),
        ("moce_ir_s", {}, 11.4778),
        ("nafnet_gopro_w32", {}, 17.1119),
        ("instructir", {}, 15.8434),
        ("datprl_ir", {}, 53.13),
        ("datprl_ir_task_only", {}, 42.56),
    ],
)
def test_networks_have_as_many_parameters_as_their_authors_print(
    name: str, options: dict[str, Any], millions: float
) -> None:
    with torch.device("meta"):
        network = create_regressor(name, **options)
    digits = len(str(millions).partition(".")[2])
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, digits) == millions
