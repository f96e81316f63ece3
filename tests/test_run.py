"""Whole runs, in small: through the library, and as a user types them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from made import waves
from ml_collections import ConfigDict, FrozenConfigDict
from pandas import DataFrame

import l2d_jax
from l2d_jax import configs, progress, results, run, sizes, task
from l2d_jax.cascade import Cascade
from l2d_jax.checkpoints import load_model
from l2d_jax.configs import base, resolve
from l2d_jax.data import Normalizer, load_splits, read_array
from l2d_jax.data.levels import few_values
from l2d_jax.data.order import in_order
from l2d_jax.logbook import rows
from l2d_jax.samples import read_npz
from l2d_jax.types import Examples, InputError, Splits
from l2d_jax.variants import VARIANTS
from l2d_jax.workdir import make_workdir

ROOT = Path(__file__).resolve().parents[1]


def tiny(*arguments):
    config = base.with_argument(base.get_config(), ",".join(("smoke", *arguments)))
    for stage in (config.encoder, config.latent_stage, config.data_stage):
        stage.num_steps, stage.batch_size = 10, 8
    config.training.steps_per_call = config.training.checkpoint_every = 5
    config.data_stage.num_diffusion_steps = config.latent_stage.num_diffusion_steps = 10
    config.sampling.update(latent_num_steps=0, batch_size=16)
    return config


# --- the library ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a full model of `waves()`."""
    workdir = tmp_path_factory.mktemp("finished")
    run.fit(waves(), workdir=workdir, config=tiny())
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_fit_and_load_give_the_same_model(tmp_path, variant):
    x = waves()
    model = l2d_jax.fit(x, workdir=tmp_path / "w", config=tiny(variant))
    trained = {p.name for p in (tmp_path / "w" / "checkpoints").iterdir()}
    assert trained == {*VARIANTS[variant].stages, "cascade"}
    samples = model.sample(jax.random.key(0), 20)
    # In data units: within ten standard deviations of the data.
    distance = np.abs(samples - x.mean((0, 1))[None, None]) / x.std((0, 1))[None, None]
    assert samples.shape == (20, 8, 2) and distance.max() < 10
    loaded = l2d_jax.load(tmp_path / "w")
    np.testing.assert_array_equal(loaded.sample(jax.random.key(0), 20), samples)
    assert loaded.layout == model.layout


@pytest.mark.parametrize(("variant", "verbose"), [("data_only", True), ("full", False)])
def test_a_fit_says_what_it_does_or_nothing(variant, verbose, tmp_path, capfd):
    l2d_jax.fit(waves(), workdir=tmp_path, config=tiny(variant), verbose=verbose)
    out, err = capfd.readouterr()
    assert ("data: 30 training examples" in out) == verbose
    assert ("training: on 8 x cpu (" in out) == verbose
    assert ("data: step 10 of 10" in err) == verbose
    if not verbose:
        assert not out + err
    progress.say("after it as before")
    assert capfd.readouterr().out == "after it as before\n"


def test_a_model_of_another_version_is_refused_or_made_again(workdir, caplog):
    model = l2d_jax.load(workdir)
    facts = load_model(workdir / "checkpoints" / "cascade")[1]["stages"]
    config = ConfigDict(model.config.to_dict())
    del config.encoder.whiten, config.sampling.clip
    run.save(replace(model, config=FrozenConfigDict(config)), workdir, facts)
    says = (
        r"another version of l2d_jax \(it lacks encoder.whiten, sampling.clip\): train "
        rf"it again, or use the version that wrote it \({version('l2d_jax')}\)"
    )
    with pytest.raises(InputError, match=says):
        l2d_jax.load(workdir)
    again = l2d_jax.fit(waves(), workdir=workdir, config=tiny())
    assert "made again from the finished stages: the model in" in caplog.text
    for found in (again, l2d_jax.load(workdir)):
        assert found.config == model.config
        jax.tree.map(np.testing.assert_array_equal, found.params, model.params)


def test_a_model_of_0_2_0_samples_as_it_did(workdir):
    model = l2d_jax.load(workdir)
    facts = load_model(workdir / "checkpoints" / "cascade")[1]["stages"]
    config = ConfigDict(model.config.to_dict())
    for field in ("repeats_from", "few_values", "keep_order"):
        del config.sampling[field]
    run.save(replace(model, config=FrozenConfigDict(config)), workdir, facts)
    found = l2d_jax.load(workdir)
    assert found.config.sampling.repeats_from == 1.0
    assert found.config.sampling.few_values == 0
    assert found.config.sampling.keep_order is False
    key = jax.random.key(1)
    np.testing.assert_array_equal(found.sample(key, 5), model.sample(key, 5))


def test_fit_takes_series_of_different_lengths(tmp_path):
    x = [one[: 4 + i % 5] for i, one in enumerate(waves())]
    model = l2d_jax.fit(x, workdir=tmp_path / "w", config=tiny())
    samples = model.sample(jax.random.key(0), 20)
    assert isinstance(samples, list)
    assert {len(one) for one in samples} <= {4, 5, 6, 7, 8}
    assert [len(one) for one in model.reconstruct(jax.random.key(0), x)]


def test_generated_lengths_are_distributed_as_the_real_ones(tmp_path):
    """A short kind of series and a long one; Kolmogorov-Smirnov distance of lengths."""
    rng = np.random.default_rng(0)
    real = np.where(rng.uniform(size=400) < 0.4, 5, rng.integers(10, 17, 400))
    x = [
        np.sin(0.7 * np.arange(n)[:, None] + rng.uniform(0, 6)) + (n == 5) for n in real
    ]
    config = tiny()
    for stage, num_steps in (
        (config.encoder, 300),
        (config.latent_stage, 2_000),
        (config.data_stage, 800),
    ):
        stage.update(num_steps=num_steps, batch_size=64, width=32, warmup_steps=50)
    config.latent_stage.update(num_blocks=2, num_diffusion_steps=100)
    config.data_stage.update(num_blocks=2, num_diffusion_steps=100)
    config.training.update(steps_per_call=100, checkpoint_every=2_000)
    model = l2d_jax.fit(x, workdir=tmp_path / "w", config=config)
    generated = np.array([len(one) for one in model.sample(jax.random.key(0), 2_000)])
    steps = np.arange(1, 17)
    distance = np.abs(
        (real[:, None] <= steps).mean(axis=0)
        - (generated[:, None] <= steps).mean(axis=0)
    ).max()
    # Two samples of one distribution: below .075 in 95 % of cases.
    assert distance < 0.12


