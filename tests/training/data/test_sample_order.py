import pytest

from ldrestore.training.config import StageConfig, stage_at
from ldrestore.training.data.sample_order import ShardedBatches, sample_key, samples_before

STAGES = (
    StageConfig(patch_size=8, batch_size=4, steps=5),
    StageConfig(patch_size=16, batch_size=2, steps=3),
)


def batches(*, first_sample=0, num_batches=6, batch_size=4, process_index=0, num_processes=1):
    return list(
        ShardedBatches(
            num_pictures=10,
            seed=1,
            batch_size=batch_size,
            num_batches=num_batches,
            first_sample=first_sample,
            process_index=process_index,
            num_processes=num_processes,
        )
    )


def test_each_epoch_holds_every_picture_once():
    for epoch in range(3):
        keys = [sample_key(number, num_pictures=10, seed=1) for number in range(10 * epoch, 10 * epoch + 10)]
        assert {key[0] for key in keys} == {epoch}
        assert sorted(key[1] for key in keys) == list(range(10))


def test_epochs_and_seeds_differ_in_order():
    orders = {
        tuple(sample_key(10 * epoch + place, num_pictures=10, seed=seed)[1] for place in range(10))
        for epoch in range(3)
        for seed in range(3)
    }
    assert len(orders) == 9


def test_starting_later_gives_the_rest_of_the_same_order():
    assert batches(first_sample=8, num_batches=4) == batches()[2:]


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_together_see_consecutive_samples(num_processes):
    shards = [batches(batch_size=2, process_index=i, num_processes=num_processes) for i in range(num_processes)]
    together = [key for step in zip(*shards, strict=True) for shard in step for key in shard]
    assert together == [sample_key(number, num_pictures=10, seed=1) for number in range(len(together))]


def test_sample_numbers_go_on_across_stages():
    counts = [samples_before(step, stages=STAGES, batches_per_step=2) for step in range(9)]
    assert counts == [0, 8, 16, 24, 32, 40, 44, 48, 52]


@pytest.mark.parametrize(("num_processes", "accumulation"), [(1, 1), (1, 3), (2, 2)])
def test_from_any_step_a_run_sees_what_it_would_have_seen(num_processes: int, accumulation: int) -> None:
    """What is left of a stage, for each process, is the end of what it gets from the stage's start."""

    def shown(step: int, process: int) -> list[list[tuple[int, int]]]:
        stage, end = stage_at(step, STAGES)
        return batches(
            first_sample=samples_before(step, stages=STAGES, batches_per_step=accumulation * num_processes),
            num_batches=(end - step) * accumulation,
            batch_size=stage.batch_size,
            process_index=process,
            num_processes=num_processes,
        )

    for begin, end in ((0, 5), (5, 8)):
        for process in range(num_processes):
            whole = shown(begin, process)
            for step in range(begin, end):
                assert shown(step, process) == whole[(step - begin) * accumulation :]


def test_samples_of_a_whole_run_are_those_of_the_epochs_in_their_order() -> None:
    keys = []
    for step, stage in ((0, STAGES[0]), (5, STAGES[1])):
        first = samples_before(step, stages=STAGES, batches_per_step=1)
        found = batches(first_sample=first, num_batches=stage.steps, batch_size=stage.batch_size)
        keys += [key for batch in found for key in batch]
    assert keys == [sample_key(number, num_pictures=10, seed=1) for number in range(26)]
    assert sorted(keys[:10]) == [(0, index) for index in range(10)]


def test_one_picture_comes_again_and_again() -> None:
    assert [sample_key(number, num_pictures=1, seed=5) for number in range(3)] == [(0, 0), (1, 0), (2, 0)]
