"""Rows of quality against steps: what is there is kept, what is lacking is added."""

import few_steps
import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image


class Samples:
    """In the place of a model: counts how often it is asked."""

    def __init__(self):
        self.asked = []

    def sample(self, key, count, **settings):
        self.asked.append(settings)
        return np.full((count, 4, 2), float(jax.random.key_data(key)[1]))


@pytest.fixture
def evaluated(monkeypatch):
    """The scores that were asked for; each is 10 times the seed."""
    asked = []

    def evaluate(real, x, *, metrics, num_repeats):
        asked.append(sorted(metrics))
        return {name: {"mean": 10.0 * x[0, 0, 0]} for name in metrics}

    monkeypatch.setattr(few_steps, "evaluate", evaluate)
    return asked


FINE = ["discriminative_score", "random_convolution_fid", "spectral_distance"]


def test_a_row_is_made_once_and_completed_later(evaluated):
    model, real = Samples(), np.zeros((5, 4, 2))
    settings = {"solver": "ddim", "num_steps": 3}
    row = few_steps.measure(
        model, real, lambda: lambda x: x[0, 0, 0] + 1.0, settings, [{}, {}]
    )
    assert (row["context_fid"], row["discriminative_score"]) == (1.5, 5.0)
    assert row["of each seed"][1]["spectral_distance"] == 10.0
    assert model.asked == [settings] * 2 and evaluated == [FINE] * 2
    # All there: nothing is sampled, and the encoders aren't trained.
    again = few_steps.measure(model, real, None, settings, row["of each seed"])
    assert again == row and len(model.asked) == 2
    for one in row["of each seed"]:
        del one["discriminative_score"]
    again = few_steps.measure(model, real, None, settings, row["of each seed"])
    assert evaluated[2:] == [["discriminative_score"]] * 2
    assert (again["context_fid"], again["discriminative_score"]) == (1.5, 5.0)


def test_one_channel_has_no_discriminative_score(evaluated):
    row = few_steps.measure(
        Samples(), np.zeros((5, 4, 1)), lambda: lambda x: 0.0, {}, [{}]
    )
    assert evaluated == [FINE[1:]] and "discriminative_score" not in row


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((0.9, 120), ["1", "2", "5", "10", "20", "50", "100"]), ((4.2, 8.3), list("568"))],
)
def test_ticks_of_logarithmic_axes_are_plain_numbers(ends, expected):
    axis = Figure().subplots()
    axis.set(xscale="log", xlim=ends)
    few_steps.plain_numbers(axis.xaxis)
    low, high = ends
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    assert axis.xaxis.get_major_formatter().format_ticks(ticks) == expected


@pytest.mark.parametrize(("count", "columns", "lines"), [(1, 1, 1), (5, 4, 2)])
def test_four_sets_stand_abreast_in_the_picture(tmp_path, count, columns, lines):
    rows = {
        f"full|data|{few_steps.DPM}|{steps}": {"context_fid": 1 / steps, "seconds": 1.0}
        for steps in (1, 5)
    }
    sets = {f"set {i}": {"rows": rows, "series": 9} for i in range(count)}
    few_steps.draw({"sets": sets}, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        width, height = picture.size
    assert width == 390 * columns and height == pytest.approx(720 * lines + 60, abs=1)
    others = {key.replace("full", "data_only"): row for key, row in rows.items()}
    sets["set 0"] = {"rows": rows | others, "series": 9}
    few_steps.draw({"sets": sets}, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:  # of the one that has both models
        assert picture.size == (390, pytest.approx(780, abs=1))