def test_a_run_leaves_all_that_it_promises_and_is_not_repeated(tmp_path):
    path = tmp_path / "mine.csv"
    table = waves(1, 60)[0]
    lines = ["price,rate", *(f"{a},{b}" for a, b in table.tolist())]
    path.write_text("\n".join(lines) + "\n")
    config = tiny()
    config.data.update(name="file", path=str(path), window=8)
    scores = run.run(config, tmp_path / "w")
    workdir = tmp_path / "w"
    for name in ("config.json", "metrics.jsonl", "samples.npz", "scores.json"):
        assert (workdir / name).stat().st_size > 0
    assert list(workdir.glob("events.out.tfevents*"))
    page = (workdir / "report" / "index.html").read_text()
    assert "<h1>mine.csv: real and generated</h1>" in page
    assert "price" in page and "rate" in page
    score = scores["context_fid"]
    assert score["interval"][0] < score["mean"] < score["interval"][1]
    assert score["floor"]["num_samples"] == 53 // 2
    examples, settings = read_npz(workdir / "samples.npz")
    assert len(examples.series) == settings["num_samples"] == 64
    expected = l2d_jax.load(workdir).sample(jax.random.key(0), 64)
    np.testing.assert_array_equal(examples.series, expected)

    before = {p: p.stat().st_mtime_ns for p in workdir.glob("s*.*")}
    assert run.run(config, workdir) == scores
    assert {p: p.stat().st_mtime_ns for p in workdir.glob("s*.*")} == before
    config.sampling.num_samples = 20  # sampling may change on a finished workdir
    assert run.run(config, workdir)["context_fid"]["num_samples"] == 20
    # And the other commands go on with what was changed.
    assert l2d_jax.load(workdir).config.sampling.num_samples == 20

    said = (workdir / "config.json").read_bytes()
    config.data_stage.width = 24
    with pytest.raises(InputError, match=r"data_stage\.width was 16 and is 24"):
        run.run(config, workdir)
    assert (workdir / "config.json").read_bytes() == said


@pytest.mark.parametrize(
    "variant, series, says",
    [
        ("latent_only", waves(), "variant was 'full' and is 'latent_only'"),
        ("gaussian", waves(), "variant was 'full' and is 'gaussian'"),
        ("full", waves(seed=1), "the training series are others"),
    ],
)
def test_a_finished_model_is_not_replaced_by_another(variant, series, says, finished):
    """Not of another variant, nor of other data."""
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=rf"{says}.* or take another --workdir"):
        run.fit(series, workdir=finished, config=tiny(variant))
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("variant", ["full", "gaussian"])
def test_a_finished_workdir_takes_the_units_and_columns_of_today(tmp_path, variant):
    """Which the weights don't see: channels times 8, other names, later days."""
    config, path = tiny(variant), tmp_path / "x.csv"
    config.data.update(
        name="file", path=str(path), window=8, stride=1, time_column="day"
    )
    config.evaluation.metrics = ()
    config.sampling.num_samples = 20

    def samples(names, factor, first):
        rng = np.random.default_rng(0)
        values = factor * (1 + rng.integers(0, 4096, (40, 2)) / 4096)
        days = np.datetime64(first) + np.arange(40)
        rows = [f"{d},{a},{b}" for d, (a, b) in zip(days, values, strict=True)]
        path.write_text("\n".join([f"day,{names}", *rows]))
        run.run(config, tmp_path / "w")
        return pd.read_csv(tmp_path / "w" / "samples.csv")

    before = samples("a,b", 1.0, "2020-01-01")
    after = samples("a,c", 8.0, "2021-01-01")
    assert [*before] == ["sample_id", "day", "a", "b"]
    assert [*after] == ["sample_id", "day", "a", "c"]
    assert (before.day[0], after.day[0]) == ("2020-01-01", "2021-01-01")
    for one, other in (("a", "a"), ("b", "c")):
        np.testing.assert_allclose(8 * before[one], after[other], atol=1e-3)
    assert l2d_jax.load(tmp_path / "w").layout.channels == ("a", "c")
    assert run.read_json(tmp_path / "w" / "config.json", "")  # whole
    written = (tmp_path / "w" / "samples.csv").stat().st_mtime_ns
    run.run(config, tmp_path / "w")
    assert (tmp_path / "w" / "samples.csv").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("section", "field", "says"),
    [
        ("data_stage", "widht", "data_stage.widht: .* did you mean 'width'"),
        ("", "sede", "--config.sede: .* did you mean 'seed'"),
        ("sampling", "xyz", "sampling.xyz: there is no such field, leave it out"),
    ],
)
def test_fields_that_nothing_reads_are_refused_from_python(section, field, says):
    config = tiny()
    (config[section] if section else config)[field] = 7
    with pytest.raises(InputError, match=says):
        l2d_jax.fit(waves(), config=config)


def test_long_series_may_be_cut(tmp_path):
    config = tiny()
    with pytest.raises(InputError, match="there are 2 training series") as error:
        run.check_scorable(resolve(config), splits_of(np.zeros((2, 300, 2))))
    assert "window" not in str(error.value)  # of a known set
    config.data.name = "file"
    with pytest.raises(InputError, match=r"cut them into .*window=24, add some, or"):
        run.check_scorable(resolve(config), splits_of(np.zeros((2, 300, 2))))


def test_metrics_may_be_joined_by_commas():
    config = tiny()
    config.evaluation.metrics = ("spectral_distance,pca_fid", "mmd_series")
    assert resolve(config).evaluation.metrics == (
        "spectral_distance",
        "pca_fid",
        "mmd_series",
    )


def test_samples_are_made_again_when_their_number_changes(tmp_path):
    config = tiny("gaussian")
    config.sampling.num_samples = 0  # as many as there are real ones, here 30
    path = tmp_path / "samples.npz"

    def generated(num_series):
        config.evaluation.num_series = num_series
        model = run.fit(waves(), workdir=tmp_path, config=config)
        results.generate(model, tmp_path)
        examples, settings = read_npz(path)
        assert settings["num_samples"] == len(examples.series)
        return len(examples.series), path.stat().st_mtime_ns, model

    count, time, _ = generated(0)
    assert count == 30
    config.sampling.batch_size = 8  # memory, not results
    assert generated(0)[:2] == (30, time)
    count, _, model = generated(20)
    assert count == 20
    results.sample_to_file(model, path, n=5, seed=0)  # --mode=sample --out=...
    assert generated(20)[0] == 20


