import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldrestore.degradations.catalog import MIXTURES, TRAINING_FORMS
from ldrestore.degradations.recipes import (
    Step,
    apply_recipe,
    in_physical_order,
    list_degradations,
    list_mixtures,
    parameters_of,
    parse_recipe,
)
from ldrestore.errors import InputError, ShapeError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("rain", "rain"),
        ("rain()", "rain"),
        (" rain ( severity = 0.8 ) + low_light ", "rain(severity=0.8)+low_light"),
        ("gaussian_noise(sigma_255=25)+jpeg(quality=20)", "gaussian_noise(sigma_255=25)+jpeg(quality=20)"),
        ("gaussian_noise(sigma_255=2.5e+1,)", "gaussian_noise(sigma_255=25)"),
        ("downscale(kernel=area, factor=2)", "downscale(kernel=area, factor=2)"),
        ("mid6/rain_noise_blur + jpeg", "rain+motion_blur+gaussian_noise+jpeg"),
    ],
)
def test_a_recipe_has_one_canonical_spelling(text, canonical):
    recipe = parse_recipe(text)
    assert str(recipe) == canonical
    assert parse_recipe(canonical) == recipe


def test_steps_hold_names_and_numbers():
    assert parse_recipe("rain(veil=0.1)+jpeg").steps == (Step("rain", (("veil", 0.1),)), Step("jpeg"))


@given(st.floats(min_value=0, max_value=255))
def test_any_number_survives_being_written(number):
    recipe = parse_recipe(f"gaussian_noise(sigma_255={number!r})")
    assert parse_recipe(str(recipe)) == recipe


@given(st.text(alphabet="rain+jpeg()=, 0.5_/", max_size=25))
def test_any_text_is_read_or_refused(text):
    try:
        recipe = parse_recipe(text)
    except InputError:
        return
    assert parse_recipe(str(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe '' has an empty step at character 1; expected name"),
        ("rain+", r"has an empty step at character 6; expected name\(key=value, ...\)\+name"),
        ("rain++jpeg", "empty step at character 6"),
        ("jpeg+rain(", r"cannot read 'rain\(' at character 6 of recipe"),
        ("rain)", r"cannot read 'rain\)' at character 1"),
        ("rain jpeg", "cannot read 'rain jpeg' at character 1"),
        ("rain(veil)", r"cannot read 'veil' in rain\(veil\); expected key=value"),
        ("rain(veil=)", "cannot read 'veil='"),
        ("rain(=1)", r"cannot read '=1' in rain\(=1\); expected key=value"),
        ("gaussian_noise(25)", r"cannot read '25' in gaussian_noise\(25\); expected key=value"),
        ("rain(veil=0.1 density=2)", "veil of rain must be a number, got '0.1 density=2'"),
        ("rain(veil=0.1+0.2)", r"veil of rain must be a number, got '0.1\+0.2'"),
        ("rain((veil=0.1))", r"cannot read 'rain\(\(veil=0.1\)\)' at character 1"),
        ("jpeg + rain,haze", "cannot read ' rain,haze' at character 7"),
        ("downscale(factor=area)", "factor of downscale must be a number, got 'area'"),
        ("raindrop(max_radius=3)", r"max_radius of raindrop must lie in \[4, 500\], got 3"),
        ("jpeg+mid6/rain_noise_blur()", r"mixture 'mid6/rain_noise_blur' takes no parameters, got \(\)"),
        ("rain(veil=much)", "veil of rain must be a number, got 'much'"),
        ("rain(veil=2)", r"veil of rain must lie in \[0, 1\], got 2"),
        ("rain(density=-1)", "density of rain must lie in"),
        ("rain(density=nan)", "density of rain must lie in"),
        ("rain(density=inf)", "density of rain must lie in"),
        ("rain(severity=1.1)", r"severity of rain must lie in \[0, 1\]"),
        ("jpeg(quality=96)", r"quality of jpeg must lie in \[1, 95\]"),
        ("low_light(cast=1e9)", r"cast of low_light must lie in \[0, 2\]"),
        ("rain(veil=0.1, veil=0.2)", "sets veil twice; keep one"),
        (
            "cdd11/haze(severity=1)",
            r"takes no parameters, got \(severity=1\); write its steps: haze",
        ),
    ],
)
def test_a_malformed_recipe_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rian", "unknown degradation 'rian'; did you mean 'rain'"),
        ("jpeg+Haze", "unknown degradation 'Haze'; did you mean 'haze'"),
        ("haze(Beta=1)", "unknown parameter of haze 'Beta'; did you mean 'beta'"),
        ("low_light(stop=2)", "unknown parameter of low_light 'stop'; did you mean 'stops'"),
        ("downscale(kernel=Area)", "unknown kernel 'Area'; did you mean 'area'"),
        ("cdd11/Low", "did you mean 'cdd11/low'"),
        ("haze_wide(beta=1)", "unknown parameter of haze_wide 'beta'; known: severity, strength"),
        ("mid6/rain_noise", "did you mean 'mid6/"),
        ("rain(fog=1)", "unknown parameter of rain 'fog'; known: density, opacity, severity, veil"),
        ("rain(vail=1)", "did you mean 'veil'"),
        ("downscale(kernel=box)", "unknown kernel 'box'"),
    ],
)
def test_an_unknown_name_gets_the_known_ones(text, message):
    with pytest.raises(UnknownNameError, match=message):
        parse_recipe(text)


