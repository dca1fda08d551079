"""Static records of all regressors; importing this imports no torch."""

from types import MappingProxyType
from typing import Any

from ldrestore.registry import Registry, RegressorRecord
from ldrestore.structures import FIRST_SET

REGRESSORS: Registry[RegressorRecord] = Registry("regressor")

_NAFNET_SOURCE = "Chen et al. 2022, Simple Baselines for Image Restoration, https://arxiv.org/abs/2204.04676"
_SIDD = {"enc_blk_nums": (2, 2, 4, 8), "middle_blk_num": 12, "dec_blk_nums": (2, 2, 2, 2)}
_GOPRO = {"enc_blk_nums": (1, 1, 1, 28), "middle_blk_num": 1, "dec_blk_nums": (1, 1, 1, 1)}


def _register_nafnet(
    name: str, *, tasks: tuple[str, ...], size_multiple: int = 16, bytes_per_pixel: int, licence: str, **options: Any
) -> None:
    """Register one layout of NAFNet."""
    REGRESSORS.register(
        RegressorRecord(
            name=name,
            target="ldrestore.regressors.nafnet:NAFNet",
            options=MappingProxyType(options),
            size_multiple=size_multiple,
            bytes_per_pixel=bytes_per_pixel,
            tasks=tasks,
            source=_NAFNET_SOURCE,
            licence=licence,
            is_one_layout=name != "nafnet",
            signature_keys=("intro.weight", "ending.weight", "middle_blks.0.beta", "middle_blks.0.sca.1.weight"),
        )
    )


_register_nafnet("nafnet", tasks=("real_noise",), bytes_per_pixel=1600, licence="MIT", width=32, **_SIDD)
_register_nafnet("nafnet_sidd_w32", tasks=("real_noise",), bytes_per_pixel=1600, licence="MIT", width=32, **_SIDD)
_register_nafnet("nafnet_sidd_w64", tasks=("real_noise",), bytes_per_pixel=3200, licence="MIT", width=64, **_SIDD)
_register_nafnet("nafnet_gopro_w32", tasks=("motion_blur",), bytes_per_pixel=1600, licence="MIT", width=32, **_GOPRO)
_register_nafnet("nafnet_gopro_w64", tasks=("motion_blur",), bytes_per_pixel=3200, licence="MIT", width=64, **_GOPRO)
_register_nafnet(
    "nafnet_reds_w64", tasks=("motion_blur", "jpeg"), bytes_per_pixel=3200, licence="MIT", width=64, **_GOPRO
)
_SMALL = {"width": 40, "enc_blk_nums": (2, 2, 4), "middle_blk_num": 2, "dec_blk_nums": (2, 2, 2), "squeeze": 2}
"""The small body for CPUs."""

_register_nafnet(
    "squeezed_nafnet", tasks=FIRST_SET, bytes_per_pixel=700, licence="Apache-2.0", is_affine=True, **_SMALL
)
REGRESSORS.register(
    RegressorRecord(
        name="prompted_nafnet",
        target="ldrestore.regressors.prompted_nafnet:PromptedNAFNet",
        options=MappingProxyType({**_SMALL, "degradations": FIRST_SET}),
        size_multiple=16,
        bytes_per_pixel=700,
        tasks=FIRST_SET,
        source=f"{_NAFNET_SOURCE}; prompts after DATPRL-IR",
        licence="Apache-2.0",
        gives_estimate=True,
        signature_keys=("body.intro.weight", "pool.keys", "pool.values", "estimator.weight"),
    )
)
REGRESSORS.register(
    RegressorRecord(
        name="instructir",
        target="ldrestore.regressors.instructir:InstructIR",
        options=MappingProxyType({**_SIDD, "width": 32, "middle_blk_num": 4, "txtdim": 256}),
        size_multiple=16,
        bytes_per_pixel=1600,
        tasks=("gaussian_noise", "motion_blur", "rain", "haze", "low_light", "downscale"),
        source="Conde et al. 2024, InstructIR: High-Quality Image Restoration Following Human Instructions, "
        "https://arxiv.org/abs/2401.16468",
        licence="MIT",
        takes_embedding=True,
        is_one_layout=False,
        signature_keys=("intro.weight", "ending.weight", "enc_cond.0.gamma", "dec_cond.0.gamma"),
    )
)