def test_a_path_of_any_kind_is_a_file(tmp_path):
    np.save(tmp_path / "x.npy", waves())
    [entry] = os.scandir(tmp_path)  # no str and no Path
    model = l2d_jax.fit(entry, config=tiny("gaussian"))
    assert model.config.data.path == str(tmp_path / "x.npy")
    assert model.layout.num_series == 30


@pytest.mark.parametrize("is_own", [True, False])
def test_samples_are_drawn_once_for_both_files(is_own, tmp_path, monkeypatch):
    """A second file is made of the first, and an old one is never taken for it."""
    config, path = tiny("gaussian"), tmp_path / "x.csv"
    lines = ["a,b", *(f"{a},{b}" for a, b in waves(1, 60)[0].tolist())]
    path.write_text("\n".join(lines))
    config.data.window = 8
    config.sampling.num_samples = 20
    model = l2d_jax.fit(path, config=config)
    if not is_own:  # as of a public set
        model = replace(model, layout=model.layout._replace(form=None))
    draw, drawn = Cascade.sample_batches, []

    def noted(self, key, n):
        drawn.append(n)
        return draw(self, key, n)

    monkeypatch.setattr(Cascade, "sample_batches", noted)
    beside = tmp_path / "samples.csv"

    def generated(model):
        results.generate(model, tmp_path)
        table, examples = pd.read_csv(beside), read_npz(tmp_path / "samples.npz")[0]
        values = table[list(model.layout.channels)].to_numpy()
        np.testing.assert_allclose(values, examples.series.reshape(-1, 2), rtol=1e-6)
        return table

    first = generated(model)
    assert next(iter(first)) == "sample_id" and drawn == [20]
    beside.unlink()
    assert generated(model).equals(first) and drawn == [20]
    other = replace(model, params=jax.tree.map(lambda x: x + x, model.params))
    write = results.write_beside
    monkeypatch.setattr(results, "write_beside", None)  # calling it fails: cut off
    with pytest.raises(TypeError):
        results.generate(other, tmp_path)
    monkeypatch.setattr(results, "write_beside", write)
    assert not generated(other).equals(first) and drawn == [20, 20]
    monkeypatch.setattr(results, "suffix_beside", lambda model, n: "")
    results.generate(model, tmp_path)  # as more of a public set, which have no table
    assert not beside.exists() and drawn == [20, 20, 20]


