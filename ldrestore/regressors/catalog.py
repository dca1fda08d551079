"""Static records of all regressors; importing this imports no torch."""

from types import MappingProxyType
from typing import Any, NamedTuple

from ldrestore.registry import Registry, RegressorRecord
from ldrestore.structures import FIRST_SET

REGRESSORS: Registry[RegressorRecord] = Registry("regressor")

_NAFNET_SOURCE = "Chen et al. 2022, Simple Baselines for Image Restoration, https://arxiv.org/abs/2204.04676"
_SIDD: dict[str, Any] = {"enc_blk_nums": (2, 2, 4, 8), "middle_blk_num": 12, "dec_blk_nums": (2, 2, 2, 2)}
_GOPRO: dict[str, Any] = {"enc_blk_nums": (1, 1, 1, 28), "middle_blk_num": 1, "dec_blk_nums": (1, 1, 1, 1)}


class _Cost(NamedTuple):
    """What a layout takes."""

    bytes_per_pixel: int
    parameters: int
    macs: int


def _register_nafnet(
    name: str,
    *,
    tasks: tuple[str, ...],
    cost: _Cost,
    options: dict[str, Any],
    licence: str = "MIT",
) -> None:
    """Register one layout of NAFNet."""
    REGRESSORS.register(
        RegressorRecord(
            name=name,
            target="ldrestore.regressors.nafnet:NAFNet",
            options=MappingProxyType(options),
            size_multiple=16,
            bytes_per_pixel=cost.bytes_per_pixel,
            parameters=cost.parameters,
            macs=cost.macs,
            tasks=tasks,
            source=_NAFNET_SOURCE,
            licence=licence,
            is_one_layout=name != "nafnet",
            signature_keys=("intro.weight", "ending.weight", "middle_blks.0.beta", "middle_blks.0.sca.1.weight"),
        )
    )


_SIDD_W32 = _Cost(bytes_per_pixel=1600, parameters=29_159_715, macs=16_045_035_520)
_SIDD_W64 = _Cost(bytes_per_pixel=3200, parameters=115_982_915, macs=63_236_423_680)
_GOPRO_W32 = _Cost(bytes_per_pixel=1600, parameters=17_111_907, macs=15_956_027_392)
_GOPRO_W64 = _Cost(bytes_per_pixel=3200, parameters=67_888_835, macs=63_054_979_072)

_register_nafnet("nafnet", tasks=("real_noise",), cost=_SIDD_W32, options={"width": 32, **_SIDD})
_register_nafnet("nafnet_sidd_w32", tasks=("real_noise",), cost=_SIDD_W32, options={"width": 32, **_SIDD})
_register_nafnet("nafnet_sidd_w64", tasks=("real_noise",), cost=_SIDD_W64, options={"width": 64, **_SIDD})
_register_nafnet("nafnet_gopro_w32", tasks=("motion_blur",), cost=_GOPRO_W32, options={"width": 32, **_GOPRO})
_register_nafnet("nafnet_gopro_w64", tasks=("motion_blur",), cost=_GOPRO_W64, options={"width": 64, **_GOPRO})
_register_nafnet("nafnet_reds_w64", tasks=("motion_blur", "jpeg"), cost=_GOPRO_W64, options={"width": 64, **_GOPRO})
_SMALL: dict[str, Any] = {
    "width": 40,
    "enc_blk_nums": (2, 2, 4),
    "middle_blk_num": 2,
    "dec_blk_nums": (2, 2, 2),
    "squeeze": 2,
}
"""The small body for CPUs."""

_register_nafnet(
    "squeezed_nafnet",
    tasks=FIRST_SET,
    cost=_Cost(bytes_per_pixel=700, parameters=3_352_624, macs=3_135_304_960),
    options={"is_affine": True, **_SMALL},
    licence="Apache-2.0",
)
REGRESSORS.register(
    RegressorRecord(
        name="prompted_nafnet",
        target="ldrestore.regressors.prompted_nafnet:PromptedNAFNet",
        options=MappingProxyType({**_SMALL, "degradations": FIRST_SET}),
        size_multiple=16,
        bytes_per_pixel=700,
        parameters=3_723_558,
        macs=3_214_280_704,
        tasks=FIRST_SET,
        source=f"{_NAFNET_SOURCE}; prompts after DATPRL-IR",
        licence="Apache-2.0",
        gives_estimate=True,
        shows_usage=True,
        signature_keys=("body.intro.weight", "pool.keys", "pool.values", "estimator.weight"),
    )
)

