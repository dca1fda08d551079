"""Sets of mixtures, of single domains, of enlargement, and of one's own pictures."""

from ldrestore.evaluation.benchmark_record import BenchmarkRecord, SetLayout, folders_of_clean, folders_of_pairs

_RESEARCH = "research"
_UNSTATED = "none stated"

BUILTIN = "builtin"
"""The set whose pictures come with the library; it needs no data root."""

CDD11_TYPES = (
    "low",
    "haze",
    "rain",
    "snow",
    "low_haze",
    "low_rain",
    "low_snow",
    "haze_rain",
    "haze_snow",
    "low_haze_rain",
    "low_haze_snow",
)
"""Folders of CDD11 beside `clear`, in the order of the papers' tables."""

CDD11_SETS = tuple(
    BenchmarkRecord(
        name=f"cdd11_{kind}",
        title=f"CDD11 {kind}, test",
        task=f"cdd11/{kind}",
        layouts=(
            folders_of_pairs(f"CDD-11_test/{kind}", "CDD-11_test/clear"),
            folders_of_pairs(f"cdd11/test/{kind}", "cdd11/test/clear", source="MoCE-IR"),
        ),
        num_pictures=200,
        terms=_RESEARCH,
        source="Guo et al. 2024, OneRestore",
        is_tested=True,
    )
    for kind in CDD11_TYPES
)

MID6_TYPES = (
    "haze_noise_blur",
    "low_light_noise_blur",
    "rain_noise_blur",
    "rain_raindrop_noise",
    "raindrop_noise_blur",
    "snow_noise_blur",
)
"""Mixtures of MID6, in the order of the paper's table."""