def test_only_small_sets_of_samples_are_tables_too(tmp_path):
    model = l2d_jax.fit(waves(), config=tiny("gaussian"))
    assert results.suffix_beside(model, 20) == ""  # of an array
    model = replace(model, layout=model.layout._replace(form=None))
    assert results.suffix_beside(model, results.MAX_ROWS // 8) == ".csv"
    assert results.suffix_beside(model, results.MAX_ROWS // 8 + 1) == ""


def test_a_data_file_is_found_from_elsewhere_and_after_it_was_moved(
    tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "mine.npy", waves())
    for module in (run, results):  # it takes its time
        monkeypatch.setattr(module, "report", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    config = tiny("gaussian")
    config.data.update(name="file", path="mine.npy")
    config.evaluation.metrics = ("spectral_distance",)
    scores = run.run(config, "w")
    monkeypatch.chdir(tmp_path / "elsewhere")
    workdir = tmp_path / "w"
    assert results.rescore(workdir, None, report_only=False) == scores
    (tmp_path / "mine.npy").rename("moved.npy")
    with pytest.raises(InputError, match=r"correct --config\.data\.path"):
        results.rescore(workdir, None, report_only=True)
    config.data.path = "moved.npy"
    assert results.rescore(workdir, config, report_only=False) == scores
    np.save("other.npy", 2.0 * waves())  # as many, of the same shape
    config.data.path = "other.npy"
    with pytest.raises(InputError, match="aren't those that the model was trained on"):
        results.rescore(workdir, config, report_only=False)
    config.data.path = "moved.npy"
    run.run(config, workdir)  # is finished, and keeps the new place
    assert l2d_jax.load(workdir).config.data.path == str(Path("moved.npy").absolute())


def test_scores_are_of_the_series_that_they_were_made_with(tmp_path, monkeypatch):
    np.save(tmp_path / "mine.npy", waves(n=100))
    config = tiny("gaussian")
    config.data.update(name="file", path=str(tmp_path / "mine.npy"))
    config.data.protocol = "held_out"
    config.evaluation.metrics = ("spectral_distance",)
    monkeypatch.setattr(run, "report", lambda *_: None)
    scores = run.run(config, tmp_path / "w")
    splits = load_splits(config.data)
    workdir, config = make_workdir(tmp_path / "w"), resolve(config)
    assert results.score(workdir, config, splits) == scores
    x = splits.train.series.copy()
    x[::2] = x[::2, ::-1]
    others = splits._replace(train=splits.train._replace(series=x))
    assert results.score(workdir, config, others) != scores
    test = splits.test._replace(series=2.0 * splits.test.series)
    others = splits._replace(test=test)
    found = results.score(workdir, config, others)["settings"]
    assert found != scores["settings"]


def test_a_model_of_an_array_is_scored_against_a_file_of_the_same(tmp_path):
    config = tiny("gaussian")
    config.evaluation.metrics = ("spectral_distance",)
    l2d_jax.fit(waves(), workdir=tmp_path / "w", config=config)
    workdir = make_workdir(tmp_path / "w")
    with pytest.raises(InputError, match=r"an array.*l2d_jax\.evaluate.*data\.path"):
        results.rescore(workdir, None, report_only=False)
    np.save(tmp_path / "mine.npy", waves())
    config.data.path = str(tmp_path / "mine.npy")
    assert "spectral_distance" in results.rescore(workdir, config, report_only=False)
    config.evaluation.metrics = ("spectral_distance,skewness_difference",)
    found = results.rescore(workdir, config, report_only=False)
    assert {"spectral_distance", "skewness_difference"} <= found.keys()
    config.evaluation.num_repeats = 0
    says = r"--config\.evaluation\.num_repeats=0: use 1 or more"
    with pytest.raises(InputError, match=says):
        results.rescore(workdir, config, report_only=False)


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("variant", "half", "--config.variant='half': use one of full"),
        ("data_stage.condition", "sum", "data_stage.condition='sum': use one of add"),
        ("data_stage.mixing", "fft", "data_stage.mixing='fft': use one of mlp"),
        ("latent_stage.schedule", "sqrt", "latent_stage.schedule='sqrt': use one of"),
        ("data_stage.prediction", "x", "data_stage.prediction='x': use one of x_0"),
        ("data_stage.batch_size", 4, "data_stage.batch_size=4 .*over 8 devices"),
        ("encoder.mask_rate", -0.5, "encoder.mask_rate=-0.5: use above 0"),
        ("encoder.latent_dim", -1, "encoder.latent_dim=-1: use 1 or more"),
        ("encoder.latent_noise", -0.1, "encoder.latent_noise=-0.1: use 0 or more"),
        ("data_stage.condition_dropout", 1.0, "dropout=1.0: use 0 or more, and less"),
        ("latent_stage.ema_decay", 1.0, "latent_stage.ema_decay=1.0: use 0 or more"),
        ("data_stage.learning_rate", 0.0, "learning_rate=0.0: use a number above 0"),
        ("data_stage.learning_rate", float("nan"), "rate=nan: use a number above 0"),
        ("evaluation.num_series", -1, "evaluation.num_series=-1: use 16 or more, or 0"),
        ("evaluation.num_series", 15, "evaluation.num_series=15: use 16 or more, or 0"),
        ("seed", -1, "--config.seed=-1: use 0 or more"),
        (
            "seed",
            2**32,
            r"--config.seed=4294967296: use 0 or more, and less than 2\^32",
        ),
        (
            "data_stage.num_diffusion_steps",
            1,
            "--config.data_stage.num_diffusion_steps=1: use 2 or more",
        ),
        ("latent_stage.beta_last", 1.5, "--config.latent_stage.beta_first=.*need 0 <"),
        ("data_stage.noise_scale", -1.0, "--config.data_stage.noise_scale=-1.0: use"),
        ("sampling.latent_num_steps", 11, "latent_num_steps=11: the chain.*1 to 10"),
        ("sampling.spacing", 0.5, r"spacing=0.5: use 1 \(even\) to 5"),
        ("sampling.spacing", 5.5, r"spacing=5.5: use 1 \(even\) to 5"),
        ("training.compute_dtype", "int8", "compute_dtype='int8': use one of float32"),
        ("evaluation.metrics", ("fid",), "evaluation.metrics='fid': use one of"),
        ("sampling.solver", "euler", "solver='euler': use one of ancestral"),
        ("sampling.num_steps", 11, "num_steps=11.* use 1 to 10"),
        ("sampling.num_samples", -1, "num_samples=-1: use 16 or more, or 0"),
        ("sampling.num_samples", 15, "num_samples=15: use 16 or more, or 0"),
        ("sampling.repeats_from", 0.0, "repeats_from=0.0: use above 0, below 1, or 1"),
        ("sampling.repeats_from", 1.1, "repeats_from=1.1: .* 1 to have no repeats"),
        ("data.name", "stocks", "did you mean 'stock'"),
        ("data.protocol", "heldout", "data.protocol='heldout': use one of published"),
        ("data.scaler", "log", "data.scaler='log': use one of equal_range"),
    ],
)
def test_values_that_can_not_be_are_refused_before_anything_is_written(
    tmp_path, field, value, says
):
    config = tiny()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=says):
        run.run(config, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_too_few_series_are_refused_before_training_or_not_scored(tmp_path):
    np.save(tmp_path / "few.npy", waves()[:15])
    config = tiny("gaussian")
    config.data.update(name="file", path=str(tmp_path / "few.npy"))
    with pytest.raises(InputError, match="15 training series, and scores take 16"):
        run.run(config, tmp_path / "w")
    assert not (tmp_path / "w").exists()
    config.evaluation.metrics = ()
    assert set(run.run(config, tmp_path / "w")) == {"settings"}
    assert (tmp_path / "w" / "report" / "index.html").exists()


def test_the_own_file_is_never_written_over(tmp_path):
    own = tmp_path / "w" / "samples.npy"
    own.parent.mkdir()
    np.save(own, waves())
    before = own.read_bytes()
    config = tiny("gaussian")
    config.evaluation.metrics = ()
    path = tmp_path / "w" / ".." / "w" / "samples.npy"
    config.data.update(name="file", path=str(path))
    with pytest.raises(InputError, match="write its samples over it"):
        run.run(config, tmp_path / "w")
    run.run(config, tmp_path / "v")
    with pytest.raises(InputError, match="it is what the model was trained on"):
        results.sample_to_file(l2d_jax.load(tmp_path / "v"), own, n=16, seed=0)
    assert own.read_bytes() == before


@pytest.mark.parametrize(
    "section, fields, says",
    [
        (
            "latent_stage",
            {"prediction": "eps", "schedule": "cosine"},
            "latent_stage.prediction=eps: the last steps of this schedule",
        ),
        (
            "data_stage",
            {"mixing": "attention", "width": 18},
            "data_stage.width=18: attention has 4 heads, use a multiple of 4",
        ),
        (
            "data_stage",
            {"condition_network": "attention", "condition_width": 6},
            "data_stage.condition_width=6: attention has 4 heads",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_refused_before_training(
    section, fields, says
):
    config = tiny()
    config[section].update(fields)
    with pytest.raises(InputError, match=says):
        resolve(config)
    config.variant = "bootstrap"  # that has neither
    resolve(config)


@pytest.mark.parametrize(
    "variant, solver, eta, passes",
    [
        ("full", {}, 1.0, True),  # the default
        ("full", {}, 0.5, False),
        ("full", {"solver": "ancestral"}, 0.0, False),
        ("full", {"latent_solver": "ddim"}, 0.5, True),
        ("data_only", {"latent_solver": "ddim"}, 0.5, False),
        ("diffusion_ts", {"num_steps": 3}, 0.5, False),  # ddim with its own eta, 0
        ("diffusion_ts", {"num_steps": 3, "solver": "ddim"}, 0.5, True),
        ("time_gan", {}, 0.5, True),  # flags that a variant ignores: check_used
    ],
)
def test_eta_is_refused_where_no_chain_takes_it(variant, solver, eta, passes):
    config = tiny(variant)
    config.sampling.update(solver, eta=eta)
    if passes:
        found = resolve(resolve(config)).sampling
        assert found.eta == eta
    else:
        with pytest.raises(InputError, match=f"eta={eta} is a setting of .* say both"):
            resolve(config)


@pytest.mark.parametrize(
    "series, says",
    [
        (np.zeros((4, 8, 2, 2)), r"shape \[4, 8, 2, 2\]: give"),
        ([], "no series"),
        ([np.zeros((4, 2)), np.zeros((4, 3))], r"series 1 .*3"),
        (np.full((4, 8, 2), np.nan), "series 0 .*has no value at all"),
        (np.ones((4, 8, 2)), "channel 'channel_0' is 1 at every step"),
        ("missing.csv", r"missing\.csv"),
        ([DataFrame({"a": [1.0]})] * 9, r"series 0 .* is a DataFrame: .*pd\.concat"),
        (np.float64([[1], [2], [5]])[None] * 1e-40, "varies by 4.*e-40, less than"),
    ],
)
def test_series_that_can_not_be_used_are_named(series, says):
    with pytest.raises(InputError, match=says):
        l2d_jax.fit(series, config=tiny())


def test_a_config_is_given_whole():
    with pytest.raises(InputError, match="config: give a whole one"):
        l2d_jax.fit(waves(), config=ConfigDict({"seed": 1}))


def test_inside_jit_the_error_says_so():
    with pytest.raises(InputError, match="inside jit or vmap: call this outside"):
        jax.jit(read_array)(jnp.zeros((4, 8, 2)))


def test_float64_of_other_code_changes_nothing(tmp_path, finished):
    """Trained, sampled and encoded with jax_enable_x64 as without."""

    def found(model):
        key, x = jax.random.key(0), waves()
        return model.sample(key, 8), model.encode(x), model.reconstruct(key, x)

    expected = found(l2d_jax.load(finished))
    jax.config.update("jax_enable_x64", True)
    try:
        again = found(run.fit(waves(), workdir=tmp_path / "w", config=tiny()))
    finally:
        jax.config.update("jax_enable_x64", False)
    for with_float64, without in zip(again, expected, strict=True):
        assert with_float64.dtype == without.dtype
        np.testing.assert_array_equal(with_float64, without)


def splits_of(series):
    lengths = np.full(len(series), series.shape[1])
    channels = tuple("abcdefgh"[: series.shape[2]])
    return Splits(Examples(series, lengths), None, channels)


def notes_on(series):
    """Of channels that are unlike what can be learnt."""
    splits = splits_of(np.asarray(series, np.float32))
    normalizer = Normalizer.fit(splits.train, "min_max", splits.channels)
    levels = few_values(splits.train, 32)
    return task.unlike(splits.train, splits.channels, normalizer, levels)


def test_outliers_are_noted():
    series = np.random.default_rng(0).uniform(size=(50, 24, 2)).astype(np.float32)
    for value, words in (
        (1.9, ""),
        (90.0, ": 0.083 % of its values are 90, far from all others, 0.000"),
        (-9999.0, ": 99 % of its values lie between 0.00"),  # times 1 / 100: the limit
    ):
        series[3, 4, 1] = value
        found = notes_on(series)
        assert len(found) == bool(words)
        assert not words or found[0].startswith(f"channel 'b'{words}")
    assert "all between -9999 and 0.99" in found[0]


@pytest.mark.parametrize("mark", [-999.0, 0.0, 9999.0])
@pytest.mark.parametrize(("share", "noted"), [(0.01, True), (0.4, True), (0.6, False)])
def test_marks_of_missing_values_are_noted(mark, share, noted):
    rng = np.random.default_rng(0)
    series = 1013 + np.clip(40 * rng.normal(size=(50, 24, 1)), -100, 100)
    series[rng.uniform(size=series.shape) < share] = mark
    found = notes_on(series)
    assert len(found) == noted
    if noted:
        assert f" of its values are {mark:g}, far from all others, 9" in found[0]


def test_values_next_to_a_mark_or_few_are_none():
    """A rest of 0 beside 57 to 116, a valve that is 0 or 95 to 100."""
    rng = np.random.default_rng(0)
    series = np.stack(
        [rng.integers(57, 117, (50, 24)), rng.integers(95, 101, (50, 24))], axis=-1
    )
    series[rng.uniform(size=series.shape) < 0.2] = 0
    assert notes_on(series) == []


def test_values_of_several_magnitudes_are_noted():
    walks = np.random.default_rng(0).normal(size=(50, 24, 1))
    assert notes_on(walks) == notes_on(np.exp(walks)) == []
    (note,) = notes_on(np.exp(3 * walks))
    assert "half of its values lie between 0.1" in note and "logarithm" in note


def test_running_totals_are_noted():
    steps = np.random.default_rng(0).exponential(size=(50, 24, 1))
    steps[::2, ::2] = 0.0
    totals = steps.cumsum(axis=1)
    (note,) = notes_on(totals)
    assert note.startswith("channel 'a' hardly ever falls")
    totals[7, 10:] -= totals[7, 10:11]  # the meter is replaced
    assert notes_on(totals) == [note]
    totals[:, 12:] -= totals[:, 12:13]  # each day from 0
    assert notes_on(totals) == []
    still = np.repeat(np.arange(50.0)[:, None, None], 24, axis=1)  # one in each series
    assert notes_on(still) == []


def test_samples_have_the_decimals_of_the_table(tmp_path):
    """Two, none, any; as the model gives them, and as they are written."""
    path, workdir = tmp_path / "mine.csv", tmp_path / "w"
    rows = 100 * np.random.default_rng(0).standard_normal((80, 3))
    cells = (f"{a:.2f};{b:.0f}.0;{c:.9f}" for a, b, c in rows)
    path.write_text("\n".join(["a;b;c", *cells]) + "\n")
    config = tiny()
    config.data.update(name="file", path=str(path), window=8)
    config.sampling.num_samples = 40
    config.evaluation.metrics = ()
    run.run(config, workdir)
    model = l2d_jax.load(workdir)
    free = replace(model, layout=model.layout._replace(form=None))
    key = jax.random.key(0)
    x, exact = model.sample(key, 40), free.sample(key, 40).astype(np.float64)
    np.testing.assert_array_equal(x[..., 0], np.float32(np.round(exact[..., 0], 2)))
    np.testing.assert_array_equal(x[..., 1], np.rint(exact[..., 1]))
    np.testing.assert_array_equal(x[..., 2], exact[..., 2])
    lines = (workdir / "samples.csv").read_text().splitlines()
    written = [line.split(";")[1:] for line in lines[1:]]
    decimals = [[len(cell.partition(".")[2]) for cell in row] for row in written]
    assert np.max(decimals, axis=0)[:2].tolist() == [2, 0] and len(written) == 320


def test_samples_keep_to_few_values(tmp_path, capsys):
    """A switch, also one of missing values, beside a channel of any value.

    It is on as often as in training, a tenth of the steps.
    """
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(60, 24, 3)).astype(np.float32)
    series[..., 1] = np.where(series[..., 1] < 0.9, -1.5, 0.1)
    series[..., 2] = np.where(series[..., 2] < 0.5, 0.0, 6.25)
    series[:, 3, 2] = np.nan
    config = base.with_argument(configs.own.get_config(), "smoke")
    config.sampling.repeats_from = 1.0
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    said = capsys.readouterr().out
    assert "samples keep to, in 'channel_1' (-1.5, 0.1), 'channel_2' (0, 6.25)" in said
    key = jax.random.key(1)
    x = model.sample(key, 100)
    np.testing.assert_array_equal(np.unique(x[..., 1]), np.float32([-1.5, 0.1]))
    np.testing.assert_array_equal(np.unique(x[..., 2]), np.float32([0, 6.25]))
    assert len(np.unique(x[..., 0])) > 2_000
    for c, value in ((1, 0.1), (2, 0.0)):
        value, known = np.float32(value), ~np.isnan(series[..., c])
        share = (series[..., c] == value).sum() / known.sum()
        assert (x[..., c] == value).mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 100), x)
    config.sampling.few_values = 1
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    y = free.sample(key, 100)
    np.testing.assert_array_equal(y[..., 0], x[..., 0])
    cut = model.normalizer.cuts[1, 0]
    np.testing.assert_array_equal(y[..., 1] > cut, x[..., 1] == np.float32(0.1))
    assert len(np.unique(y[..., 1])) > 1_000


def test_samples_keep_the_order_of_channels(tmp_path, capsys):
    """Lowest and highest price, and one that stands twice; also in a workdir."""
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(60, 24, 4)).astype(np.float32)
    series[..., 1] = series[..., 0] + 0.01 * rng.integers(0, 3, (60, 24))
    series[..., 3] = series[..., 0]
    config = base.with_argument(configs.own.get_config(), "smoke")
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "in samples too, 'channel_0' = 'channel_3', 'channel_0' <= 'channel_1', "
        "'channel_3' <= 'channel_1': --config.sampling.keep_order" in said
    )
    key = jax.random.key(1)
    x = model.sample(key, 100)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 100), x)
    config.sampling.keep_order = False
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    # Of weights that know little of the order:
    weights = model.params["series_denoiser"]
    weights = jax.tree.map(lambda w: w + 0.1 * rng.normal(size=w.shape), weights)
    params = model.params | {"series_denoiser": weights}
    x, y = (replace(one, params=params).sample(key, 100) for one in (model, free))
    assert (y[..., 0] != y[..., 3]).any() and (y[..., 0] > y[..., 1]).any()
    np.testing.assert_array_equal(x[..., 0], x[..., 3])
    assert (x[..., 0] <= x[..., 1]).all() and (x[..., 2] > x[..., 1]).any()
    np.testing.assert_array_equal(in_order(y, model.normalizer.ordered), x)


