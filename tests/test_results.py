"""What generated series are compared with, and searched for in."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from made import tiny, waves

import l2d_jax
from l2d_jax import results, run
from l2d_jax.cascade import Cascade
from l2d_jax.configs import base, resolve
from l2d_jax.data import load_splits
from l2d_jax.data.ragged import comparable
from l2d_jax.results import real_sets
from l2d_jax.samples import read_npz
from l2d_jax.types import Examples, InputError, Splits
from l2d_jax.workdir import git_commit, make_workdir, read_json

NAN = np.nan


def splits(train, test=None):
    return Splits(train, test, ("a",))


def examples(count, first=0.0, length=5):
    series = first + np.arange(count, dtype=np.float32)[:, None, None]
    return Examples(np.tile(series, (1, length, 1)), np.full(count, length))


def config(num_series=0):
    c = base.get_config()
    c.evaluation.num_series = num_series
    return c


def test_held_out_series_come_along_where_there_are_any():
    train, test = examples(10), examples(4, first=100.0)
    assert real_sets(splits(train), config()) == (train, None)
    found = real_sets(splits(train, test), config())
    assert found[0] is train and found[1] is test


def test_some_are_drawn_without_replacement_by_the_seed():
    train = examples(100)
    drawn = [real_sets(splits(train), config(20))[0].series[:, 0, 0] for _ in range(2)]
    assert len(set(drawn[0].tolist())) == 20 and drawn[0].max() > 50
    np.testing.assert_array_equal(*drawn)


def test_missing_values_are_filled_before_they_are_scored():
    series = np.array([[0, NAN, 4, NAN, NAN], [1, 2, 3, NAN, 7]], np.float32)[..., None]
    real, _ = real_sets(splits(Examples(series, np.array([4, 5]))), config())
    expected = np.array([[0, 2, 4, 4, NAN], [1, 2, 3, 5, 7]], np.float32)[..., None]
    np.testing.assert_allclose(real.series, expected, rtol=1e-6)
    assert [len(one) for one in comparable(real)] == [4, 5]


def test_a_channel_without_any_value_in_a_series_has_its_mean():
    """0 would be far off: a pressure is about 1,013."""
    train = np.full((3, 4, 2), [1.0, NAN], np.float32)
    train[0, :, 1], train[1, :2, 1] = 1010.0, 1016.0
    test, lengths = np.full((1, 4, 2), [1.0, NAN], np.float32), np.full(3, 4)
    both = splits(Examples(train, lengths), Examples(test, lengths[:1]))
    real, unseen = real_sets(both, config())
    np.testing.assert_array_equal(real.series[:, :, 0], np.ones((3, 4)))
    expected = np.repeat([[1010.0], [1016.0], [1012.0]], 4, axis=1)
    np.testing.assert_array_equal(real.series[:, :, 1], expected)
    np.testing.assert_array_equal(unseen.series[0], np.full((4, 2), [1.0, 1012.0]))


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A run whose samples are 40 of its 100 training series."""
    made = examples(100)
    made = made._replace(series=made.series[::2][:40], lengths=made.lengths[:40])
    monkeypatch.setattr(results, "read_npz", lambda path: (made, {"seed": 0}))
    monkeypatch.setattr(results, "facts_of", lambda *_: {})
    return tmp_path


def few_compared():
    c = config(num_series=20)
    c.evaluation.metrics = ("privacy", "spectral_distance")
    return c


def test_copies_are_searched_among_all_however_few_are_compared(workdir):
    scores = results.score(workdir, few_compared(), splits(examples(100)))
    assert scores["exact_copies"]["mean"] == 1.0
    assert "40 of 40 samples" in scores["exact_copies"]["warning"]
    assert scores["spectral_distance"]["num_samples"] == 20
    assert not [s for s in scores.values() if "note" in s]


def test_of_very_many_some_are_searched_and_it_is_said(workdir, monkeypatch):
    monkeypatch.setattr(results, "MAX_SEARCHED", 50)
    scores = results.score(workdir, few_compared(), splits(examples(100)))
    assert 0.1 < scores["exact_copies"]["mean"] < 0.9
    assert scores["exact_copies"]["note"] == "Searched are 50 of 100 training series"
    assert "note" not in scores["spectral_distance"]
    assert json.loads((workdir / "scores.json").read_text()) == scores
    assert len(real_sets(splits(examples(9)), config(), searched=True)[0].lengths) == 9


