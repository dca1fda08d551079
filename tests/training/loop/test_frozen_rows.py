import torch
from torch import nn

from ldrestore.training.loop.frozen_rows import freeze_rows, parameter_groups


class Table(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.rows = nn.Parameter(values)
        self.other = nn.Parameter(torch.ones(2))


def trained(values, *, frozen, num_steps=3, scale=1.0):
    """A table after some steps of AdamW with decay."""
    table = Table(values.clone())
    if frozen:
        freeze_rows(table.rows, frozen, dim=1)
    optimizer = torch.optim.AdamW(parameter_groups(table, weight_decay=0.0 if not frozen else 0.5), lr=0.1)
    for _ in range(num_steps):
        optimizer.zero_grad()
        ((table.rows - 3).square().sum() * scale + table.other.sum()).backward()
        optimizer.step()
    return table


def test_old_rows_stay_to_the_bit_and_new_ones_learn_as_alone():
    values = torch.randn(2, 5, 3)
    table = trained(values, frozen=2)
    assert torch.equal(table.rows[:, :2], values[:, :2])
    torch.testing.assert_close(table.rows[:, 2:], trained(values[:, 2:], frozen=0).rows)


def test_gradients_that_overflow_do_not_reach_old_rows():
    values = torch.randn(1, 3, 2)
    table = trained(values, frozen=2, num_steps=1, scale=float("inf"))
    assert torch.equal(table.rows[:, :2], values[:, :2])


def test_decay_is_left_out_for_tables_with_frozen_rows_alone():
    table = Table(torch.randn(1, 2))
    assert [len(group["params"]) for group in parameter_groups(table, weight_decay=0.1)] == [2]
    freeze_rows(table.rows, 1, dim=1)
    groups = parameter_groups(table, weight_decay=0.1)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert groups[1]["params"][0] is table.rows
