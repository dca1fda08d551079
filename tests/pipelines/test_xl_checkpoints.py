import json

import numpy as np
import pytest
from safetensors.torch import save_file

import ldrestore
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from tests import tiny_stable
from tests.original_layout import original_xl_layout
from tests.tiny_autoencoder import trained
from tests.tiny_xl import tiny_unet, tiny_xl_base, xl_sizes_of
from tests.tiny_xl_pipeline import tiny_alignment, tiny_xl

STEPS = {"num_inference_steps": 1}


def save_parts(folder, parts):
    with without_progress_bar():
        for name, part in parts.items():
            part.save_pretrained(folder / name)
    return folder


@pytest.fixture
def xl():
    return tiny_xl()


@pytest.fixture
def base(tmp_path):
    return save_parts(tmp_path / "base", tiny_xl_base())


def result(pipeline, picture):
    pipeline.set_progress_bar_config(disable=True)
    options = {"instruction": "remove the rain", "output_type": "np", **STEPS}
    return pipeline(picture(9, 7, 3, dtype=np.float32), **options).images[0]


def exports_of(pipeline, folder):
    """Of both stages."""
    save_parts(folder / "1", {name: pipeline.components[name] for name in ("lq_encoder", "daff")})
    save_parts(folder / "2", {"daem": pipeline.daem})
    return folder / "1", folder / "2"


def tuned_xl():
    """With a U-Net and a decoder that were trained."""
    base = tiny_xl_base()
    unet, vae = trained(tiny_unet(), 0.03), trained(base["vae"], 0.01)
    return tiny_xl(unet=unet.eval().requires_grad_(False), vae=vae, tuned=["unet", "vae"])


def test_a_saved_pipeline_restores_to_the_bit(xl, picture, tmp_path):
    with without_progress_bar():
        xl.save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model/model_index.json").read_text(encoding="utf-8"))
    assert index["daem"] == ["ldrestore.refiners.daem", "DetailExpertModule"]
    assert index["lq_encoder"] == ["ldrestore.adapters.lq_encoder", "LQEncoder"]
    loaded = ldrestore.XLRestorePipeline.from_pretrained(tmp_path / "model")
    assert np.array_equal(result(loaded, picture), result(xl, picture))
    assert loaded.config["_name_or_path"] == "model" and loaded.config["tuned"] == []
    (tmp_path / "model/daff").rename(tmp_path / "model/elsewhere")
    with pytest.raises(WeightsError, match="lacks its daff"):
        XLRestorePipeline.from_pretrained(tmp_path / "model")
    with pytest.raises(WeightsError, match="holds a XLRestorePipeline, expected a StableRestorePipeline"):
        ldrestore.StableRestorePipeline.from_pretrained(tmp_path / "model")


def test_exports_of_training_make_the_pipeline(xl, base, tmp_path, picture):
    exports = exports_of(xl, tmp_path / "runs")
    made = XLRestorePipeline.from_exports(base, *exports)
    assert np.array_equal(result(made, picture), result(xl, picture)) and made.config["tuned"] == []
    assert XLRestorePipeline.from_exports(base, exports[0]).daem is None
    with pytest.raises(WeightsError, match="needs lq_encoder"):
        XLRestorePipeline.from_exports(base, exports[1])
    with pytest.raises(WeightsUnavailableError, match="holds none of lq_encoder"):
        XLRestorePipeline.from_exports(base, tmp_path)


def test_exports_may_bring_a_trained_unet_and_autoencoder(base, tmp_path, picture):
    tuned = tuned_xl()
    exports = exports_of(tuned, tmp_path / "runs")
    save_parts(exports[0], {"unet": tuned.unet})
    save_parts(exports[1], {"vae": tuned.vae})
    made = XLRestorePipeline.from_exports(base, *exports)
    assert np.array_equal(result(made, picture), result(tuned, picture))
    assert made.config["tuned"] == ["unet", "vae"]
    assert made.unet.config["_name_or_path"] == made.vae.config["_name_or_path"] == "base"
    with without_progress_bar():
        made.save_pretrained(tmp_path / "whole")
    loaded = XLRestorePipeline.from_pretrained(tmp_path / "whole")
    assert loaded.config["tuned"] == ["unet", "vae"] and loaded.unet.config["_name_or_path"] == "base"