def test_samples_repeat_the_value_before_as_often_as_the_series_do(tmp_path):
    """Through a workdir, where it can be switched off without training again."""
    rng = np.random.default_rng(0)
    series = rng.uniform(size=(50, 24, 3)).astype(np.float32)
    for t in range(1, 24):
        same = rng.uniform(size=50) < 0.6
        series[same, t, 1] = series[same, t - 1, 1]
    share = (np.diff(series[:, :, 1], axis=1) == 0).mean()
    assert 0.55 < share < 0.65
    config = base.with_argument(configs.own.get_config(), "smoke")
    model = l2d_jax.fit(series, config=config, workdir=tmp_path)
    key = jax.random.key(1)
    x = model.sample(key, 1_000)
    repeats = (np.diff(x, axis=1) == 0).mean(axis=(0, 1))
    np.testing.assert_allclose(repeats, [0, share, 0], atol=0.02)
    np.testing.assert_array_equal(l2d_jax.load(tmp_path).sample(key, 1_000), x)
    config.sampling.repeats_from = 0.7
    free = l2d_jax.fit(series, config=config, workdir=tmp_path)
    y = free.sample(key, 1_000)
    assert not (np.diff(y, axis=1) == 0).any()
    np.testing.assert_array_equal(y[:, :, [0, 2]], x[:, :, [0, 2]])
    limit = model.normalizer.held_below[1]
    assert (np.abs(np.diff(y[:, :, 1], axis=1)) <= limit).mean() == repeats[1]
    jax.tree.map(np.testing.assert_array_equal, free.params, model.params)


