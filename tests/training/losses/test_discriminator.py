import pytest
import torch

from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.losses.refiner_losses import discriminator_loss


@pytest.mark.parametrize(("num_layers", "patch"), [(2, 22), (3, 46)])
def test_a_score_sees_a_patch(num_layers, patch):
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(4, num_layers=num_layers).eval()
    images = torch.rand(1, 3, 96, 96, requires_grad=True)
    scores = discriminator(images)
    assert scores.shape == (1, 1, 96 // 2**num_layers - 1, 96 // 2**num_layers - 1)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    is_reached = images.grad.abs().sum(dim=1)[0] > 0
    assert [int(is_reached.any(dim=axis).sum()) for axis in (0, 1)] == [patch, patch]


def test_pictures_of_a_batch_are_judged_apart():
    torch.manual_seed(0)
    discriminator, batch = PatchDiscriminator(4).eval(), torch.rand(3, 3, 32, 40)
    singles = torch.cat([discriminator(image) for image in batch.split(1)])
    torch.testing.assert_close(discriminator(batch), singles, rtol=1e-4, atol=1e-5)


def test_layers_keep_differences_bounded():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(4)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(100)
    for _ in range(20):
        discriminator(torch.rand(1, 3, 32, 32))
    weights = discriminator.eval().layers[0].weight.detach()
    assert torch.linalg.matrix_norm(weights.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_it_learns_to_tell_flat_from_rough():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(8, num_layers=2)
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3, betas=(0.5, 0.9))
    rough, flat = torch.rand(4, 3, 16, 16), torch.full((4, 3, 16, 16), 0.5)
    first = None
    for _ in range(40):
        loss = discriminator_loss(discriminator(flat), discriminator(rough)).mean()
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * first


def test_its_state_loads():
    torch.manual_seed(0)
    discriminator, other = PatchDiscriminator(4), PatchDiscriminator(4)
    discriminator(torch.rand(1, 3, 32, 32))
    other.load_state_dict(discriminator.state_dict())
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(other.eval()(images), discriminator.eval()(images))


def test_channels_double_up_to_eight_times_the_first() -> None:
    discriminator = PatchDiscriminator(2, num_layers=5)
    widths = [module.out_channels for module in discriminator.modules() if isinstance(module, torch.nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 1]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_smallest_picture_has_one_score(num_layers: int) -> None:
    side = 2 ** (num_layers + 1)
    assert PatchDiscriminator(2, num_layers=num_layers)(torch.rand(2, 3, side, side)).shape == (2, 1, 1, 1)


def test_judging_without_training_leaves_the_estimate_of_norms() -> None:
    discriminator, images = PatchDiscriminator(4, num_layers=2), torch.rand(1, 3, 16, 16)
    state = {key: value.clone() for key, value in discriminator.eval().state_dict().items()}
    discriminator(images)
    assert all(torch.equal(value, state[key]) for key, value in discriminator.state_dict().items())
    discriminator.train()(images)
    moved = {key for key, value in discriminator.state_dict().items() if not torch.equal(value, state[key])}
    assert moved and all("parametrizations.weight.0._" in key for key in moved)