OTHER_SETS = (
    *(
        BenchmarkRecord(
            name=f"mid6_{kind}",
            title=f"MID6 {kind}",
            task=f"mid6/{kind}",
            layouts=(folders_of_pairs(f"MID6/{kind}/lq", f"MID6/{kind}/gt", source="two folders of equal stems"),),
            num_pictures=None,
            terms="not published",
            source="Ai et al. 2024, MPerceiver; the suite mid6 makes such mixtures of clean pictures instead",
        )
        for kind in MID6_TYPES
    ),
    *(
        BenchmarkRecord(
            name=f"udc_{kind.lower()}",
            title=f"UDC {kind}, validation",
            task="under_display",
            layouts=(
                folders_of_pairs(f"UDC/{kind}/val/LQ", f"UDC/{kind}/val/HQ"),
                folders_of_pairs(f"{kind}/LQ", f"{kind}/HQ"),
            ),
            num_pictures=30,
            terms=_RESEARCH,
            source="Zhou et al. 2021",
        )
        for kind in ("TOLED", "POLED")
    ),
    BenchmarkRecord(
        name="uieb",
        title="UIEB, 90 pairs",
        task="underwater",
        layouts=(
            folders_of_pairs("UIEB/test/raw", "UIEB/test/reference"),
            folders_of_pairs("UIEB/raw-90", "UIEB/reference-90"),
        ),
        num_pictures=90,
        terms=_RESEARCH,
        source="Li et al. 2020; papers draw their own 90 of its 890 pairs",
        leaks=("which 90 pairs a paper tests on is rarely said",),
    ),
    BenchmarkRecord(
        name="uwcnn",
        title="UWCNN, 110 pairs",
        task="underwater",
        layouts=(folders_of_pairs("UWCNN/test/input", "UWCNN/test/target"),),
        num_pictures=110,
        terms=_UNSTATED,
        source="Li et al. 2020; synthetic",
    ),
    BenchmarkRecord(
        name="underwater",
        title="FUnIE-GAN, paired",
        task="underwater",
        layouts=(folders_of_pairs("underwater/lq", "underwater/gt", source="two folders of equal stems"),),
        num_pictures=None,
        terms="MIT",
        source="Islam et al. 2020",
        is_tested=True,
    ),
    BenchmarkRecord(
        name="live1",
        title="LIVE1",
        task="clean",
        layouts=folders_of_clean("LIVE1", "live1"),
        num_pictures=29,
        terms=_RESEARCH,
        source="Sheikh et al. 2005",
    ),
    BenchmarkRecord(
        name="div2k",
        title="DIV2K, validation",
        task="clean",
        layouts=folders_of_clean("DIV2K/DIV2K_valid_HR", "DIV2K_valid_HR"),
        num_pictures=100,
        terms="academic research",
        source="Agustsson and Timofte 2017",
    ),
    *(
        BenchmarkRecord(
            name=f"realsr_x{scale}",
            title=f"RealSR v3 x{scale}, test",
            task="downscale",
            layouts=(
                SetLayout(
                    lq=f"RealSR(V3)/*/Test/{scale}/*_LR{scale}.*",
                    gt=f"RealSR(V3)/*/Test/{scale}/*_HR.*",
                    lq_key=rf"([^/]+)_LR{scale}",
                    gt_key=r"([^/]+)_HR",
                ),
            ),
            num_pictures=100,
            terms=_RESEARCH,
            source="Cai et al. 2019; both sides have one size",
        )
        for scale in (2, 3, 4)
    ),
    BenchmarkRecord(
        name="drealsr_x4",
        title="DRealSR x4, test",
        task="downscale",
        layouts=(
            SetLayout(
                lq="DRealSR/x4/Test_x4/test_LR/*",
                gt="DRealSR/x4/Test_x4/test_HR/*",
                lq_key=r"([^/]+)_x1\.",
                gt_key=r"([^/]+)_x4\.",
            ),
        ),
        num_pictures=93,
        terms=_RESEARCH,
        source="Wei et al. 2020; the result is four times as large as the input",
    ),
    BenchmarkRecord(
        name="ixi",
        title="IXI, MRI super-resolution",
        task="mri_undersample",
        layouts=(folders_of_pairs("IXI/test/LQ", "IXI/test/HQ", source="DATPRL-IR"),),
        num_pictures=None,
        terms="CC BY-SA 3.0",
        source="https://brain-development.org/ixi-dataset",
    ),
    BenchmarkRecord(
        name="aapm",
        title="AAPM, low-dose CT",
        task="ct_low_dose",
        layouts=(folders_of_pairs("AAPM/test/LQ", "AAPM/test/HQ", source="DATPRL-IR"),),
        num_pictures=None,
        terms=_RESEARCH,
        source="McCollough et al. 2017",
    ),
    BenchmarkRecord(
        name="ucmerced",
        title="UCMerced, super-resolution",
        task="aerial_downscale",
        layouts=(folders_of_pairs("UCMerced/test/LQ", "UCMerced/test/HQ", source="DATPRL-IR"),),
        num_pictures=None,
        terms="public domain (USGS)",
        source="Yang and Newsam 2010",
    ),
    *(
        BenchmarkRecord(
            name=f"cuhk_cr{number}",
            title=f"CUHK-CR{number}, test",
            task="cloud",
            layouts=(folders_of_pairs(f"CUHK-CR{number}/test/cloud", f"CUHK-CR{number}/test/label"),),
            num_pictures=None,
            terms=_RESEARCH,
            source="Sui et al. 2024",
        )
        for number in (1, 2)
    ),
    BenchmarkRecord(
        name="real_no_gt",
        title="real photographs without ground truth",
        task="real",
        layouts=(SetLayout(lq="real_no_gt/**/*", gt=None, lq_key=r"(.+)\.[^./]+$"),),
        num_pictures=None,
        terms="those of each picture",
        source="a folder of one's own",
        is_tested=True,
    ),
    BenchmarkRecord(
        name="clean",
        title="clean pictures of one's own",
        task="clean",
        layouts=folders_of_clean("clean"),
        num_pictures=None,
        terms="those of each picture",
        source="a folder of one's own, which suites degrade",
        is_tested=True,
    ),
    BenchmarkRecord(
        name=BUILTIN,
        title="pictures of the library",
        task="clean",
        layouts=(),
        num_pictures=4,
        terms="public domain and CC0",
        source="scikit-image's pictures, cut",
        is_tested=True,
    ),
)
