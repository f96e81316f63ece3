import json

import numpy as np
import pytest

from l2d_jax import adaptive, run
from l2d_jax.adaptive import (
    Candidate,
    best,
    decoder_stage,
    measure,
    transport,
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


def test_transport_of_a_shift_is_its_square():
    points = np.random.default_rng(0).standard_normal((50, 3))
    order = np.random.default_rng(1).permutation(50)
    shift = np.array([0.3, -0.4, 1.2])  # |shift|^2 = 1.69
    assert transport(points, points[order] + shift) == pytest.approx(1.69)
    # The longer set is cut: its second half doesn't count.
    assert transport(points, np.concatenate([points, points + 9])) == pytest.approx(0)


def test_best_is_the_smallest_sum():
    few = Candidate(4, 0.5, rebuilding=0.5, prior=0.1)
    some = Candidate(8, 0.5, rebuilding=0.2, prior=0.2)
    many = Candidate(32, 0.5, rebuilding=0.1, prior=0.6)
    assert best([few, some, many]) == some
    assert many.sum == pytest.approx(0.7)


def test_too_few_dimensions_leave_what_they_can_not_hold(monkeypatch):
    """Of two equal variances one dimension keeps one at best: error sqrt(1/2) = .71."""
    monkeypatch.setattr(adaptive, "ENCODER_STEPS", 400)
    monkeypatch.setattr(adaptive, "LATENT_STEPS", 20)
    config, rows = small_config(), curves(512, 2)
    one = measure(config, rows, 1, 0.25)
    four = measure(config, rows, 4, 0.25)
    assert 0.65 < one.rebuilding < 1.05
    assert four.rebuilding < min(0.6, one.rebuilding - 0.1)


def test_the_decoder_learns_whole_series_before_it_is_judged(monkeypatch):
    """With 3 of 4 steps hidden in stage 1, whole series are nothing that D knows."""
    monkeypatch.setattr(adaptive, "ENCODER_STEPS", 400)
    monkeypatch.setattr(adaptive, "LATENT_STEPS", 20)
    config, rows = small_config(), curves(512, 2)
    found = measure(config, rows, 4, 0.75)

    def untrained(config, shape, upstream):
        stage = decoder_stage(config, shape, upstream)
        return stage._replace(export=lambda *_: {"decoder": upstream["decoder"]})

    monkeypatch.setattr(adaptive, "decoder_stage", untrained)
    assert found.rebuilding < 0.8 * measure(config, rows, 4, 0.75).rebuilding


def test_an_untrained_prior_costs_more_than_a_trained_one(monkeypatch):
    monkeypatch.setattr(adaptive, "ENCODER_STEPS", 100)
    config, rows = small_config(), curves(512, 2)
    # Of x_0 an untrained network says 0; of v, it draws N(0, I), which is near.
    config.latent_stage.prediction = "x_0"
    found = {}
    for steps in (1, 400):
        monkeypatch.setattr(adaptive, "LATENT_STEPS", steps)
        found[steps] = measure(config, rows, 4, 0.25)
    assert found[400].rebuilding == pytest.approx(found[1].rebuilding)
    assert found[400].prior < 0.7 * found[1].prior


def fake_measure(sums):
    """`measure` by a table (dim, rate) -> sum, and what was asked of it."""
    asked = []

    def measure(config, rows, dim, rate):
        asked.append((dim, rate))
        return Candidate(dim, rate, sums.get((dim, rate), 1.0), 0.0)

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
    found, tried = with_latent(config, curves(20, 2))
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
    with pytest.raises(InputError, match="digest of the training series was"):
        run.fit(curves(40, 2, seed=1), workdir=tmp_path, config=config)
    assert len(seen) == 12
    assert (tmp_path / "latent.json").read_bytes() == before
