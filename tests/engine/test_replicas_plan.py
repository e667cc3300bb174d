"""Programs take every replica once, keep to their limits and do not tear streams apart."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlfund._engine.replicas_plan import bytes_per_replica, programs_of
from tests.engine.replica_reference import BATCH, D, replicas_of, stack_of

LENGTHS = st.lists(st.sampled_from([20, 21]), min_size=1, max_size=5)


@given(lengths=LENGTHS, per_stream=st.integers(1, 6), most=st.integers(1, 12))
def test_programs(lengths, per_stream, most):
    stack = stack_of(rows=[np.arange(length) for length in lengths])
    replicas = replicas_of(stack, [{}] * per_stream)
    limit = most * bytes_per_replica((D, 5, 1), BATCH, 8)
    programs = list(programs_of(stack, replicas, limit))
    numbers = [number for program in programs for number, _ in program]
    assert sorted(numbers) == list(range(len(replicas)))
    for program in programs:
        assert 1 <= len(program) <= most
        streams = [replica.stream for _, replica in program]
        assert all(one <= two for one, two in pairwise(streams))
        assert len({lengths[stream] for stream in streams}) == 1
        if per_stream <= most:
            assert all(streams.count(stream) == per_stream for stream in streams)


def test_what_a_replica_takes():
    # 4 x 5 + 5 weights and biases of the first layer, 5 + 1 of the second, five arrays each;
    # outputs and gradients of 6 units, and what the loss makes of one score.
    assert bytes_per_replica((4, 5, 1), 10, 8) == 8 * (5 * 31 + 2 * 10 * (6 + 2))
