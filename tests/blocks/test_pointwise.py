import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ldrestore.blocks.pointwise import PointwiseConv2d


@pytest.fixture(params=[1, 2], ids="{} threads".format)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_position_is_a_product_with_a_matrix(threads, dtype, layout):
    layer = PointwiseConv2d(3, 5).to(dtype)
    x = torch.randn(2, 3, 4, 7, dtype=dtype).contiguous(memory_format=layout)
    expected = torch.einsum("oi,bihw->bohw", layer.weight[:, :, 0, 0], x) + layer.bias[:, None, None]
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(layer(x), expected, **tolerance)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected, **tolerance)


def test_gradients_are_those_of_a_convolution():
    ours, plain = PointwiseConv2d(3, 5), nn.Conv2d(3, 5, 1)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 4, 7)
    for layer in (ours, plain):
        layer(x).square().mean().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
def test_restoring_on_one_thread_goes_by_the_quick_routine(threads):
    layer, x = PointwiseConv2d(16, 16), torch.randn(1, 16, 64, 64)  # it leaves small maps alone
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as recording:
        layer(x)
    assert "aten::mkldnn_convolution" in {event.key for event in recording.key_averages()}


def test_what_is_exported_has_no_dilation(threads):
    with torch.no_grad():
        program = torch.export.export(PointwiseConv2d(3, 5), (torch.randn(1, 3, 4, 4),))
    (call,) = [node for node in program.graph.nodes if "conv" in str(node.target)]
    assert [2, 2] not in call.args