@pytest.mark.parametrize("most", [50, 1000])
def test_the_report_is_told_where_copies_are_searched(workdir, monkeypatch, most):
    told = {}

    def write_report(workdir, **given):
        told.update(given)
        return workdir

    monkeypatch.setattr(results, "write_report", write_report)
    monkeypatch.setattr(results, "MAX_SEARCHED", most)
    (workdir / "scores.json").write_text("{}")
    results.report(workdir, few_compared(), splits(examples(100)))
    assert len(told["real"]) == 20 and told["num_train"] == 100
    assert len(told["train"]) == min(most, 100)
    np.testing.assert_array_equal(told["train"][:, 0, 0], told["train_rows"])


def held_out_splits():
    """Series of two classes: 30 to learn from and 20 held out, from 100 on."""
    train, test = examples(30), examples(20, first=100.0)
    train = train._replace(labels=np.arange(30) % 2)
    test = test._replace(labels=np.arange(20) // 10)
    return splits(train, test)._replace(classes=("x", "y"))


def test_the_report_is_told_what_is_held_out(workdir, monkeypatch):
    told = {}

    def write_report(workdir, **given):
        told.update(given)
        return workdir

    monkeypatch.setattr(results, "write_report", write_report)
    (workdir / "scores.json").write_text("{}")
    given = held_out_splits()
    results.report(workdir, config(), given)
    assert told["real"] is told["test"] is given.test.series
    assert told["labels"] is given.test.labels
    assert told["train"] is given.train.series
    results.report(workdir, config(), given._replace(test=None))
    assert told["real"] is told["train"] is given.train.series
    assert told["test"] is None and told["labels"] is given.train.labels


def test_scores_are_made_of_all_that_is_known_and_once(workdir, monkeypatch):
    told = []

    def evaluate(real, generated, **given):
        told.append({"real": real, "generated": generated, **given})
        return {}

    monkeypatch.setattr(results, "evaluate", evaluate)
    given, c = held_out_splits(), config()
    c.evaluation.update(num_repeats=4, seed=9)
    results.score(workdir, c, given)
    (found,) = told
    assert found["real"] is given.train.series and found["test"] is given.test.series
    assert found["labels"] is given.train.labels and found["classes"] == ("x", "y")
    assert found["test_labels"] is given.test.labels
    assert (found["num_repeats"], found["seed"]) == (4, 9)
    assert len(found["generated"]) == 40
    results.score(workdir, c, given)
    assert len(told) == 1, "the same is scored twice"
    # Another setting, other labels, other lengths: another score.
    c.evaluation.seed = 10
    results.score(workdir, c, given)
    other = given.test._replace(labels=1 - given.test.labels)
    results.score(workdir, c, given._replace(test=other))
    shorter = given.train._replace(lengths=given.train.lengths - 1)
    results.score(workdir, c, given._replace(train=shorter))
    assert len(told) == 4


@pytest.mark.parametrize("written", ["{}", "[]", '{"device": "cpu"}'])
def test_a_file_of_the_workdir_that_lacks_something(tmp_path, written):
    path = tmp_path / "config.json"
    path.write_text(written)
    with pytest.raises(InputError, match=r"config.json is not what a run .*: mend it"):
        read_json(path, "mend it", {"device", "command"})


def test_which_are_drawn_depends_on_the_seed():
    train, c = examples(100), config(20)
    drawn = []
    for seed in (0, 1):
        c.evaluation.seed = seed
        drawn.append(real_sets(splits(train), c)[0].series[:, 0, 0].tolist())
    assert drawn[0] != drawn[1] and drawn[0] == sorted(drawn[0])


def test_the_commit_is_that_of_this_checkout(tmp_path, monkeypatch):
    """Installed into another project's environment, it isn't that project's."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    command = [*git, "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for root, expected in (
        (tmp_path, done.stdout.strip()),
        (tmp_path / ".venv/lib/site-packages", "unknown"),
    ):
        (root / "l2d_jax").mkdir(parents=True)
        place = str(root / "l2d_jax/workdir.py")
        monkeypatch.setattr("l2d_jax.workdir.__file__", place)
        git_commit.cache_clear()
        assert git_commit() == expected
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "y"], check=True)
        assert git_commit() == expected  # as when the run began
    git_commit.cache_clear()


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
