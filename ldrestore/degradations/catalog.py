"""Static records of all degradations and of the published mixtures; importing this imports no numerical package."""

from ldrestore.registry import DegradationRecord, Registry

# Places in the order of image formation, for the table below.
WEATHER, AIR, DROPS, DISPLAY, LENS, EXPOSURE, SENSOR, MOSAIC, RESOLUTION, FILE = range(10)

DEGRADATIONS: Registry[DegradationRecord] = Registry("degradation")

_ROWS = (
    ("gaussian_noise", "noise", SENSOR, "Zhang et al. 2017, DnCNN, https://arxiv.org/abs/1608.03981"),
    ("poisson_noise", "noise", SENSOR, "Foi et al. 2008, https://doi.org/10.1109/TIP.2008.2001399"),
    ("real_noise", "noise", SENSOR, "Brooks et al. 2019, Unprocessing, https://arxiv.org/abs/1811.11127"),
    ("motion_blur", "blur", LENS, "Kupyn et al. 2018, DeblurGAN, https://arxiv.org/abs/1711.07064"),
    ("defocus_blur", "blur", LENS, "circle of confusion, geometrical optics"),
    ("gaussian_blur", "blur", LENS, "Wang et al. 2021, Real-ESRGAN, https://arxiv.org/abs/2107.10833"),
    ("rain", "weather", WEATHER, "Garg and Nayar 2007; Li et al. 2019, https://arxiv.org/abs/1904.05050"),
    ("snow", "weather", WEATHER, "Liu et al. 2018, DesnowNet, https://arxiv.org/abs/1708.04512"),
    ("haze", "weather", AIR, "Koschmieder 1924; He et al. 2009, https://doi.org/10.1109/CVPR.2009.5206515"),
    ("raindrop", "raindrop", DROPS, "Qian et al. 2018, https://arxiv.org/abs/1711.10098"),
    ("low_light", "light", EXPOSURE, "Wei et al. 2020, https://arxiv.org/abs/2003.12751"),
    ("jpeg", "storage", FILE, "ITU-T T.81"),
    ("downscale", "storage", RESOLUTION, "resampling with a named kernel"),
    ("cloud", "remote_sensing", AIR, "Enomoto et al. 2017, Filmy Cloud Removal, https://arxiv.org/abs/1710.04835"),
    ("aerial_downscale", "remote_sensing", RESOLUTION, "Aiazzi et al. 2006, MTF-tailored Multiscale Fusion"),
    ("ct_low_dose", "medical", SENSOR, "Leuschner et al. 2019, LoDoPaB-CT, https://arxiv.org/abs/1910.01113"),
    ("mri_undersample", "medical", RESOLUTION, "Zbontar et al. 2018, fastMRI, https://arxiv.org/abs/1811.08839"),
    ("under_display", "display", DISPLAY, "Zhou et al. 2021, https://arxiv.org/abs/2003.04857"),
    ("moire", "display", DISPLAY, "Yuan et al. 2019, LCDMoire, https://arxiv.org/abs/1911.02498"),
    ("underwater", "water", AIR, "Akkaynak and Treibitz 2018, A Revised Underwater Image Formation Model, CVPR"),
    ("demosaic", "mosaic", MOSAIC, "Bayer 1976; Malvar et al. 2004"),
)

for _name, _module, _order, _source in _ROWS:
    DEGRADATIONS.register(
        DegradationRecord(name=_name, target=f"ldrestore.degradations.{_module}:{_name}", order=_order, source=_source)
    )

TRAINING_FORMS: Registry[DegradationRecord] = Registry("training form")
"""Wider forms of the degradations above, for training alone: recipes may name them, `list_degradations()` does not."""

_WIDE_ROWS = (
    ("real_noise_wide", "noise", "real_noise", "Brooks et al. 2019, Unprocessing, https://arxiv.org/abs/1811.11127"),
    ("jpeg_wide", "storage", "jpeg", "ITU-T T.81"),
    ("downscale_wide", "storage", "downscale", "Wang et al. 2021, Real-ESRGAN, https://arxiv.org/abs/2107.10833"),
    ("low_light_wide", "light", "low_light", "Wei et al. 2020, https://arxiv.org/abs/2003.12751"),
    ("motion_blur_wide", "blur", "motion_blur", "Boracchi and Foi 2012, https://doi.org/10.1109/TIP.2012.2192126"),
    ("defocus_blur_wide", "blur", "defocus_blur", "circle of confusion, geometrical optics"),
    ("haze_wide", "haze", "haze", "Koschmieder 1924; Li et al. 2019, RESIDE, https://arxiv.org/abs/1712.04143"),
    ("rain_wide", "rain", "rain", "Yang et al. 2017, Rain100H, https://arxiv.org/abs/1609.07769"),
    ("snow_wide", "snow", "snow", "Liu et al. 2018, Snow100K, https://arxiv.org/abs/1708.04512"),
    ("raindrop_wide", "raindrop", "raindrop", "Qian et al. 2018, https://arxiv.org/abs/1711.10098"),
)

for _name, _module, _base, _source in _WIDE_ROWS:
    TRAINING_FORMS.register(
        DegradationRecord(
            name=_name,
            target=f"ldrestore.degradations.wide.{_module}:{_name}",
            order=DEGRADATIONS.get(_base).order,
            source=_source,
            counts_as=_base,
        )
    )


def step_record(name: str) -> DegradationRecord:
    """The record of a degradation or of a training form.

    Raises:
        UnknownNameError: no such degradation.
    """
    return TRAINING_FORMS.get(name) if name in TRAINING_FORMS else DEGRADATIONS.get(name)


def counted_name(name: str) -> str:
    """The degradation that a step's name stands for: that of `list_degradations()` which its pictures carry.

    Raises:
        UnknownNameError: no such degradation.
    """
    return step_record(name).counts_as or name


MIXTURES: dict[str, str] = {
    # CDD11: OneRestore, Guo et al. 2024, https://arxiv.org/abs/2407.04621;
    # rain and snow lie in the haze, all in the dark.
    "cdd11/low": "low_light",
    "cdd11/haze": "haze",
    "cdd11/rain": "rain",
    "cdd11/snow": "snow",
    "cdd11/low_haze": "haze+low_light",
    "cdd11/low_rain": "rain+low_light",
    "cdd11/low_snow": "snow+low_light",
    "cdd11/haze_rain": "rain+haze",
    "cdd11/haze_snow": "snow+haze",
    "cdd11/low_haze_rain": "rain+haze+low_light",
    "cdd11/low_haze_snow": "snow+haze+low_light",
    # MID6: MPerceiver, Ai et al. 2024, https://arxiv.org/abs/2312.02918; its blur is motion blur here.
    "mid6/haze_noise_blur": "haze+motion_blur+gaussian_noise",
    "mid6/low_light_noise_blur": "motion_blur+low_light+gaussian_noise",
    "mid6/rain_noise_blur": "rain+motion_blur+gaussian_noise",
    "mid6/rain_raindrop_noise": "rain+raindrop+gaussian_noise",
    "mid6/raindrop_noise_blur": "raindrop+motion_blur+gaussian_noise",
    "mid6/snow_noise_blur": "snow+motion_blur+gaussian_noise",
}
"""Published mixtures: name to recipe, in the order of image formation."""
