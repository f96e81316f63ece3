"""Rates of benchmarks/speed.py."""

import pytest
import speed


@pytest.mark.skipif(not speed.on_cpu(), reason="larger products elsewhere")
def test_operations_of_products_are_counted_in_full():
    """20 products of 1024 x 1024, a multiplication and a sum each."""
    assert speed.matmul("float32")() == pytest.approx(42.94967296, rel=1e-12)
