"""Columns and the streams cut from them."""

import numpy as np
import torch

from mubench.data import Columns, PairedStream, Stream

CPU = torch.device("cpu")


def columns(count: int) -> Columns:
    values = torch.arange(count)
    return Columns({"x": values * 10}, values % 3, np.arange(count) + 100)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(stream, **arguments):
    return [batch.index.tolist() for batch in stream.batches(generator(), **arguments)]


def test_a_pass_holds_each_row_once_in_an_order_that_the_generator_decides():
    stream = Stream(columns(10), torch.arange(2, 10), 3, CPU)
    batches = rows_of(stream)
    assert [len(batch) for batch in batches] == [3, 3, 2] and len(stream) == 3
    assert sorted(row for batch in batches for row in batch) == list(range(2, 10))
    assert batches == rows_of(stream)
    in_order = [batch.index.tolist() for batch in stream.batches(None)]
    assert in_order == [[2, 3, 4], [5, 6, 7], [8, 9]]


def test_a_batch_carries_inputs_targets_and_rows_of_the_same_examples():
    for batch in Stream(columns(10), torch.arange(10), 4, CPU).batches(generator()):
        assert torch.equal(batch.inputs["x"], batch.index * 10)
        assert torch.equal(batch.targets, batch.index % 3)


def test_skipping_batches_leaves_the_rest_as_it_was():
    stream = Stream(columns(10), torch.arange(10), 3, CPU)
    paired = PairedStream(stream, Stream(columns(40), torch.arange(10, 40), 3, CPU))
    assert rows_of(stream, skip=2) == rows_of(stream)[2:]
    whole, rest = list(paired.batches(generator())), list(paired.batches(generator(), skip=2))
    assert [b.retain.index.tolist() for b in whole[2:]] == [b.retain.index.tolist() for b in rest]


def test_paired_batches_set_as_many_retain_rows_beside_each_forget_row():
    all_rows = columns(40)
    forget, retain = torch.arange(0, 7), torch.arange(7, 40)
    stream = PairedStream(Stream(all_rows, forget, 4, CPU), Stream(all_rows, retain, 4, CPU))
    batches = list(stream.batches(generator()))
    assert [(len(b.forget), len(b.retain)) for b in batches] == [(4, 4), (3, 3)] and len(stream) == 2
    seen = torch.cat([b.retain.index for b in batches]).tolist()
    assert len(set(seen)) == 7 and set(seen) <= set(retain.tolist())
    joined = batches[1].joined()
    first, second = batches[1].split(joined.index)
    assert torch.equal(first, batches[1].forget.index) and torch.equal(second, batches[1].retain.index)


def test_a_retain_set_smaller_than_the_forget_set_is_repeated():
    all_rows = columns(10)
    stream = PairedStream(
        Stream(all_rows, torch.arange(8), 8, CPU), Stream(all_rows, torch.arange(8, 10), 8, CPU)
    )
    (batch,) = stream.batches(generator())
    assert torch.bincount(batch.retain.index).tolist()[8:] == [4, 4]


def test_a_subset_keeps_the_ids_of_the_data_set():
    part = columns(10).subset(np.array([7, 2]))
    assert part.ids.tolist() == [107, 102] and part.inputs["x"].tolist() == [70, 20]
