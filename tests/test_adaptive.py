import json

import numpy as np
import pytest

from l2d_jax import adaptive, run
from l2d_jax.adaptive import (
    Candidate,
    best,
    distance,
    measure,
    with_latent,
)
from l2d_jax.configs import base, resolve
from l2d_jax.types import InputError


def small_config():
    config = base.with_argument(base.get_config(), "smoke")
    config.encoder.learning_rate = 3e-3
    return resolve(config)


def curves(n, dim, seed=0):
    """[n, 16, 1]: normal weights on the first `dim` cosines, variance 1 in all."""
    rng = np.random.default_rng(seed)
    steps = (np.arange(16) + 0.5) / 16
    basis = np.stack([np.cos(np.pi * k * steps) for k in range(1, dim + 1)])
    weights = rng.standard_normal((n, dim)) * np.sqrt(2.0 / dim)
    return (weights @ basis)[:, :, None].astype(np.float32)


def test_distance_of_a_shift_and_of_a_spread():
    points = np.random.default_rng(0).standard_normal((50, 3))
    shift = np.array([0.3, -0.4, 1.2])
    assert distance(points, points + shift) == pytest.approx(1.3)
    wide = 2.0 * points + np.array([-1.0, 0.0, 0.0])  # means differ as well
    mean, variances = points.mean(axis=0), np.cov(points.T).trace()
    gap = np.square(mean - wide.mean(axis=0)).sum()
    assert distance(points, wide) == pytest.approx(np.sqrt(gap + variances))


def test_best_is_the_smallest_sum():
    few = Candidate(4, 0.5, rebuilding=0.5, prior=0.1, error=0.01)
    some = Candidate(8, 0.5, rebuilding=0.2, prior=0.2, error=0.01)
    many = Candidate(32, 0.5, rebuilding=0.1, prior=0.6, error=0.01)
    assert best([few, some, many]) == some
    assert many.bound == pytest.approx(0.7)
    assert best([few, many]) == few


def test_of_those_that_chance_may_order_the_papers_is_best():
    """Two errors of .03 and .04 are .1 apart, at the most."""
    few = Candidate(4, 0.5, rebuilding=0.2, prior=0.2, error=0.03)
    near = Candidate(8, 0.5, rebuilding=0.2, prior=0.29, error=0.04)
    far = near._replace(prior=0.31)
    assert best([few, near]) == near
    assert best([few, far]) == few
    rates = [few._replace(mask_rate=rate) for rate in (0.75, 0.25, 0.5)]
    assert best(rates).mask_rate == 0.5
    sixteen = few._replace(latent_dim=16, prior=0.19)
    assert best([few, sixteen]) == sixteen  # as far from 8: the smaller sum
    few, near = few._replace(error=0.0), near._replace(prior=0.2, error=0.0)
    assert best([few, near]) == near


def test_a_candidate_that_gave_no_numbers_is_never_best():
    bad = Candidate(8, 0.5, rebuilding=float("nan"), prior=0.1, error=float("nan"))
    good = Candidate(32, 0.5, rebuilding=0.5, prior=0.5, error=0.1)
    assert best([bad, good]) == best([good, bad]) == good
    assert best([bad]) is bad


def with_steps(monkeypatch, **steps):
    monkeypatch.setattr(adaptive, "NUM_DRAWN", 512)
    monkeypatch.setattr(
        adaptive, "STEPS", {"encoder": 100, "latent_stage": 1, "data_stage": 1} | steps
    )


def test_a_data_stage_that_knows_nothing_leaves_all_of_the_deviation(monkeypatch):
    """It says 0 whatever the latent: variance 1 is lost, and no prior changes that."""
    config, rows = small_config(), curves(512, 2)
    with_steps(monkeypatch)
    nothing = measure(config, rows, 4, 0.25)
    assert nothing.rebuilding == pytest.approx(1.0, abs=0.1)
    assert nothing.prior < 0.05
    with_steps(monkeypatch, encoder=400, data_stage=400)
    assert measure(config, rows, 4, 0.25).rebuilding < 0.4


def test_an_untrained_prior_costs_more_than_a_trained_one(monkeypatch):
    config, rows = small_config(), curves(512, 2)
    # Of x_0 an untrained network says 0; of v, it draws N(0, I), which is near.
    config.latent_stage.prediction = "x_0"
    found = {}
    for steps in (1, 400):
        with_steps(monkeypatch, encoder=400, latent_stage=steps, data_stage=400)
        found[steps] = measure(config, rows, 4, 0.25)
    assert found[400].rebuilding == pytest.approx(found[1].rebuilding)
    assert found[400].prior < 0.5 * found[1].prior


