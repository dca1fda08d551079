import pytest
import torch
from accelerate import Accelerator
from tiny_run import TinyPairs, tiny_config

from ldrestore.errors import ConfigError
from ldrestore.training.loading import create_loader, to_device


class Nothing(TinyPairs):
    def __len__(self) -> int:
        return 0


def names(config, step):
    loader = create_loader(TinyPairs(8), config=config, accelerator=Accelerator(cpu=True), step=step)
    return [batch["name"] for batch in loader]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_loading_from_a_step_gives_the_rest_of_its_stage(tmp_path):
    config = tiny_config(tmp_path)
    assert len(names(config, 0)) == 16 and len(names(config, 8)) == 20
    assert names(config, 5) == names(config, 0)[10:]
    assert names(tiny_config(tmp_path, "run.num_workers=2"), 5) == names(config, 5)


def test_loading_draws_no_global_random_numbers(tmp_path):
    state = torch.get_rng_state()
    names(tiny_config(tmp_path), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the training data set is empty"):
        create_loader(Nothing(8), config=tiny_config(tmp_path), accelerator=Accelerator(cpu=True), step=0)


def test_pictures_take_the_memory_format_and_names_stay():
    batch = {"lq": torch.rand(2, 3, 4, 5), "name": ["a", "b"]}
    moved = to_device(batch, device=torch.device("cpu"), channels_last=True)
    assert moved["lq"].is_contiguous(memory_format=torch.channels_last) and moved["name"] == ["a", "b"]
    assert torch.equal(moved["lq"], batch["lq"])