def test_what_is_no_text_is_refused():
    with pytest.raises(InputError, match=r"a recipe is text such as .*, got list"):
        parse_recipe(["rain"])


def test_fixed_parameters_override_severity(picture, degraded):
    fixed = "gaussian_noise(sigma_255=25)"
    assert np.array_equal(degraded(picture, fixed, severity=0.1), degraded(picture, fixed, severity=0.9))
    assert np.array_equal(degraded(picture, fixed, severity=0.1), degraded(picture, "gaussian_noise", severity=0.5))


def test_a_step_may_have_its_own_severity(picture, degraded):
    own = degraded(picture, "rain(severity=0.8)", severity=0.1)
    assert np.array_equal(own, degraded(picture, "rain", severity=0.8))
    assert not np.array_equal(own, degraded(picture, "rain", severity=0.1))


def test_the_rest_follows_from_the_steps_own_severity(picture, degraded):
    rest = parameters_of("rain", 0.8)
    written = f"rain(density={rest['density']!r}, opacity={rest['opacity']!r}, veil=0)"
    assert np.array_equal(degraded(picture, "rain(severity=0.8, veil=0)"), degraded(picture, written))


def test_steps_are_applied_in_their_order(picture, degraded):
    noise_last, noise_first = (
        degraded(picture, recipe)
        for recipe in ("gaussian_blur(sigma=3)+gaussian_noise", "gaussian_noise+gaussian_blur(sigma=3)")
    )
    assert np.abs(np.diff(noise_last, axis=1)).mean() > 2 * np.abs(np.diff(noise_first, axis=1)).mean()


def test_draws_of_one_step_do_not_shift_those_of_the_next(grey, degraded):
    """Before the noise, both recipes give the same grey; rain without density still draws its wind."""
    plain = degraded(grey(0.5), "jpeg(quality=95)+gaussian_noise")
    rainy = degraded(grey(0.5), "rain(density=0, veil=0)+gaussian_noise")
    assert np.abs(plain - rainy).max() < 0.01


@pytest.mark.parametrize("severity", [-0.1, 1.5, float("nan"), "0.5", None, [0.5]])
def test_a_severity_out_of_range_is_refused(picture, degraded, severity):
    with pytest.raises(InputError, match=r"severity must lie in \[0, 1\]"):
        degraded(picture, "rain", severity=severity)
    with pytest.raises(InputError, match=r"severity must lie in \[0, 1\]"):
        parameters_of("rain", severity)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4), (0, 4, 3), (1, 4, 4, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ShapeError, match=r"expected a picture of shape \(H, W, 3\)"):
        apply_recipe(
            np.zeros(shape, np.float32), parse_recipe("rain"), severity=0.5, generator=np.random.default_rng(0)
        )


