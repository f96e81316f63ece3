"""benchmarks/false_alarms.py: what its figures are of, with differences made for it."""

import false_alarms
import numpy as np
import pytest


@pytest.mark.parametrize("common", [0.0, 0.25, 1.0])
def test_what_repeats_share_is_found(common):
    """Differences of variance 1 in themselves, and `common` together: Var(mean) / s^2.

    With 20,000 deals of 10 repeats its standard deviation is about .01 (1 + 10 common)
    / 10.
    """
    rng = np.random.default_rng(0)
    together = np.sqrt(common) * rng.standard_normal((20_000, 1))
    differences = together + rng.standard_normal((20_000, 10))
    found = false_alarms.shared(differences)
    assert found == pytest.approx(common, abs=0.05 * (0.1 + common))


def test_fewer_repeats_are_the_first():
    sides = {"floor": {"values": [1, 2, 3]}, "at_floor_size": {"values": [4, 5, 6]}}
    cut = false_alarms.first({"mean": 7, **sides}, 2)
    assert cut["floor"]["values"] == [1, 2]
    assert cut["at_floor_size"]["values"] == [4, 5] and cut["mean"] == 7