def test_which_channels_stand_still():
    series = np.zeros((4, 5, 3), np.float32)
    series[:, ::2] = 1.0
    series[:, 1:4, 1:] = 7.0  # at 2 of 4 steps
    splits = splits_of(series)
    for least, expected in ((0.5, [0, 0.5, 0.5]), (0.51, [0, 0, 0]), (1.0, [0, 0, 0])):
        found = task.held_shares(splits.train, least)
        np.testing.assert_array_equal(found, expected)
    (note,) = task.standing(("a", "b", "c"), np.array([0, 0.5, 0]))
    assert note.startswith("steps that repeat the value before") and "'b' (50%)" in note
    assert "'a'" not in note and "'c'" not in note


@pytest.mark.parametrize(("steps", "channels"), [(4, 8), (3, 8)])
def test_axes_that_may_be_the_wrong_way_round_are_noted(steps, channels):
    found = task.unlikely_shapes(splits_of(np.zeros((2, steps, channels))))
    assert len(found) == (steps == 3)
    assert all("more channels (8) than steps (3)" in note for note in found)


@pytest.mark.parametrize(
    ("length", "patch", "depth"),
    [(24, 4, 5), (96, 4, 5), (97, 5, 5), (127, 6, 5), (128, 6, 6), (1_000, 42, 8)],
)
def test_sizes_chosen_for_the_length_of_the_series(length, patch, depth):
    config, notes = sizes.with_sizes(configs.own.get_config(), (length, 1))
    assert config.data_stage.patch == patch and config.encoder.depth == depth
    assert config.encoder.decoder_patch == patch // 2
    assert (
        f"steps of a patch of the denoiser {patch}: --config.data_stage.patch" in notes
    )
    # Two convolutions of three taps a block, the dilation doubling from 1.
    reach = 2 * sum(2**i for i in range(depth + 1))
    assert reach >= length - 1 and (depth == 5 or reach / 2 < length)
    given, notes = sizes.with_sizes(base.get_config(), (length, 1))
    assert given.data_stage.patch == 4 and notes == []