def test_integers_are_refused(degraded):
    with pytest.raises(InputError, match=r"expected float32 pixels in \[0, 1\], got uint8"):
        degraded(np.zeros((4, 4, 3), np.uint8), "jpeg")


def test_the_vocabulary_is_complete():
    assert set(list_degradations()) == {
        *("gaussian_noise", "poisson_noise", "real_noise", "motion_blur", "defocus_blur", "gaussian_blur"),
        *("rain", "snow", "haze", "raindrop", "low_light", "jpeg", "downscale"),
        *("cloud", "aerial_downscale", "ct_low_dose", "mri_undersample"),
        *("under_display", "moire", "underwater", "demosaic"),
    }


def test_the_published_mixtures_are_complete():
    cdd11 = {
        *("low", "haze", "rain", "snow"),
        *("low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow", "low_haze_rain", "low_haze_snow"),
    }
    mid6 = {
        *("haze_noise_blur", "low_light_noise_blur", "rain_noise_blur"),
        *("rain_raindrop_noise", "raindrop_noise_blur", "snow_noise_blur"),
    }
    assert set(list_mixtures()) == {f"cdd11/{name}" for name in cdd11} | {f"mid6/{name}" for name in mid6}
    assert (len(cdd11), len(mid6)) == (11, 6)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_mixture_holds_what_its_name_says_in_physical_order(mixture):
    terms = {"low": "low_light", "noise": "gaussian_noise", "blur": "motion_blur"}
    words = mixture.partition("/")[2].replace("low_light", "low").split("_")
    steps = [step.name for step in parse_recipe(mixture).steps]
    assert set(steps) == {terms.get(word, word) for word in words}
    assert in_physical_order(steps) == steps


def test_physical_order_runs_from_the_weather_to_the_file():
    chain = ["rain", "raindrop", "defocus_blur", "low_light", "gaussian_noise", "downscale", "jpeg"]
    assert in_physical_order(chain[::-1]) == chain
    assert in_physical_order(["snow", "haze"]) == ["snow", "haze"]
    chain = ["underwater", "moire", "motion_blur", "ct_low_dose", "demosaic", "aerial_downscale", "jpeg"]
    assert in_physical_order(chain[::-1]) == chain
    with pytest.raises(UnknownNameError, match="unknown degradation"):
        in_physical_order(["fog"])


@pytest.mark.parametrize("name", [*list_degradations(), *TRAINING_FORMS.names()])
def test_every_float_type_gives_the_picture_of_float32(picture, degraded, name: str) -> None:
    picture = picture.astype(np.float16)  # each of its values is one of the wider types, too
    expected = degraded(picture.astype(np.float32), name, severity=0.6, seed=2)
    for dtype in (np.float16, np.float64):
        result = degraded(picture.astype(dtype), name, severity=0.6, seed=2)
        assert result.dtype == np.float32
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("name", [*list_degradations(), *TRAINING_FORMS.names()])
def test_the_least_and_the_largest_value_that_a_recipe_may_set_give_a_picture(picture, degraded, name: str) -> None:
    numbers = [key for key, value in parameters_of(name, 0.5).items() if not isinstance(value, str)]
    for key in numbers:
        for limit in limits_of(name, key):
            result = degraded(picture[:11, :17], f"{name}({key}={limit!r})", seed=1)
            assert result.shape == (11, 17, 3) and np.isfinite(result).all()
            assert result.min() >= 0 and result.max() <= 1


def limits_of(name: str, key: str) -> list[float]:
    """The range that the refusal of a value outside states; its end at infinity is left out."""
    with pytest.raises(InputError) as caught:
        parse_recipe(f"{name}({key}=-1)")
    found = re.search(r"must lie in \[(\S+), (\S+)\]", str(caught.value))
    assert found is not None
    return [float(limit) for limit in found.groups() if limit != "inf"]


def test_a_step_draws_alike_whatever_follows_it(picture, degraded) -> None:
    """A step takes the first child of the generator in a chain of one and of three."""
    rainy = degraded(picture, "rain(severity=0.7)", seed=9)
    chain = degraded(picture, "rain(severity=0.7)+gaussian_noise(sigma_255=0)+downscale(factor=1)", seed=9)
    assert np.abs(chain - rainy).max() < 1e-5


