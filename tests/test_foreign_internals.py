"""Each test here names what another package took away, or what the list of such things lacks."""

import ast
import importlib.util
import inspect
import re

import diffusers
import pytest
import torch
import transformers
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from foreign_internals import DOCUMENTED_MODULES, FOREIGN_INTERNALS
from foreign_names import private_names, read_scripts, undocumented_imports
from syntax_trees import parse_module, read_modules
from torch import nn

from ldrestore.adapters.attachment import attach
from ldrestore.adapters.dispatching_attention import DispatchingAttnProcessor, dispatch_attention
from ldrestore.adapters.injection import InjectionLayers
from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.weights.compiled import uncompiled
from tests.adapters.conftest import tiny_unet
from tests.tiny_autoencoder import make_vae
from tests.tiny_stable import tiny_stable

FOREIGN_BASES = (DiffusionPipeline, ModelMixin, ConfigMixin, AttentionModuleMixin, nn.Module, torch.autograd.Function)


@pytest.fixture(scope="module")
def modules():
    return [*read_modules(), *read_scripts()]


@pytest.fixture(scope="module")
def stable():
    return tiny_stable()


def listed(name):
    """Whether a word occurs in the list."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", f"{one.name} {one.why}") for one in FOREIGN_INTERNALS)


def has(thing, *names):
    return all(hasattr(thing, name) for name in names)


def hooks_of_a_module(stable):
    module = nn.Linear(1, 1)
    handle = module.register_forward_hook(lambda *_: None)
    return len(module._forward_hooks) == 1 and not handle.remove() and not module._forward_hooks


def version_of_a_tensor(stable):
    tensor = torch.zeros(1)
    before = tensor._version
    tensor.add_(1)
    return tensor._version > before


def inside_of_a_compiled_network(stable):
    module = nn.Linear(1, 1)
    return uncompiled(torch.compile(module)) is module and uncompiled(module) is module


def name_in_the_config(stable):
    network = tiny_unet()
    network.register_to_config(_name_or_path="owner/name")
    return network.config["_name_or_path"] == "owner/name" and '"_name_or_path"' in network.to_json_string()


def class_in_the_saved_config(stable):
    return '"_class_name": "UNet2DConditionModel"' in tiny_unet().to_json_string()


def device_of_execution(stable):
    return stable._execution_device == torch.device("cpu")


def hooks_of_offloading(stable):
    stable.enable_model_cpu_offload(device="cpu")
    hooks = list(stable._all_hooks)
    stable.remove_all_hooks()
    return hooks and all(isinstance(hook.model, nn.Module) and callable(hook.offload) for hook in hooks)


def parts_kept_from_offloading(stable):
    return isinstance(DiffusionPipeline._exclude_from_cpu_offload, list)


def optional_parts(stable):
    return isinstance(DiffusionPipeline._optional_components, list)


def checkpointing_of_a_network(stable):
    return ModelMixin._supports_gradient_checkpointing is False


def checkpointing_of_a_block(stable):
    unet, vae = tiny_unet(), make_vae()
    unet.enable_gradient_checkpointing()
    vae.enable_gradient_checkpointing()
    blocks = (*unet.down_blocks, *unet.up_blocks, vae.decoder)
    return all(block.gradient_checkpointing and callable(block._gradient_checkpointing_func) for block in blocks)


def backend_of_our_attention(stable):
    class Network(ModelMixin):
        def __init__(self):
            super().__init__()
            self.attention = DispatchedAttention()

    network = Network()
    network.set_attention_backend("native")
    processor = network.attention.processor
    is_mixin = has(AttentionModuleMixin, "_default_processor_cls", "_supports_qkv_fusion")
    return is_mixin and processor._attention_backend is not None


def attention_by_the_dispatcher(stable):
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    query, key, value = torch.randn(3, 1, 4, 2, 8)
    answer = dispatch_attention_fn(query, key, value, attn_mask=None, backend=None, parallel_config=None)
    expected = nn.functional.scaled_dot_product_attention(*(one.transpose(1, 2) for one in (query, key, value)))
    return torch.allclose(answer, expected.transpose(1, 2), atol=1e-6)


def names_of_backends(stable):
    from diffusers.models.attention_dispatch import AttentionBackendName

    return AttentionBackendName("native") is AttentionBackendName.NATIVE


def classic_attention(stable):
    torch.manual_seed(0)
    attention = Attention(8, heads=2, dim_head=4, norm_num_groups=2, residual_connection=True).eval()
    pictures = torch.randn(2, 8, 3, 3)
    expected = attention(pictures)
    attention.set_processor(DispatchingAttnProcessor())
    return torch.equal(attention(pictures), expected)


def default_processor(stable):
    unet = tiny_unet()
    attentions = [module for module in unet.modules() if isinstance(module, Attention)]
    is_default = all(type(one.processor) is AttnProcessor2_0 for one in attentions)
    return attentions and is_default and len(dispatch_attention(unet)) == len(attentions)


def hook_before_a_method(stable):
    from diffusers.utils.accelerate_utils import apply_forward_hook

    class Hook:
        calls = 0

        def pre_forward(self, module):
            self.calls += 1

    class Network(nn.Module):
        @apply_forward_hook
        def encode(self):
            return 3

    network = Network()
    network._hf_hook = Hook()
    return network.encode() == 3 and network._hf_hook.calls == 1


def keys_of_the_unet(stable):
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    places = ("0.0", "1.0.in_layers.0", "2.0.in_layers.0")
    weights = {f"model.diffusion_model.input_blocks.{place}.weight": torch.zeros(1) for place in places}
    found = convert_ldm_unet_checkpoint(weights, {"layers_per_block": 2})
    return list(found) == ["conv_in.weight", *(f"down_blocks.0.resnets.{place}.norm1.weight" for place in (0, 1))]


def keys_of_the_autoencoder(stable):
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    key = "first_stage_model.encoder.down.0.block.0.norm1.weight"
    found = convert_ldm_vae_checkpoint({key: torch.zeros(1)}, make_vae().config)
    return list(found) == ["encoder.down_blocks.0.resnets.0.norm1.weight"]


def blocks_of_the_unet(stable):
    unet = tiny_unet()
    blocks = (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
    attach(unet, InjectionLayers.for_unet(unet, feature_channels=4)).detach()
    return all(has(resnet, "conv2", "out_channels") for block in blocks for resnet in block.resnets)


def stages_of_the_autoencoder(stable):
    vae = make_vae()
    ends = ("conv_in", "mid_block", "conv_norm_out", "conv_act", "conv_out")
    samplers = [
        *(has(block, "resnets", "downsamplers") for block in vae.encoder.down_blocks),
        *(has(block, "resnets", "upsamplers") for block in vae.decoder.up_blocks),
    ]
    is_whole = has(vae.encoder, *ends) and has(vae.decoder, *ends) and has(vae, "quant_conv", "post_quant_conv")
    return is_whole and samplers and all(samplers)


def switches_of_the_autoencoder(stable):
    vae = make_vae()
    before = (vae.use_tiling, vae.use_slicing)
    vae.enable_tiling()
    vae.enable_slicing()
    is_sized = isinstance(vae.tile_latent_min_size, int) and 0 < vae.tile_overlap_factor < 1
    return before == (False, False) and vae.use_tiling and vae.use_slicing and is_sized


def mode_that_sees_operations(stable):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            return func(*args, **(kwargs or {}))

    with Counter() as counter:
        torch.zeros(2) + 1
    return counter.calls >= 2


def operation_of_an_overload(stable):
    return torch.ops.aten.mm.default._overloadpacket is torch.ops.aten.mm


def attention_of_the_processor(stable):
    from torch.utils.flop_counter import flop_registry

    known = torch.ops.aten._scaled_dot_product_flash_attention
    return has(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu") and known in flop_registry


def end_of_the_launcher(stable):
    from torch.distributed.elastic.multiprocessing.api import SignalException

    return issubclass(SignalException, Exception) and SignalException("ended", 15).sigval == 15


def gathering_with_gradients(stable):
    from torch.distributed.nn.functional import all_gather

    return next(iter(inspect.signature(all_gather).parameters)) == "tensor"


def waves_of_the_timestep(stable):
    from diffusers.models.embeddings import Timesteps

    waves = Timesteps(4, flip_sin_to_cos=True, downscale_freq_shift=0)(torch.tensor([0, 7]))
    return waves.shape == (2, 4) and waves[0].tolist() == [1, 1, 0, 0]


def layers_of_the_timestep(stable):
    from diffusers.models.embeddings import TimestepEmbedding

    keys = {f"linear_{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
    return set(TimestepEmbedding(4, 8).state_dict()) == keys


def encoder_alone(stable):
    from diffusers.models.autoencoders.vae import Encoder

    sizes = {"block_out_channels": (4, 4), "layers_per_block": 1, "norm_num_groups": 2, "double_z": True}
    encoder = Encoder(3, 2, down_block_types=("DownEncoderBlock2D",) * 2, mid_block_add_attention=False, **sizes)
    return encoder(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 4, 4)


def launcher(stable):
    return importlib.util.find_spec("accelerate.commands.launch") is not None


def mark_of_an_uploaded_file(stable):
    from gradio import FileData

    return FileData(path="a.png").model_dump()["meta"] == {"_type": "gradio.FileData"}


CHECKS = {
    "nn.Module._forward_hooks": hooks_of_a_module,
    "Tensor._version": version_of_a_tensor,
    "OptimizedModule._orig_mod": inside_of_a_compiled_network,
    "utils._python_dispatch.TorchDispatchMode": mode_that_sees_operations,
    "OpOverload._overloadpacket": operation_of_an_overload,
    "ops.aten._scaled_dot_product_flash_attention_for_cpu": attention_of_the_processor,
    "distributed.elastic.multiprocessing.api.SignalException": end_of_the_launcher,
    "distributed.nn.functional.all_gather": gathering_with_gradients,
    "config._name_or_path": name_in_the_config,
    "config._class_name": class_in_the_saved_config,
    "DiffusionPipeline._execution_device": device_of_execution,
    "DiffusionPipeline._all_hooks": hooks_of_offloading,
    "DiffusionPipeline._exclude_from_cpu_offload": parts_kept_from_offloading,
    "DiffusionPipeline._optional_components": optional_parts,
    "ModelMixin._supports_gradient_checkpointing": checkpointing_of_a_network,
    "block._gradient_checkpointing_func": checkpointing_of_a_block,
    "models.attention.AttentionModuleMixin": backend_of_our_attention,
    "models.attention_dispatch.dispatch_attention_fn": attention_by_the_dispatcher,
    "models.attention_dispatch.AttentionBackendName": names_of_backends,
    "models.attention_processor.Attention": classic_attention,
    "models.attention_processor.AttnProcessor2_0": default_processor,
    "utils.accelerate_utils.apply_forward_hook": hook_before_a_method,
    "models.embeddings.Timesteps": waves_of_the_timestep,
    "models.embeddings.TimestepEmbedding": layers_of_the_timestep,
    "models.autoencoders.vae.Encoder": encoder_alone,
    "loaders.single_file_utils.convert_ldm_unet_checkpoint": keys_of_the_unet,
    "loaders.single_file_utils.convert_ldm_vae_checkpoint": keys_of_the_autoencoder,
    "blocks of UNet2DConditionModel": blocks_of_the_unet,
    "stages of AutoencoderKL": stages_of_the_autoencoder,
    "switches of AutoencoderKL": switches_of_the_autoencoder,
    "commands.launch": launcher,
    "FileData.meta._type": mark_of_an_uploaded_file,
}


@pytest.mark.parametrize("internal", FOREIGN_INTERNALS, ids=lambda internal: f"{internal.package}: {internal.name}")
def test_what_is_used_without_a_promise_is_still_there(internal, stable):
    packages = {
        "diffusers": diffusers.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    message = (
        f"{internal.package} {packages.get(internal.package, '')} changed {internal.name}, used for: {internal.why}"
    )
    try:
        is_there = CHECKS[internal.name](stable)
    except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
        pytest.fail(f"{message} ({type(error).__name__}: {error})")
    assert is_there, message


def test_every_line_of_the_list_has_its_own_check():
    assert [internal.name for internal in FOREIGN_INTERNALS] == list(CHECKS)


def test_private_names_of_others_are_listed(modules):
    unlisted = {name: places for name, places in private_names(modules).items() if not listed(name)}
    assert unlisted == {}, "list them in scripts/foreign_internals.py, or do without"


def test_undocumented_modules_of_others_are_listed(modules):
    names = {f"{internal.package}.{internal.name}" for internal in FOREIGN_INTERNALS}
    found = undocumented_imports(modules, DOCUMENTED_MODULES)
    assert {name: places for name, places in found.items() if name not in names} == {}


def test_private_names_that_our_classes_share_with_their_bases_are_listed(modules):
    theirs = {name for base in FOREIGN_BASES for name in dir(base) if name.startswith("_") and name[1] != "_"}
    theirs |= {name for name in vars(nn.Module()) if name.startswith("_")}
    shared = {}
    for module in modules:
        for node in (one for one in ast.walk(module.tree) if isinstance(one, ast.ClassDef)):
            names = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
            for child in (one for one in node.body if isinstance(one, ast.Assign | ast.AnnAssign)):
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            shared |= {name: f"{module.name}:{node.lineno}" for name in names & theirs if not listed(name)}
    assert shared == {}, "rename them, or list them in scripts/foreign_internals.py"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def f(model): return model._secret", "_secret"),
        ("def f(model): return getattr(model, '_secret', None)", "_secret"),
        ("def f(config): return config['_secret']", "_secret"),
        ("def f(model): model.register_to_config(_secret=1)", "_secret"),
        ("def f(model): model._secret = 1", "_secret"),
        ("class A:\n    def __init__(self): self._own = 1\n    def f(self): return self._own", None),
        ("def _own(): return 1\ndef f(module): return module._own()", None),
        ("def f(model): return model.__class__", None),
    ],
)
def test_a_private_name_of_others_is_found(text, name):
    assert list(private_names([parse_module("ldrestore.images.files", text)])) == ([] if name is None else [name])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from diffusers.models.attention import FeedForward", "diffusers.models.attention.FeedForward"),
        ("def f():\n    from transformers.masking_utils import causal", "transformers.masking_utils.causal"),
        ("from diffusers import UNet2DConditionModel\nimport torch\nfrom torch.nn import functional", None),
        ("from somebody.hidden import thing", None),
    ],
)
def test_an_import_of_an_undocumented_module_is_found(text, name):
    found = undocumented_imports([parse_module("ldrestore.images.files", text)], DOCUMENTED_MODULES)
    assert list(found) == ([] if name is None else [name])