REGRESSORS.register(
    RegressorRecord(
        name="grid_nafnet",
        target="ldrestore.regressors.grid_nafnet:GridNAFNet",
        options=MappingProxyType(
            {
                "width": 40,
                "enc_blk_nums": (3, 3, 6),
                "middle_blk_num": 4,
                "dec_blk_nums": (3, 3, 4),
                "squeeze": 2,
                "degradations": FIRST_SET,
            }
        ),
        size_multiple=16,
        bytes_per_pixel=700,
        parameters=6_675_683,
        macs=5_025_359_104,
        tasks=FIRST_SET,
        source=f"{_NAFNET_SOURCE}; a bilateral grid after Gharbi et al. 2017, https://arxiv.org/abs/1707.02880",
        licence="Apache-2.0",
        gives_estimate=True,
        shows_usage=True,
        takes_hints=True,
        takes_whole=True,
        signature_keys=("body.intro.weight", "picture_look.to_grid.weight", "hint_to_query.weight", "estimator.weight"),
    )
)


def _register_restormer(name: str, *, tasks: tuple[str, ...], parameters: int, macs: int, norm: str) -> None:
    """Register one layout of Restormer."""
    REGRESSORS.register(
        RegressorRecord(
            name=name,
            target="ldrestore.regressors.restormer:Restormer",
            options=MappingProxyType({"dim": 48, "LayerNorm_type": norm}),
            size_multiple=8,
            bytes_per_pixel=6500,
            parameters=parameters,
            macs=macs,
            tasks=tasks,
            source="Zamir et al. 2022, Restormer, https://arxiv.org/abs/2111.09881",
            licence="Academic Public License (non-commercial)",
            is_one_layout=name != "restormer",
            signature_keys=("patch_embed.proj.weight", "latent.0.attn.temperature", "output.weight"),
        )
    )


_register_restormer(
    "restormer",
    tasks=("rain", "motion_blur", "defocus_blur", "real_noise"),
    parameters=26_126_644,
    macs=148_026_949_632,
    norm="WithBias",
)
_register_restormer(
    "restormer_biasfree", tasks=("gaussian_noise",), parameters=26_111_668, macs=148_026_949_632, norm="BiasFree"
)
REGRESSORS.register(
    RegressorRecord(
        name="promptir",
        target="ldrestore.regressors.promptir:PromptIR",
        options=MappingProxyType({"dim": 48}),
        size_multiple=8,
        bytes_per_pixel=6500,
        parameters=35_592_263,
        macs=165_612_703_008,
        tasks=("gaussian_noise", "rain", "haze"),
        source="Potlapalli et al. 2023, PromptIR, https://arxiv.org/abs/2306.13090",
        licence="Academic Public License (non-commercial)",
        shows_usage=True,
        is_one_layout=False,
        signature_keys=("patch_embed.proj.weight", "prompt1.prompt_param", "noise_level3.attn.temperature"),
    )
)
REGRESSORS.register(
    RegressorRecord(
        name="instructir",
        target="ldrestore.regressors.instructir:InstructIR",
        options=MappingProxyType({**_SIDD, "width": 32, "middle_blk_num": 4, "txtdim": 256}),
        size_multiple=16,
        bytes_per_pixel=1600,
        parameters=15843363,
        macs=16166041600,
        tasks=("gaussian_noise", "motion_blur", "rain", "haze", "low_light", "downscale"),
        source="Conde et al. 2024, InstructIR: High-Quality Image Restoration Following Human Instructions, "
        "https://arxiv.org/abs/2401.16468",
        licence="MIT",
        takes_embedding=True,
        is_one_layout=False,
        signature_keys=("intro.weight", "ending.weight", "enc_cond.0.gamma", "dec_cond.0.gamma"),
    )
)
REGRESSORS.register(
    RegressorRecord(
        name="mmfe_ir",
        target="ldrestore.regressors.mmfe_ir:MMFEIR",
        options=MappingProxyType({"dim": 48, "embedding_width": 2048}),
        size_multiple=8,
        bytes_per_pixel=7000,
        parameters=37_502_594,
        macs=175_036_958_112,
        tasks=("gaussian_noise", "rain", "haze", "motion_blur", "low_light", "snow"),
        source="Lee et al. 2026, Leveraging Multimodal Large Language Models for All-in-One Image Restoration via a "
        "Mixture of Frequency Experts, https://arxiv.org/abs/2605.11444; reconstructed, matches the printed parameter "
        "counts",
        licence="none published",
        takes_embedding=True,
        auxiliary_losses=("guidance_matching",),
        shows_usage=True,
        shows_expert_maps=True,
        is_one_layout=False,
        signature_keys=("patch_embed.proj.weight", "fusions.encoder_4.q.weight", "mofe.encoder_4.router.weight"),
    )
)


