"""What this library uses of other packages without their promise: everything that an update may take away unannounced.

`FOREIGN_INTERNALS` has a line for each, and a test that names it when it breaks. What is not listed here is public and
documented by its package; a test reads the source for private names, and for imports of modules outside
`DOCUMENTED_MODULES`, that are missing here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignInternal:
    """One thing that another package has, but does not promise."""

    package: str
    """Whose it is."""
    name: str
    """Where it lies there; words where it is the shape of a class rather than one name."""
    why: str
    """What it is used for, and why nothing public serves."""


def _of(package: str, name: str, why: str) -> ForeignInternal:
    """One line of the list."""
    return ForeignInternal(package=package, name=name, why=why)


FOREIGN_INTERNALS = (
    _of(
        "torch",
        "nn.Module._forward_hooks",
        "whether a U-Net has injection layers attached already, also where it was copied with them",
    ),
    _of(
        "torch",
        "Tensor._version",
        "how often a weight was written to, so that unchanged networks are not hashed anew",
    ),
    _of(
        "torch",
        "OptimizedModule._orig_mod",
        "the network inside what torch.compile returns; see `uncompiled`",
    ),
    _of(
        "torch",
        "utils._python_dispatch.TorchDispatchMode",
        "sees each operation of a call, to count multiplications where hooks on modules would not bear the call",
    ),
    _of(
        "torch",
        "OpOverload._overloadpacket",
        "the operation of which it is one overload: by these torch keeps the formulas that count multiplications",
    ),
    _of(
        "torch",
        "ops.aten._scaled_dot_product_flash_attention_for_cpu",
        "attention on the CPU, of which torch has no formula that counts multiplications; it takes that of "
        "_scaled_dot_product_flash_attention, the same on a GPU",
    ),
    _of(
        "torch",
        "distributed.elastic.multiprocessing.api.SignalException",
        "what the launcher raises when it was told to end, and has told its processes",
    ),
    _of(
        "torch",
        "distributed.nn.functional.all_gather",
        "the routings of all processes, with gradients, which `torch.distributed.all_gather` does not pass",
    ),
    _of(
        "diffusers",
        "config._name_or_path",
        "the name of the model that a part came from; diffusers saves it, and gives no other access to it",
    ),
    _of(
        "diffusers",
        "config._class_name",
        "which class a saved folder holds; part of the file format",
    ),
    _of(
        "diffusers",
        "DiffusionPipeline._execution_device",
        "where a pipeline computes while its parts are off-loaded; `device` says where they rest",
    ),
    _of(
        "diffusers",
        "DiffusionPipeline._all_hooks",
        "sends the vision tower back to the CPU after its last use, before the denoising",
    ),
    _of(
        "diffusers",
        "DiffusionPipeline._exclude_from_cpu_offload",
        "how a pipeline says which parts work inside others and are not moved by themselves",
    ),
    _of(
        "diffusers",
        "DiffusionPipeline._optional_components",
        "how a pipeline says which parts may be missing",
    ),
    _of(
        "diffusers",
        "ModelMixin._supports_gradient_checkpointing",
        "how a network says that it has no checkpointing of its own",
    ),
    _of(
        "diffusers",
        "block._gradient_checkpointing_func",
        "checkpointed blocks of a U-Net keep the features of their forward pass, and the refined decoder is "
        "checkpointed as the autoencoder's own",
    ),
    _of(
        "diffusers",
        "models.attention.AttentionModuleMixin",
        "lets set_attention_backend reach our own attention: _default_processor_cls and _supports_qkv_fusion on the "
        "module, _attention_backend and _parallel_config on its processor",
    ),
    _of(
        "diffusers",
        "models.attention_dispatch.dispatch_attention_fn",
        "attention by the backend that is set, as diffusers' own networks call it",
    ),
    _of(
        "diffusers",
        "models.attention_dispatch.AttentionBackendName",
        "the type of the backend that is set",
    ),
    _of(
        "diffusers",
        "models.attention_processor.Attention",
        "the classic attention of the U-Net, whose norms and projections our processor calls in the order of "
        "AttnProcessor2_0, since that one ignores set_attention_backend",
    ),
    _of(
        "diffusers",
        "models.attention_processor.AttnProcessor2_0",
        "the processor that gives way; any other was chosen by the user, and stays",
    ),
    _of(
        "diffusers",
        "utils.accelerate_utils.apply_forward_hook",
        "moves an off-loaded network before a method other than forward runs",
    ),
    _of(
        "diffusers",
        "models.embeddings.Timesteps",
        "sines and cosines of the timestep, as the published fusion layers take them",
    ),
    _of(
        "diffusers",
        "models.embeddings.TimestepEmbedding",
        "the two layers behind them, under the names of the published weights",
    ),
    _of(
        "diffusers",
        "models.autoencoders.vae.Encoder",
        "the published encoder of damaged pictures is that of an autoencoder, without its decoder",
    ),
    _of(
        "diffusers",
        "loaders.single_file_utils.convert_ldm_unet_checkpoint",
        "the keys of the original Stable Diffusion's U-Net in diffusers' layout",
    ),
    _of(
        "diffusers",
        "loaders.single_file_utils.convert_ldm_vae_checkpoint",
        "the keys of the original Stable Diffusion's autoencoder in diffusers' layout",
    ),
    _of(
        "diffusers",
        "blocks of UNet2DConditionModel",
        "injection enters behind the second convolution of every residual block: down_blocks, mid_block and up_blocks, "
        "their resnets, and conv2 and out_channels of these",
    ),
    _of(
        "diffusers",
        "stages of AutoencoderKL",
        "refinement enters between the levels of encoder and decoder: conv_in, down_blocks or up_blocks with their "
        "resnets and samplers, mid_block, conv_norm_out, conv_act, conv_out, quant_conv and post_quant_conv",
    ),
    _of(
        "diffusers",
        "switches of AutoencoderKL",
        "enable_tiling and enable_slicing are obeyed by the refined decoder: use_tiling, use_slicing, "
        "tile_latent_min_size and tile_overlap_factor",
    ),
    _of(
        "accelerate",
        "commands.launch",
        "`ldrestore train` on several devices starts the module behind `accelerate launch`, which need not be on PATH",
    ),
    _of(
        "gradio",
        "FileData.meta._type",
        "marks a value of an HTTP call as an uploaded file; sent on without it, the page fails far inside gradio",
    ),
)
"""Everything that is used without a promise."""

DOCUMENTED_MODULES = frozenset(
    {
        "accelerate",
        "accelerate.logging",
        "accelerate.utils",
        "torch.distributed.elastic.multiprocessing.errors",
        "diffusers",
        "diffusers.configuration_utils",
        "diffusers.utils",
        "diffusers.utils.logging",
        "huggingface_hub",
        "huggingface_hub.errors",
        "huggingface_hub.utils",
        "peft",
        "torch",
        "torch.distributed.tensor",
        "torch.nn",
        "torch.nn.functional",
        "torch.nn.utils.parametrizations",
        "torch.onnx",
        "torch.overrides",
        "torch.utils.checkpoint",
        "torch.utils.data",
        "torch.utils.flop_counter",
        "torch.utils.hooks",
        "transformers",
        "transformers.utils.logging",
    }
)
"""Modules of these packages whose names may be imported without a line in the list."""
