"""Sets of one degradation each: noise, rain, haze, snow, drops, blur, darkness; and clean ones."""

from ldrestore.evaluation.benchmark_record import BenchmarkRecord, SetLayout, folders_of_clean, folders_of_pairs

_RESEARCH = "research"
_UNSTATED = "none stated"

_BSD_LEAK = "every picture is one of BSDS500: nothing may be trained on BSDS500 itself, BSD400 leaves them out"
_RAIN100_LEAK = "its ground truths are pictures of BSDS500"
_DIGITS = r"(\d+)[^/]*$"

NOISE_SETS = (
    BenchmarkRecord(
        name="bsd68",
        title="CBSD68",
        task="clean",
        layouts=(
            *folders_of_clean("CBSD68", "test/denoise/bsd68", "denoise/bsd68", "denoising_testsets/CBSD68"),
            *folders_of_clean("CBSD68/original_png", "CBSD68/original"),
        ),
        num_pictures=68,
        terms="research and education",
        source="Martin et al. 2001; Roth and Black 2009",
        leaks=(_BSD_LEAK,),
        is_tested=True,
    ),
    BenchmarkRecord(
        name="urban100",
        title="Urban100",
        task="clean",
        layouts=folders_of_clean("Urban100", "test/denoise/urban100", "denoise/urban100", "Urban100/HR"),
        num_pictures=100,
        terms=_UNSTATED,
        source="Huang et al. 2015",
    ),
    BenchmarkRecord(
        name="kodak24",
        title="Kodak24",
        task="clean",
        layouts=folders_of_clean("Kodak24", "kodak24", "test/denoise/kodak24", "denoise/kodak24"),
        num_pictures=24,
        terms="free",
        source="Franzen 1999; often its 500 x 500 crops, which give other figures than the whole pictures",
    ),
    BenchmarkRecord(
        name="mcmaster",
        title="McMaster",
        task="clean",
        layouts=folders_of_clean("McMaster", "McM"),
        num_pictures=18,
        terms=_UNSTATED,
        source="Zhang et al. 2011",
    ),
    BenchmarkRecord(
        name="sidd",
        title="SIDD validation, sRGB, as pictures",
        task="real_noise",
        layouts=(
            folders_of_pairs("SIDD/input_crops", "SIDD/target_crops", source="Restormer's crops as PNG"),
            folders_of_pairs("test/SIDD/input", "test/SIDD/groundtruth", source="Restormer"),
        ),
        num_pictures=1280,
        terms="MIT",
        source="Abdelhamed et al. 2018; published as .mat files, to be unpacked to PNG",
    ),
    BenchmarkRecord(
        name="polyu",
        title="PolyU, 100 crops",
        task="real_noise",
        layouts=(
            SetLayout(
                lq="PolyU/CroppedImages/*_real.*",
                gt="PolyU/CroppedImages/*_mean.*",
                lq_key=r"([^/]+)_real\.",
                gt_key=r"([^/]+)_mean\.",
            ),
            folders_of_pairs("polyu/lq", "polyu/gt", source="two folders of equal stems"),
        ),
        num_pictures=100,
        terms="non-commercial",
        source="Xu et al. 2018; JPEG at the source",
        is_tested=True,
    ),
    BenchmarkRecord(
        name="cc15",
        title="CC, 15 crops",
        task="real_noise",
        layouts=(
            SetLayout(lq="CC15/*_real.*", gt="CC15/*_mean.*", lq_key=r"([^/]+)_real\.", gt_key=r"([^/]+)_mean\."),
        ),
        num_pictures=15,
        terms=_UNSTATED,
        source="Nam et al. 2016",
    ),
)

