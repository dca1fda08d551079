import pytest
import torch

from ldrestore.errors import ConfigError, ShapeError, UnknownNameError
from ldrestore.estimators.degradation_predictor import DegradationPredictor, estimates_of
from ldrestore.structures import MPERCEIVER_SET


def tiny(names=("haze", "rain", "snow"), seed=0):
    torch.manual_seed(seed)
    return DegradationPredictor(names, embedding_dim=6, hidden_dim=5)


def test_it_has_the_released_layout():
    shapes = {key: tuple(value.shape) for key, value in DegradationPredictor().state_dict().items()}
    assert shapes == {
        "fc1.weight": (512, 1024),
        "fc1.bias": (512,),
        "fc2.weight": (9, 512),
        "fc2.bias": (9,),
    }
    assert DegradationPredictor().names == MPERCEIVER_SET


def test_probabilities_follow_the_equation():
    predictor, embeddings = tiny(), torch.randn(2, 6)
    hidden = (embeddings @ predictor.fc1.weight.T + predictor.fc1.bias).clamp(min=0)
    powers = (hidden @ predictor.fc2.weight.T + predictor.fc2.bias).exp()
    torch.testing.assert_close(predictor.probabilities(embeddings), powers / powers.sum(dim=1, keepdim=True))


def test_logits_of_views_are_averaged():
    predictor, views = tiny(), torch.randn(2, 4, 6)
    expected = sum(predictor(views[:, index]) for index in range(4)) / 4
    torch.testing.assert_close(predictor(views), expected)
    torch.testing.assert_close(predictor.probabilities(views), expected.softmax(dim=1))


def test_estimates_name_what_is_wrong():
    predictor, embeddings = tiny(), torch.randn(2, 3, 6)
    first, second = predictor.estimate(embeddings)
    assert first.names == second.names == ("haze", "rain", "snow")
    assert sum(first.probabilities) == pytest.approx(1, abs=1e-5)
    assert second.probabilities == pytest.approx(predictor.probabilities(embeddings)[1].tolist())
    assert estimates_of(torch.tensor([[0.25, 0.75]]), ["a", "b"])[0].ranked()[0] == ("b", 0.75)


def test_probabilities_are_wide_for_narrow_weights():
    assert tiny().bfloat16().probabilities(torch.randn(1, 6).bfloat16()).dtype == torch.float32


def test_it_survives_saving(tmp_path):
    predictor = tiny(("moire", "jpeg"))
    predictor.save_pretrained(tmp_path)
    loaded = DegradationPredictor.from_pretrained(tmp_path)
    assert loaded.names == ("moire", "jpeg")
    assert all(torch.equal(value, predictor.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_growing_keeps_old_rows_to_the_bit_and_survives_saving(tmp_path):
    predictor = tiny()
    before = {key: value.clone() for key, value in predictor.state_dict().items()}
    predictor.grow(["jpeg", "demosaic"], generator=torch.Generator().manual_seed(1))
    after = predictor.state_dict()
    assert after["fc2.weight"].shape == (5, 5) and after["fc2.bias"].shape == (5,)
    assert all(torch.equal(after[key][: len(value)], value) for key, value in before.items())
    assert predictor.names == ("haze", "rain", "snow", "jpeg", "demosaic")
    again = tiny()
    again.grow(["jpeg", "demosaic"], generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.fc2.weight, predictor.fc2.weight) and torch.equal(again.fc2.bias, predictor.fc2.bias)
    predictor.save_pretrained(tmp_path)
    loaded = DegradationPredictor.from_pretrained(tmp_path)
    assert loaded.names == predictor.names and torch.equal(loaded.fc2.weight, predictor.fc2.weight)


def test_grown_rows_are_trained_if_the_old_ones_are_and_in_their_type():
    predictor = tiny().requires_grad_(False).bfloat16()
    predictor.grow(["jpeg"])
    assert not predictor.fc2.weight.requires_grad and predictor.fc2.bias.dtype == torch.bfloat16
    assert predictor(torch.randn(1, 6).bfloat16()).shape == (1, 4)


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "at least one"), (["rain"], "rain: there already"), (["jpeg", "jpeg"], "different names"), ("jpeg", "diff")],
)
def test_growing_takes_new_names_only(names, message):
    predictor = tiny()
    with pytest.raises(ConfigError, match=message):
        predictor.grow(names)
    assert predictor.names == ("haze", "rain", "snow") and predictor.fc2.out_features == 3


def test_wrong_sizes_are_refused():
    with pytest.raises(ConfigError, match="different names of degradations"):
        tiny(("rain", "rain"))
    with pytest.raises(ConfigError, match="sizes must be positive"):
        DegradationPredictor(hidden_dim=0)
    with pytest.raises(ShapeError, match=r"expected embeddings \(B, 6\) or \(B, K, 6\), got \(2, 5\)"):
        tiny()(torch.zeros(2, 5))


def test_the_view_is_kept_with_the_weights(tmp_path):
    predictor = DegradationPredictor(("rain", "haze"), embedding_dim=6, hidden_dim=5, view="released")
    predictor.save_pretrained(tmp_path)
    assert DegradationPredictor.from_pretrained(tmp_path).view == "released"


def test_an_unknown_view_is_refused():
    with pytest.raises(UnknownNameError, match="native"):
        DegradationPredictor(view="nativ")