def test_what_is_compared_with_what(monkeypatch):
    """A quarter of the series is held out, four parts of those drawn tell the error."""
    config, rows = small_config(), curves(64, 2)
    with_steps(monkeypatch, encoder=1)
    learned, compared, values = [], [], iter([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])
    train_briefly = adaptive.train_briefly

    def train(config, rows):
        learned.append(rows)
        return train_briefly(config, rows)

    def distance(one, other):
        compared.append((one, other))
        return next(values)

    monkeypatch.setattr(adaptive, "train_briefly", train)
    monkeypatch.setattr(adaptive, "distance", distance)
    found = measure(config, rows, 4, 0.25)
    # The variance of 1, 2, 3 and 4 is 5 / 3, that of their mean a quarter of it.
    assert found == Candidate(4, 0.25, 10.0, 20.0, pytest.approx(np.sqrt(5 / 12)))
    (*parts, (rebuilt, held_out), (drawn, of_all)) = compared
    for i, (part, other) in enumerate(parts):
        np.testing.assert_array_equal(part, drawn[i::4])
        assert other is of_all and len(other) == 64
    assert len(drawn) == 512 and len(rebuilt) == len(held_out) == 16
    # Two components hold all variance: lengths are those of the series.
    unseen = [row for row in rows if not (row == learned[0]).all((1, 2)).any()]
    lengths = np.linalg.norm(unseen, axis=(1, 2)) / np.sqrt(rows.var(axis=0).sum())
    projected = np.linalg.norm(held_out, axis=1)
    np.testing.assert_allclose(np.sort(projected), np.sort(lengths), rtol=1e-4)


def fake_measure(sums):
    """`measure` by a table (dim, rate) -> sum, and what was asked of it."""
    asked = []

    def measure(config, rows, dim, rate):
        asked.append((dim, rate))
        return Candidate(dim, rate, sums.get((dim, rate), 1.0), 0.0, 0.0)

    return measure, asked


@pytest.mark.parametrize(
    "given, asked, chosen",
    [
        ((0, 0.0), [(4, 0.5), (8, 0.5), (16, 0.5), (32, 0.5)], (16, 0.25)),
        ((0, 0.75), [(4, 0.75), (8, 0.75), (16, 0.75), (32, 0.75)], (8, 0.75)),
        ((8, 0.0), [(8, 0.5)], (8, 0.75)),
    ],
)
def test_dimension_first_then_rate(monkeypatch, given, asked, chosen):
    sums = {(16, 0.5): 0.5, (16, 0.25): 0.4, (8, 0.75): 0.3}
    measure, seen = fake_measure(sums)
    monkeypatch.setattr(adaptive, "measure", measure)
    config = small_config()
    config.encoder.update(latent_dim=given[0], mask_rate=given[1])
    found, tried = with_latent(config, curves(8, 2))
    rates = [] if given[1] else [(chosen[0], 0.25), (chosen[0], 0.75)]
    assert seen == [*asked, *rates] == [one[:2] for one in tried]
    assert (found.encoder.latent_dim, found.encoder.mask_rate) == chosen
    assert config.encoder.latent_dim == given[0]


@pytest.mark.parametrize(
    "series, says",
    [
        (curves(7, 2), "7 training series are too few.*give both, or 8 series"),
        (np.repeat(curves(1, 2), 9, axis=0), "all training series are the same"),
    ],
)
def test_what_there_is_too_little_of_to_choose_by(series, says):
    config = small_config()
    config.encoder.latent_dim = 0
    with pytest.raises(InputError, match=says):
        with_latent(config, series)


def test_a_variant_without_a_prior_can_have_its_dimension_chosen(monkeypatch, tmp_path):
    measure, _ = fake_measure({(16, 0.5): 0.1})
    monkeypatch.setattr(adaptive, "measure", measure)
    config = small_config()
    config.update(variant="oracle_latent")
    config.encoder.update(latent_dim=0, num_steps=10)
    config.data_stage.num_steps = 10
    model = run.fit(curves(40, 2), workdir=tmp_path, config=config)
    assert model.config.encoder.latent_dim == 16


def test_a_run_keeps_its_choice(monkeypatch, tmp_path, capsys):
    measure, seen = fake_measure({(4, 0.5): 0.1})
    monkeypatch.setattr(adaptive, "measure", measure)
    config = small_config()
    config.data.update(name="array")
    config.encoder.update(latent_dim=0, mask_rate=0.0, num_steps=10)
    config.latent_stage.num_steps = config.data_stage.num_steps = 10
    series = curves(40, 2)
    model = run.fit(series, workdir=tmp_path, config=config)
    assert model.encode(series).shape == (40, 4)
    assert "data: latent_dim 4: --config.encoder.latent_dim" in capsys.readouterr().out
    saved = json.loads((tmp_path / "latent.json").read_text())
    assert saved["chosen"] == {"latent_dim": 4, "mask_rate": 0.5}
    count = len(seen)
    again = run.fit(series, workdir=tmp_path, config=config)
    assert len(seen) == count == 6
    assert again.config.encoder.latent_dim == 4
    # A run that the workdir refuses leaves the choice as it is.
    before = (tmp_path / "latent.json").read_bytes()
    with pytest.raises(InputError, match="the training series are others"):
        run.fit(curves(40, 2, seed=1), workdir=tmp_path, config=config)
    assert len(seen) == 12
    assert (tmp_path / "latent.json").read_bytes() == before