WEATHER_SETS = (
    BenchmarkRecord(
        name="rain100l",
        title="Rain100L",
        task="rain",
        layouts=(
            SetLayout(lq="Rain100L/rainy/*", gt="Rain100L/*.*", lq_key=r"rain-(\d+)", gt_key=r"norain-(\d+)"),
            SetLayout(lq="Rain100L/rain-*", gt="Rain100L/norain-*", lq_key=r"rain-(\d+)", gt_key=r"norain-(\d+)"),
            folders_of_pairs("Rain100L/input", "Rain100L/target", source="PromptIR"),
            folders_of_pairs("test/derain/Rain100L/input", "test/derain/Rain100L/target", source="AdaIR"),
            folders_of_pairs("derain/Rain100L/input", "derain/Rain100L/target", source="PromptIR"),
        ),
        num_pictures=100,
        terms=_RESEARCH,
        source="Yang et al. 2017",
        leaks=(_RAIN100_LEAK, "two versions of the set exist: one model has 36.74 dB on one and 38.99 on the other"),
        is_tested=True,
    ),
    BenchmarkRecord(
        name="rain100h",
        title="Rain100H",
        task="rain",
        layouts=(
            SetLayout(lq="Rain100H/rain-*", gt="Rain100H/norain-*", lq_key=r"rain-(\d+)", gt_key=r"norain-(\d+)"),
            folders_of_pairs("Rain100H/input", "Rain100H/target", source="Restormer"),
            folders_of_pairs("rain100h/lq", "rain100h/gt", source="two folders of equal stems"),
        ),
        num_pictures=100,
        terms=_RESEARCH,
        source="Yang et al. 2017",
        leaks=(_RAIN100_LEAK,),
        is_tested=True,
    ),
    BenchmarkRecord(
        name="rain1400",
        title="Rain1400, test",
        task="rain",
        layouts=(
            SetLayout(
                lq="Rain1400/rainy_image/*",
                gt="Rain1400/ground_truth/*",
                lq_key=r"(\d+)_\d+\.",
                gt_key=r"(\d+)\.",
            ),
            folders_of_pairs("Test1400/input", "Test1400/target", source="Restormer"),
        ),
        num_pictures=1400,
        terms=_RESEARCH,
        source="Fu et al. 2017; 14 rainy pictures of each of 100 clean ones",
    ),
    BenchmarkRecord(
        name="sots_outdoor",
        title="RESIDE SOTS outdoor",
        task="haze",
        layouts=(
            SetLayout(
                lq="SOTS/outdoor/hazy/*", gt="SOTS/outdoor/gt/*", lq_key=r"(\d+)_[^/]*$", gt_key=r"(\d+)\.[^/]*$"
            ),
            SetLayout(
                lq="test/dehaze/input/*", gt="test/dehaze/target/*", lq_key=_DIGITS, gt_key=_DIGITS, source="AdaIR"
            ),
            SetLayout(lq="dehaze/input/*", gt="dehaze/target/*", lq_key=_DIGITS, gt_key=_DIGITS, source="PromptIR"),
            SetLayout(lq="SOTS/IN/*", gt="SOTS/GT/*", lq_key=_DIGITS, gt_key=_DIGITS, source="InstructIR"),
        ),
        num_pictures=500,
        terms=_RESEARCH,
        source="Li et al. 2019; 500 hazy pictures of 492 clear ones, hazy as JPEG",
        leaks=(
            "its clear pictures lie in the outdoor training set OTS, from which they are to be left out",
            "papers count 492 or 500 pictures; decoder and version of JPEG change the figures",
        ),
        is_tested=True,
    ),
    BenchmarkRecord(
        name="sots_indoor",
        title="RESIDE SOTS indoor",
        task="haze",
        layouts=(
            SetLayout(lq="SOTS/indoor/hazy/*", gt="SOTS/indoor/gt/*", lq_key=r"(\d+)_\d+\.", gt_key=r"(\d+)\."),
            folders_of_pairs("sots_indoor/lq", "sots_indoor/gt", source="two folders of equal stems"),
        ),
        num_pictures=500,
        terms=_RESEARCH,
        source="Li et al. 2019; ten hazy pictures of each of 50 clear ones",
        is_tested=True,
    ),
    BenchmarkRecord(
        name="nh_haze",
        title="NH-HAZE",
        task="haze",
        layouts=(SetLayout(lq="NH-HAZE/*_hazy.*", gt="NH-HAZE/*_GT.*", lq_key=r"(\d+)_hazy", gt_key=r"(\d+)_GT"),),
        num_pictures=55,
        terms=_RESEARCH,
        source="Ancuti et al. 2020; papers test on its last five or ten pictures",
    ),
    BenchmarkRecord(
        name="dense_haze",
        title="Dense-Haze",
        task="haze",
        layouts=(SetLayout(lq="Dense-Haze/hazy/*", gt="Dense-Haze/GT/*", lq_key=r"(\d+)_hazy", gt_key=r"(\d+)_GT"),),
        num_pictures=55,
        terms=_RESEARCH,
        source="Ancuti et al. 2019; papers test on its last five pictures",
    ),
    *(
        BenchmarkRecord(
            name=f"snow100k_{size.lower()}",
            title=f"Snow100K-{size}, test",
            task="snow",
            layouts=(
                folders_of_pairs(f"Snow100K/test/Snow100K-{size}/synthetic", f"Snow100K/test/Snow100K-{size}/gt"),
                folders_of_pairs(f"Snow100K-{size}/synthetic", f"Snow100K-{size}/gt"),
            ),
            num_pictures=count,
            terms=_RESEARCH,
            source="Liu et al. 2018",
            leaks=("papers count 16,801 and 16,611 pictures of Snow100K-L",) if size == "L" else (),
        )
        for size, count in (("S", 16611), ("M", 16588), ("L", 16801))
    ),
    BenchmarkRecord(
        name="realsnow",
        title="RealSnow, test",
        task="snow",
        layouts=(
            folders_of_pairs("RealSnow/test/input", "RealSnow/test/gt"),
            folders_of_pairs("RealSnow/input", "RealSnow/gt"),
        ),
        num_pictures=None,
        terms=_RESEARCH,
        source="Zhu et al. 2023",
    ),
    *(
        BenchmarkRecord(
            name=f"raindrop_{split}",
            title=f"RainDrop test_{split}",
            task="raindrop",
            layouts=(
                SetLayout(
                    lq=f"RainDrop/test_{split}/data/*",
                    gt=f"RainDrop/test_{split}/gt/*",
                    lq_key=r"(\d+)_rain",
                    gt_key=r"(\d+)_clean",
                ),
            ),
            num_pictures=count,
            terms=_RESEARCH,
            source="Qian et al. 2018",
            leaks=("papers that say RainDrop mean test_a (58 pictures) or test_b (249)",),
        )
        for split, count in (("a", 58), ("b", 249))
    ),
    BenchmarkRecord(
        name="lhp",
        title="LHP-Rain, test",
        task="rain",
        layouts=(folders_of_pairs("LHP-Rain/test/input", "LHP-Rain/test/gt"),),
        num_pictures=None,
        terms=_RESEARCH,
        source="Guo et al. 2023",
    ),
    BenchmarkRecord(
        name="ssid",
        title="SSID",
        task="rain",
        layouts=(SetLayout(lq="SSID/*", gt=None),),
        num_pictures=None,
        terms=_RESEARCH,
        source="Huang et al. 2022; no ground truth: NIQE and BRISQUE alone",
    ),
)