def test_a_chain_is_its_steps_one_after_the_other(picture, degraded) -> None:
    """Of steps without chance: JPEG of the shrunk picture, and not the shrunk JPEG."""
    shrunk = degraded(picture, "downscale(factor=3, kernel=area)")
    assert np.array_equal(
        degraded(picture, "downscale(factor=3, kernel=area)+jpeg(quality=30)"), degraded(shrunk, "jpeg(quality=30)")
    )
    other = degraded(degraded(picture, "jpeg(quality=30)"), "downscale(factor=3, kernel=area)")
    assert np.abs(degraded(picture, "downscale(factor=3, kernel=area)+jpeg(quality=30)") - other).mean() > 1e-3


def test_a_name_that_comes_twice_draws_anew(grey, degraded) -> None:
    once, twice = (
        degraded(grey(0.5, 96, 96), recipe, seed=4) - 0.5
        for recipe in ("gaussian_noise(sigma_255=12)", "gaussian_noise(sigma_255=12)+gaussian_noise(sigma_255=12)")
    )
    assert twice.std() == pytest.approx(np.sqrt(2) * once.std(), rel=0.03)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_mixture_is_the_recipe_that_it_stands_for(picture, degraded, mixture: str) -> None:
    assert np.array_equal(
        degraded(picture, mixture, severity=0.3, seed=5), degraded(picture, MIXTURES[mixture], severity=0.3, seed=5)
    )


def test_the_severity_of_a_call_is_for_every_step_of_a_mixture_and_a_steps_own_for_it_alone(picture, degraded) -> None:
    written = "snow(severity=0.2)+haze(severity=0.2)+low_light(severity=0.2)"
    assert np.array_equal(degraded(picture, "cdd11/low_haze_snow", severity=0.2), degraded(picture, written))
    mixed = degraded(picture, "snow+haze(severity=0.9)+low_light", severity=0.2)
    assert np.array_equal(mixed, degraded(picture, written.replace("haze(severity=0.2)", "haze(severity=0.9)")))


DOCUMENTED = {
    "gaussian_noise": ("sigma_255", 0, 25, 50),
    "poisson_noise": ("photons", 1000, 112.2, 12.6),
    "motion_blur": ("length", 1, 12, 23),
    "defocus_blur": ("radius", 0.3, 3.8, 7.3),
    "gaussian_blur": ("sigma", 0.2, 2.1, 4),
    "rain": ("density", 0.3, 1.3, 2.3),
    "snow": ("density", 0.1, 0.7, 1.3),
    "haze": ("beta", 0.02, 0.22, 0.42),
    "raindrop": ("density", 2, 16, 30),
    "low_light": ("stops", 1, 3.3, 5.6),
    "jpeg": ("quality", 95, 20, 6),
    "downscale": ("factor", 1, 2, 4),
    "cloud": ("cover", 0, 0.35, 0.7),
    "aerial_downscale": ("factor", 1, 2.236, 5),
    "ct_low_dose": ("photons", 80_000, 4_467, 251),
    "mri_undersample": ("acceleration", 1, 2.828, 8),
    "under_display": ("openness", 1, 0.625, 0.25),
    "moire": ("contrast", 0, 0.6, 1.2),
    "underwater": ("distance", 0, 2.25, 4.5),
    "demosaic": ("share", 0, 0.5, 1),
    "real_noise": ("read", 10**-3.3, 10**-2.8, 10**-2.3),
}
"""A physical parameter of each degradation at severity 0, 0.5 and 1, as its documentation says it."""


def test_the_documented_severities_cover_all_degradations() -> None:
    assert set(DOCUMENTED) == set(list_degradations())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_severities_keep_their_documented_meaning(name: str) -> None:
    key, *expected = DOCUMENTED[name]
    assert [parameters_of(name, severity)[key] for severity in (0.0, 0.5, 1.0)] == pytest.approx(expected, rel=0.01)
