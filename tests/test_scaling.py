"""The projection of benchmarks/scaling.py, against its formula done by hand."""

import pytest
import scaling


def test_one_chip_has_nobody_to_talk_to():
    row = scaling.project(flops=59.1e9, memory=0.0, gradients=4e6)[0]
    # 59.1 Gflop at 30 % of 197 Tflop/s take 1 ms; 0.1 ms are overhead.
    assert row["chips"] == 1 and row["efficiency"] == 1.0
    assert row["microseconds"] == pytest.approx(1100.0)


def test_memory_bounds_a_step_that_computes_little():
    row = scaling.project(flops=1.0, memory=819e6, gradients=4e6)[0]
    assert row["microseconds"] == pytest.approx(1100.0)


def test_the_mean_on_a_slice_of_16_by_16():
    row = scaling.project(flops=59.1e9, memory=0.0, gradients=4e6)[-1]
    # 8 MB x 255 / 256 at 100 GB/s: 79.69 us; 4 x 15 hops of 1 us.
    assert row["chips"] == 256
    assert row["of them communication"] == pytest.approx(139.6875)
    assert row["efficiency"] == pytest.approx(1100 / 1239.6875)