BLUR_AND_LIGHT_SETS = (
    BenchmarkRecord(
        name="gopro",
        title="GoPro, test",
        task="motion_blur",
        layouts=(
            SetLayout(
                lq="GoPro/test/*/blur/*",
                gt="GoPro/test/*/sharp/*",
                lq_key=r"([^/]+)/blur/([^/.]+)",
                gt_key=r"([^/]+)/sharp/([^/.]+)",
            ),
            folders_of_pairs("GoPro/test/input", "GoPro/test/target", source="Restormer"),
            folders_of_pairs("GoPro/input", "GoPro/target", source="InstructIR"),
            folders_of_pairs("test/deblur/gopro/input", "test/deblur/gopro/target", source="AdaIR"),
        ),
        num_pictures=1111,
        terms="CC BY 4.0",
        source="Nah et al. 2017",
        is_tested=True,
    ),
    *(
        BenchmarkRecord(
            name=f"realblur_{kind.lower()}",
            title=f"RealBlur-{kind}, test",
            task="motion_blur",
            layouts=(folders_of_pairs(f"RealBlur_{kind}/test/input", f"RealBlur_{kind}/test/target", source="MPRNet"),),
            num_pictures=980,
            terms=_RESEARCH,
            source="Rim et al. 2020",
        )
        for kind in ("J", "R")
    ),
    BenchmarkRecord(
        name="dpdd",
        title="DPDD, test, single image",
        task="defocus_blur",
        layouts=(
            folders_of_pairs("DPDD/test_c/source", "DPDD/test_c/target"),
            folders_of_pairs("DPDD/inputC", "DPDD/target", source="Restormer"),
        ),
        num_pictures=76,
        terms="MIT",
        source="Abuolaim and Brown 2020; 16-bit pictures",
    ),
    BenchmarkRecord(
        name="lol_v1",
        title="LOL-v1, eval15",
        task="low_light",
        layouts=(
            folders_of_pairs("LOL/eval15/low", "LOL/eval15/high"),
            folders_of_pairs("LOLv1/Test/input", "LOLv1/Test/target", source="MoCE-IR"),
            folders_of_pairs("test/enhance/lol/input", "test/enhance/lol/target", source="AdaIR"),
            folders_of_pairs("LOL/low", "LOL/high", source="InstructIR"),
        ),
        num_pictures=15,
        terms=_RESEARCH,
        source="Wei et al. 2018",
        leaks=("some papers scale the result's brightness to that of the ground truth: 25 dB where there are 21",),
        is_tested=True,
    ),
    BenchmarkRecord(
        name="lol_v2_real",
        title="LOL-v2-real, test",
        task="low_light",
        layouts=(
            SetLayout(
                lq="LOL-v2/Real_captured/Test/Low/*",
                gt="LOL-v2/Real_captured/Test/Normal/*",
                lq_key=r"low(\d+)",
                gt_key=r"normal(\d+)",
            ),
        ),
        num_pictures=100,
        terms=_RESEARCH,
        source="Yang et al. 2021",
        leaks=("its pictures overlap with the training pictures of LOL-v1",),
    ),
    BenchmarkRecord(
        name="lol_v2_synthetic",
        title="LOL-v2-synthetic, test",
        task="low_light",
        layouts=(folders_of_pairs("LOL-v2/Synthetic/Test/Low", "LOL-v2/Synthetic/Test/Normal"),),
        num_pictures=100,
        terms=_RESEARCH,
        source="Yang et al. 2021",
    ),
)