def test_a_published_layout_with_an_encoder_without_latents(base, tmp_path, picture):
    """As `convert faithdiff` writes it: U-Net, an encoder that ends before latents, and the other fusion."""
    encoder = type(tiny_xl().lq_encoder)((8, 8, 16), layers_per_block=1, norm_num_groups=4, has_latents=False)
    parts = {"lq_encoder": encoder.eval(), "residual_alignment": tiny_alignment(), "unet": tiny_unet(seed=3)}
    made = XLRestorePipeline.from_exports(base, save_parts(tmp_path / "converted", parts))
    assert made.daff is None and made.config["tuned"] == ["unet"]
    assert result(made, picture).shape == (9, 7, 3)


def test_exports_go_upon_a_single_file_with_tokenizers_from_elsewhere(xl, base, tmp_path, picture):
    own = tiny_xl_base()
    file, sizes = tmp_path / "sdxl.safetensors", {"sizes": xl_sizes_of(own)}
    save_file({key: value.clone().contiguous() for key, value in original_xl_layout(own).items()}, file)
    exports = exports_of(xl, tmp_path / "runs")
    with pytest.raises(ConfigError, match="'epsilon' for SDXL"):
        XLRestorePipeline.from_exports(file, *exports, **sizes)
    sizes["prediction_type"] = "epsilon"
    with pytest.raises(WeightsError, match="needs tokenizer, tokenizer_2"):
        XLRestorePipeline.from_exports(file, *exports, **sizes)
    made = XLRestorePipeline.from_exports(file, *exports, tokenizers=base, **sizes)
    assert np.array_equal(result(made, picture), result(xl, picture))
    adapters = made.save_adapters(tmp_path / "adapters", base="somebody/base")
    again = XLRestorePipeline.from_base(file, adapters, sizes=sizes["sizes"])  # which bring their tokenizers
    assert np.array_equal(result(again, picture), result(xl, picture))


@pytest.mark.parametrize("is_tuned", [False, True])
def test_adapters_alone_make_the_same_pipeline_upon_their_base(base, tmp_path, picture, is_tuned):
    pipeline = tuned_xl() if is_tuned else tiny_xl()
    adapters = pipeline.save_adapters(tmp_path / "adapters", base="somebody/base")
    assert (adapters / "unet").exists() == (adapters / "vae").exists() == is_tuned
    assert not (adapters / "text_encoder").exists() and (adapters / "tokenizer").exists()
    pointer = json.loads((adapters / "adapters.json").read_text(encoding="utf-8"))
    assert ("unet" in pointer["frozen"]) != is_tuned and pointer["pipeline"] == "XLRestorePipeline"
    again = XLRestorePipeline.from_base(base, adapters)
    assert np.array_equal(result(again, picture), result(pipeline, picture))
    assert again.config["_name_or_path"] == "adapters" and again.unet.config["_name_or_path"] == "base"
    resaved = again.save_adapters(tmp_path / "again")
    assert sorted(path.name for path in resaved.iterdir()) == sorted(path.name for path in adapters.iterdir())
    other = tiny_xl()
    other.load_adapters(adapters)
    assert np.array_equal(result(other, picture), result(pipeline, picture))
    assert list(other.config["tuned"]) == list(pipeline.config["tuned"])


def test_adapters_of_another_base_or_track_are_refused(xl, base, tmp_path):
    adapters = xl.save_adapters(tmp_path / "adapters", base="somebody/base")
    tuned = tuned_xl()
    with pytest.raises(WeightsError, match=r"another base's: their vae.*somebody/base"):
        tuned.load_adapters(adapters)
    with without_progress_bar():
        stable_base = save_parts(tmp_path / "sd21", tiny_stable.tiny_base())
    with pytest.raises(WeightsError, match="lacks text_encoder_2"):
        XLRestorePipeline.from_base(stable_base, adapters)
    stable = tiny_stable.tiny_stable()
    with pytest.raises(WeightsError, match="another base's"):
        stable.load_adapters(adapters)