def _register_datprl_ir(
    name: str,
    *,
    tasks: tuple[str, ...],
    parameters: int,
    macs: int,
    domain_source: str,
    licence: str = "none stated",
    **abilities: bool,
) -> None:
    """Register one layout of DATPRL-IR."""
    REGRESSORS.register(
        RegressorRecord(
            name=name,
            target="ldrestore.regressors.datprl_ir:DATPRLIR",
            options=MappingProxyType({"domain_source": domain_source}),
            size_multiple=8,
            bytes_per_pixel=7000,
            parameters=parameters,
            macs=macs,
            tasks=tasks,
            source="Dong et al. 2026, Learning Domain-Aware Task Prompt Representations for Multi-Domain All-in-One "
            "Image Restoration, https://arxiv.org/abs/2603.01725",
            licence=licence,
            auxiliary_losses=("alignment", "diversity", "balance", "contrastive"),
            shows_usage=True,
            is_one_layout=name != "datprl_ir",
            signature_keys=("patch_embed.proj.weight", "latent_blocks.0.attn.temperature", "output.weight"),
            **abilities,
        )
    )


_MULTI_DOMAIN = ("downscale", "mri_undersample", "aerial_downscale", "rain", "cloud", "ct_low_dose")

_register_datprl_ir(
    "datprl_ir",
    tasks=_MULTI_DOMAIN,
    parameters=53_133_552,
    macs=160_856_408_576,
    domain_source="pool",
    aligns_to_embedding=True,
)
_register_datprl_ir(
    "datprl_ir_task_only",
    tasks=("gaussian_noise", "rain", "haze", "motion_blur", "low_light"),
    parameters=42_563_115,
    macs=160_845_157_376,
    domain_source="none",
)
_register_datprl_ir(  # an ablation of the paper, published without weights
    "datprl_ir_text",
    tasks=_MULTI_DOMAIN,
    parameters=50_960_939,
    macs=160_853_548_032,
    domain_source="text",
    licence="Apache-2.0",
    takes_embedding=True,
)


def _register_moce_ir(name: str, *, dim: int, bytes_per_pixel: int, parameters: int, macs: int) -> None:
    """Register one size of MoCE-IR; its operations are those of the dearest experts, an upper bound."""
    REGRESSORS.register(
        RegressorRecord(
            name=name,
            target="ldrestore.regressors.moce_ir:MoCEIR",
            options=MappingProxyType({"dim": dim}),
            size_multiple=8,
            bytes_per_pixel=bytes_per_pixel,
            parameters=parameters,
            macs=macs,
            tasks=("gaussian_noise", "rain", "haze", "motion_blur", "low_light"),
            source="Zamfir et al. 2025, Complexity Experts are Task-Discriminative Learners for Any Image Restoration, "
            "https://arxiv.org/abs/2411.18466",
            licence="Apache-2.0",
            auxiliary_losses=("balance",),
            shows_usage=True,
            routes_to_one=True,
            is_one_layout=name != "moce_ir",
            signature_keys=(
                "patch_embed.proj.weight",
                "freq_embed.high_conv.0.conv.weight",
                "dec.2.2.layers.0.adapter.routing.complexity",
                "dec.2.2.layers.0.adapter.experts.0.0.proj.0.weight",
            ),
        )
    )


_register_moce_ir("moce_ir", dim=48, bytes_per_pixel=4200, parameters=25_353_796, macs=100_459_089_792)
_register_moce_ir("moce_ir_s", dim=32, bytes_per_pixel=3000, parameters=11_477_752, macs=46_236_579_072)