@pytest.mark.parametrize(
    ("shape", "asked", "chosen"),
    [
        ((24, 16), "auto", "v"),  # 64 values a token of 128
        ((24, 17), "auto", "x_0"),
        ((24, 17), "v", "v"),
        ((240, 6), "auto", "v"),  # 60, as a patch has 10 steps
        ((240, 7), "auto", "x_0"),
    ],
)
def test_the_prediction_chosen_for_the_size_of_a_token(shape, asked, chosen):
    config = configs.own.get_config()
    config.data_stage.prediction = asked
    config, notes = sizes.with_sizes(resolve(config), shape)
    assert config.data_stage.prediction == chosen
    note = f"the denoiser predicts {chosen}: --config.data_stage.prediction"
    assert (note in notes) == (asked == "auto")


@pytest.mark.parametrize(
    ("series", "latent", "data"),
    [
        (20, 40, 79),
        (200, 400, 800),
        (640, 1_300, 2_500),
        (3_000, 5_900, 10_000),
        (10**6, 8_000, 10_000),
    ],
)
def test_steps_chosen_for_the_number_of_series(series, latent, data):
    """500 times through them: of 200, 500 x 200 / 256 = 391, in calls of 100 steps."""
    config, notes = sizes.with_steps(resolve(configs.own.get_config()), series)
    assert config.latent_stage.num_steps == latent
    assert config.data_stage.num_steps == data
    times = f"({round(data * 128 / series)} times through the series)"
    flag = "--config.data_stage.num_steps"
    assert notes[1] == f"training steps of the data stage {data:,} {times}: {flag}"
    again, notes = sizes.with_steps(config, 10)
    assert again.data_stage.num_steps == data and notes == []


@pytest.mark.parametrize(
    "field", ["encoder.depth", "encoder.decoder_patch", "data_stage.patch"]
)
def test_no_size_is_below_0(field):
    config = configs.own.get_config()
    section, name = field.split(".")
    config[section][name] = -1
    says = re.escape(f"--config.{field}=-1: use 1 or more, or 0 to have it chosen")
    with pytest.raises(InputError, match=says):
        resolve(config)


def test_steps_are_chosen_for_what_is_trained():
    config, notes = sizes.with_steps(resolve(configs.own.get_config("data_only")), 20)
    assert len(notes) == 1 and config.data_stage.num_steps == 79
    config.encoder.num_steps = 0
    with pytest.raises(InputError, match=r"encoder\.num_steps=0: use 1 or more"):
        resolve(config)


def test_equal_size_with_latents_that_are_to_be_chosen():
    config = configs.resolve(tiny("single_stage"))
    sized, _ = sizes.with_equal_size(config, (8, 2))
    config.encoder.update(latent_dim=0, mask_rate=0.0)
    open_sized, _ = sizes.with_equal_size(config, (8, 2))
    assert open_sized.data_stage.width == sized.data_stage.width


def test_stages_that_choose_a_latent_are_checked_too():
    config = tiny("latent_only")
    config.data_stage.batch_size = -5
    resolve(config)  # it has no data stage
    config.encoder.latent_dim = 0
    with pytest.raises(InputError, match=r"data_stage\.batch_size=-5"):
        resolve(config)


def test_places_that_can_not_be_a_workdir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--workdir=.*file is a file: name a folder"):
        make_workdir(tmp_path / "file")
    with pytest.raises(InputError, match=r"--workdir=.*is a file"):
        make_workdir(tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"can't be written to \(.*\): name another"):
        make_workdir("/proc/l2d")
    with pytest.raises(InputError, match="no finished model there"):
        l2d_jax.load(tmp_path)


@pytest.mark.parametrize("name", ["lr[0.1]", "a*b", "why?", r"a\b", "caf\udce9"])
def test_a_workdir_whose_checkpoints_could_not_be_read_is_refused(name, tmp_path):
    """All stages were trained, and the checkpoints of all were lost."""
    config = configs.own.get_config("gaussian")
    with pytest.raises(InputError, match=r"checkpoints can't be kept: name another"):
        l2d_jax.fit(waves(), workdir=tmp_path / name, config=config)
    assert not [*tmp_path.glob("*/*")]


# --- the command line -----------------------------------------------------------------


def command(*arguments):
    return [sys.executable, str(ROOT / "main.py"), *map(str, arguments)]


