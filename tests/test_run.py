"""Whole runs, in small, through the library."""

import os
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from made import tiny, waves
from ml_collections import ConfigDict, FrozenConfigDict
from pandas import DataFrame

import l2d_jax
from l2d_jax import configs, progress, results, run
from l2d_jax.checkpoints import load_model
from l2d_jax.data import load_splits, read_array
from l2d_jax.samples import read_npz
from l2d_jax.types import InputError
from l2d_jax.variants import VARIANTS
from l2d_jax.workdir import make_workdir

ROOT = Path(__file__).resolve().parents[1]


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
    for field in ("match_quantiles", "repeats_from", "few_values", "keep_order"):
        del config.sampling[field]
    run.save(replace(model, config=FrozenConfigDict(config)), workdir, facts)
    found = l2d_jax.load(workdir)
    assert found.config.sampling.match_quantiles is False
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


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("evaluation", "num_repeats"),
        ("sampling", "num_samples"),
        ("sampling", "batch_size"),
    ],
)
def test_what_samples_do_not_depend_on_leaves_the_model_as_it_is(
    workdir, monkeypatch, section, field
):
    """Nothing is sampled to find how samples are made like the data once more."""
    monkeypatch.setattr(run, "with_values_of", None)
    before, config = l2d_jax.load(workdir), tiny()
    config.lock()  # as that of the command line is
    config[section][field] = 17
    run.fit(waves(), workdir=workdir, config=config)
    after = l2d_jax.load(workdir)
    assert after.config[section][field] == 17
    jax.tree.map(np.testing.assert_array_equal, before.normalizer, after.normalizer)
    config.sampling.clip = False
    with pytest.raises(TypeError, match="not callable"):
        run.fit(waves(), workdir=workdir, config=config)


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


def test_a_path_of_any_kind_is_a_file(tmp_path):
    np.save(tmp_path / "x.npy", waves())
    [entry] = os.scandir(tmp_path)  # no str and no Path
    model = l2d_jax.fit(entry, config=tiny("gaussian"))
    assert model.config.data.path == str(tmp_path / "x.npy")
    assert model.layout.num_series == 30


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