def l2d(*arguments, **environment):
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def error_of(*arguments):
    """The one line that a refused command prints."""
    done = l2d(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert done.stdout == ""
    return done.stderr


CONFIGS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "base"
)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_runs_in_small(name, tmp_path, monkeypatch, request, shelf):
    """All but the scores, which test_japanese_vowels_as_users_run_it has."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(shelf))
    argument, given = "smoke", {}
    if name == "own":
        given["path"] = str(write_own(tmp_path / "mine.csv"))
    elif name not in ("japanese_vowels", "sines", "ar1", "mixture"):
        data_dir = request.getfixturevalue("data_dir")
        monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    if name == "ucr_uea":
        argument = "NATOPS,smoke"
    config = configs.load(name).get_config(argument)
    config.data.update(given)
    config.evaluation.metrics = ()
    jax.clear_caches()  # thousands of memory maps each: see conftest.free_programs
    run.run(config, tmp_path / "w")
    examples, _ = read_npz(tmp_path / "w" / "samples.npz")
    layout = l2d_jax.load(tmp_path / "w").layout
    assert examples.series.shape == (64, layout.length, len(layout.channels))
    for one, length in zip(*examples[:2], strict=True):
        assert np.isfinite(one[:length]).all() and np.isnan(one[length:]).all()
    assert (tmp_path / "w" / "report" / "index.html").stat().st_size > 100_000


def write_own(path):
    """A csv as people have them: a time, whole numbers, gaps, a text column."""
    rng = np.random.default_rng(0)
    lines = ["date;visitors;temperature;remark"]
    for i in range(300):
        level = np.sin(i * 2 * np.pi / 12)
        heat = "" if 50 < i < 60 else f"{10 + 5 * level + rng.normal():.2f}"
        day = np.datetime64("2024-01-30") + np.timedelta64(i, "D")
        lines.append(f"{day};{50 + int(40 * level)};{heat.replace('.', ',')};x")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_samples_come_back_as_the_own_file_was(tmp_path, capsys):
    import pandas as pd

    path, workdir = write_own(tmp_path / "mine.csv"), tmp_path / "w"
    config = tiny()
    config.data.update(name="file", path=str(path))
    config.sampling.num_samples = 20
    config.evaluation.metrics = ()
    run.run(config, workdir)
    said = capsys.readouterr().out
    for words in (
        "column 'date' as time",
        "left out 'remark'",
        "missing values, left out of every loss: temperature 9 (3.0%)",
        "window of 24 steps (the data repeats after 12 steps)",
    ):
        assert words in said, said
    table = pd.read_csv(workdir / "samples.csv", sep=";", decimal=",")
    assert [*table] == ["sample_id", "date", "visitors", "temperature"]
    assert table["visitors"].dtype == np.int64 and len(table) == 20 * 24
    assert table["date"][:24].tolist() == [
        str(np.datetime64("2024-01-30") + np.timedelta64(i, "D")) for i in range(24)
    ]
    model = l2d_jax.load(workdir)
    samples = model.sample(jax.random.key(0), 20)
    np.testing.assert_array_equal(samples[..., 0], np.rint(samples[..., 0]))
    np.testing.assert_array_equal(samples[..., 0].ravel(), table["visitors"])
    np.testing.assert_allclose(samples[..., 1].ravel(), table["temperature"], rtol=1e-5)


def test_held_out_series_are_what_is_scored_against(tmp_path):
    rows = np.cumsum(np.random.default_rng(0).normal(size=(400, 2)), axis=0)
    np.save(tmp_path / "rows.npy", rows)
    config = tiny()
    config.data.update(
        name="file", path=str(tmp_path / "rows.npy"), window=8, protocol="held_out"
    )
    config.data.scaler = "min_max"
    scores = run.run(config, tmp_path / "w")["context_fid"]
    # Of the last 80 rows 8 are the gap, and 72 make 65 windows.
    assert scores["num_samples"] == 64  # what smoke generates
    splits = load_splits(config.data)
    assert splits.test.series.shape == (65, 8, 2)
    model = l2d_jax.load(tmp_path / "w")
    assert model.layout.num_series == 313
    low, high = rows[:320].min(axis=0), rows[:320].max(axis=0)
    np.testing.assert_allclose(model.normalizer.scale, (high - low) / 2, rtol=1e-5)


def test_japanese_vowels_as_users_run_it(tmp_path):
    workdir = tmp_path / "w"
    done = l2d("--config=configs/japanese_vowels.py:smoke", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    assert "Context-FID" in done.stdout
    for stage in ("encoder", "latent", "data"):
        assert f"{stage}: step 20 of 20, loss" in done.stderr
    ran = json.loads((workdir / "config.json").read_text())
    assert ran["config"]["encoder"]["num_steps"] == 20 and "jax" in ran["versions"]

    out = tmp_path / "x.csv"
    done = l2d(
        "--mode=sample", f"--workdir={workdir}", f"--out={out}", "--num_samples=5",
        "--num_steps=3", "--seed=7",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines()
    expected = l2d_jax.load(workdir).sample(jax.random.key(7), 5, num_steps=3)
    assert len(lines) == 1 + sum(len(one) for one in expected)
    first = [float(value) for value in lines[1].split(",")[2:]]
    np.testing.assert_allclose(first, expected[0][0], rtol=1e-4, atol=1e-5)

    scores = (workdir / "scores.json").read_text()
    (workdir / "scores.json").unlink()
    assert "run --mode=evaluate first" in error_of(
        "--mode=report", f"--workdir={workdir}"
    )
    assert l2d("--mode=evaluate", f"--workdir={workdir}").returncode == 0
    again = (workdir / "scores.json").read_text()
    assert json.loads(again)["context_fid"]["values"] == pytest.approx(
        json.loads(scores)["context_fid"]["values"], rel=1e-5
    )


def test_help_names_every_flag():
    done = l2d("--help")
    assert done.returncode == 0
    for flag in ("config", "workdir", "mode", "num_samples", "out", "seed", "solver"):
        assert f"--{flag}" in done.stdout or f"--[no]{flag}" in done.stdout


# --- killed ---------------------------------------------------------------------------


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}


def training(workdir):
    """Long enough to be killed in any stage."""
    return command(
        "--config=configs/japanese_vowels.py:smoke",
        f"--workdir={workdir}",
        "--config.encoder.num_steps=600",
        "--config.latent_stage.num_steps=2000",
        "--config.data_stage.num_steps=600",
    )


def weights(workdir):
    arrays, _, _ = load_model(workdir / "checkpoints" / "cascade")
    return jax.tree.leaves(arrays)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    assert subprocess.run(training(workdir), **QUIET).returncode == 0
    return weights(workdir)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["encoder", "latent", "data"])
def test_killed_in_a_stage_equals_uninterrupted(stage, tmp_path, uninterrupted):
    process = subprocess.Popen(training(tmp_path), **QUIET)
    log, deadline = tmp_path / "metrics.jsonl", time.monotonic() + 900
    try:
        while not any(r["stage"] == stage and r["step"] >= 30 for r in rows(log)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "checkpoints" / "cascade").exists(), "killed too late"
    assert subprocess.run(training(tmp_path), **QUIET).returncode == 0
    for one, other in zip(uninterrupted, weights(tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)
