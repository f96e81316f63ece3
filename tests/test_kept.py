"""Benchmarks that keep rows: none of other settings, and none of ours by default."""

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from subprocess import CompletedProcess

import ablations
import corruptions
import false_alarms
import few_steps
import kept
import latent_stage
import metrics_memory
import numpy as np
import pytest
import scaling
from made import tiny_splits

from l2d_jax import configs
from l2d_jax.lock import locked
from l2d_jax.types import Examples, InputError, Splits
from l2d_jax.variants import with_sampling
from l2d_jax.workdir import make_workdir

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


class Model:
    """In the place of a model."""

    def __init__(self):
        self.params = {"w": np.zeros(3)}

    def sample(self, key, count, **settings):
        return np.zeros((count, 8, 2))


def test_settings_that_differ_are_named_with_the_mend():
    kept.check_same({}, {"seeds": 3}, "a.json")
    kept.check_same({"seeds": 3, "jax": "0.1"}, {"seeds": 3}, "a.json")
    expected = (
        r"^a.json: made with other settings \(seeds 3, now 2; size 9, now 8\): use"
    )
    with pytest.raises(InputError, match=expected):
        kept.check_same({"seeds": 3, "size": 9}, {"seeds": 2, "size": 8}, "a.json")


def test_what_may_differ_is_listed_once_each():
    first = kept.with_also({}, {"device": "cpu"})
    both = kept.with_also(first, {"device": "gpu"})
    assert (first, both) == ({"device": "cpu"}, {"device": "cpu; gpu"})
    assert kept.with_also(both, {"device": "cpu"}) == both


def test_the_command_has_what_is_not_default():
    parser = ArgumentParser()
    parser.add_argument("--sets", default="a,b")
    parser.add_argument("--out", default="runs")
    parser.add_argument("--rows", default="")
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args(["--out=o", "--rows=a b", "--again"])
    assert kept.command_of("/x/few.py", parser, args) == (
        "python benchmarks/few.py --rows='a b' --again"
    )
    args = parser.parse_args([])
    assert kept.command_of("few.py", parser, args, sets="a") == (
        "python benchmarks/few.py --sets=a"
    )


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda p: p.stem)
def test_no_benchmark_writes_to_the_committed_results_by_default(path):
    text = path.read_text("utf-8")
    assert not re.search(r"default=[^\n]*benchmarks", text)
    assert "--out=benchmarks/results" not in text


@pytest.fixture
def quick_steps(monkeypatch):
    """few_steps.py without a model, scores and pictures."""
    monkeypatch.setattr(few_steps, "load_splits", tiny_splits)
    monkeypatch.setattr(few_steps, "model_of", lambda *_: Model())
    monkeypatch.setattr(few_steps, "make_score", lambda *_, **__: lambda x: 0.5)
    monkeypatch.setattr(few_steps, "seconds", lambda *_, **__: 1.0)
    monkeypatch.setattr(few_steps, "draw", lambda *_: None)
    monkeypatch.setattr(
        few_steps, "evaluate", lambda *_, metrics, **__: dict.fromkeys(metrics, ZERO)
    )


ZERO = {"mean": 0.0}


@pytest.mark.parametrize("variant", few_steps.VARIANTS)
def test_all_rows_of_few_steps_can_be_sampled(variant):
    config = configs.load("stock").get_config("" if variant == "full" else variant)
    config = configs.resolve(config)
    for chain, solver, steps in few_steps.VARIANTS[variant]:
        settings = few_steps.settings_of(variant, chain, solver, steps)
        found = with_sampling(config, **settings).sampling
        prefix = "latent_" if chain == "latent" else ""
        assert found[f"{prefix}solver"] == solver
        assert found[f"{prefix}num_steps"] == steps
        assert found.eta == 0.0 or solver != "ddim"


def few(out, *more):
    few_steps.main([f"--out={out}", "--variants=data_only", "--seeds=2", *more])


def test_few_steps_keeps_rows_of_one_kind(tmp_path, quick_steps, monkeypatch, capsys):
    few(tmp_path, "--sets=stock", "--num_series=30")
    path = tmp_path / "few_steps.json"
    made = path.read_text()
    for other in ("--num_series=20", "--seeds=3", "--repeats=4"):
        with pytest.raises(SystemExit, match=r"few_steps.json, stock: made with other"):
            few(tmp_path, "--sets=stock", "--num_series=30", other)
    assert path.read_text() == made
    # Each set has its own number of series.
    few(tmp_path, "--sets=sines", "--num_series=20")
    sets = json.loads(path.read_text())["sets"]
    assert (sets["stock"]["series"], sets["sines"]["series"]) == (30, 20)
    assert sets["stock"]["command"] == (
        "python benchmarks/few_steps.py --sets=stock --num_series=30 --seeds=2 "
        "--variants=data_only"
    )
    # What is timed on another device says so; a call that adds nothing, nothing.
    device = sets["stock"]["device"]
    monkeypatch.setattr(kept.parallel, "describe_devices", lambda: "another")
    few(tmp_path, "--sets=stock", "--num_series=30")
    assert json.loads(path.read_text())["sets"] == sets
    # Nor does it leave a page that a call was cut off before.
    (tmp_path / "few_steps.md").write_text("")
    few(tmp_path, "--sets=stock", "--num_series=30")
    assert "## sines, 20 series" in (tmp_path / "few_steps.md").read_text()
    few(tmp_path, "--sets=stock", "--num_series=30", "--time_again")
    found = json.loads(path.read_text())["sets"]["stock"]
    assert found["device"] == f"{device}; another"
    assert found["command"].endswith("--variants=data_only --time_again")


def test_ablations_keep_rows_of_one_kind(tmp_path, monkeypatch):
    class Trained:
        config = few_steps.configs.load("stock").get_config()

    monkeypatch.setattr(ablations, "load_splits", tiny_splits)

    def train_row(config, fields, folder, base):
        """In two parts: it was killed between them."""
        folder.mkdir()
        row = {"stage": "data", "step": 1, "loss": 0.0, "seconds": 2.0}
        (folder / "metrics.jsonl").write_text(2 * (json.dumps(row) + "\n"))
        return Trained()

    monkeypatch.setattr(ablations, "train_row", train_row)
    monkeypatch.setattr(ablations, "make_score", lambda *_, **__: lambda x: 0.5)
    monkeypatch.setattr(ablations, "score_row", lambda *_, **__: {"context_fid": 0.5})
    arguments = [f"--out={tmp_path}", "--set=stock", "--num_series=30", "--rows=base"]
    ablations.main(arguments)
    path = tmp_path / "stock" / "ablations.json"
    made = path.read_text()
    for other in (
        "--num_series=25",
        "--seeds=2",
        "--repeats=3",
        "--data_steps=9",
        "--sampling_steps=5",
    ):
        with pytest.raises(SystemExit, match=r"ablations.json: made with other"):
            ablations.main([*arguments, "--rows=v", other])
    assert path.read_text() == made
    ablations.main([*arguments, "--rows=v"])
    rows = json.loads(path.read_text())["rows"]
    assert {name: row["seconds"] for name, row in rows.items()} == {"base": 4, "v": 4}


def test_the_other_benchmarks_refuse_too(tmp_path):
    (tmp_path / "corruptions.json").write_text(
        '{"cells": {"stock|none|0": {"scores": {}, "num_series": 1000}}}'
    )
    with pytest.raises(SystemExit, match=r"none\|0: .*num_series 1000, now 10"):
        corruptions.main([f"--out={tmp_path}", "--sets=stock", "--size=10"])
    (tmp_path / "memory.json").write_text('{"metrics": {}, "shape": [24, 28]}')
    with pytest.raises(SystemExit, match=r"shape \[24, 28\], now \[5, 2\]"):
        metrics_memory.main([f"--out={tmp_path / 'memory.json'}", "--shape=5,2"])
    (tmp_path / "latent_stage.json").write_text('{"sets": {}, "latent steps": 4000}')
    with pytest.raises(SystemExit, match="latent steps 4000, now 3"):
        latent_stage.main([f"--out={tmp_path}", "--latent_steps=3"])


def test_sets_by_name(tmp_path):
    assert kept.read_sets("stock,configs/etth.py,stock") == ["stock", "etth"]
    own = tmp_path / "stock.py"
    own.write_text("")
    for text, says in (
        (str(own), "stock.py: copy it to .*configs first"),
        ("stock:smoke", "stock:smoke: what stands behind : is no part of it"),
        ("stocks", "no such file; bundled configs: "),
        ("ucr_uea", "it is for any set: copy it as .*configs/NATOPS.py, with"),
        (",", "name one or more"),
    ):
        with pytest.raises(InputError, match=says):
            kept.read_sets(text)


@pytest.mark.parametrize(
    ("program", "options", "file"),
    [
        (few_steps, "--sets=stock", "few_steps.json"),
        (ablations, "--set=stock --rows=base", "stock/ablations.json"),
        (corruptions, "--sets=stock", "corruptions.json"),
        (latent_stage, "--sets=stock", "latent_stage.json"),
    ],
)
def test_of_two_processes_the_second_is_refused(tmp_path, program, options, file):
    """Each would write the rows that it has read, without those of the other."""
    with locked(make_workdir((tmp_path / file).parent)):
        with pytest.raises(SystemExit, match="is in use by the run on host"):
            program.main([f"--out={tmp_path}", *options.split()])


def test_a_model_that_another_process_trains_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(few_steps, "load_splits", tiny_splits)
    with locked(make_workdir(tmp_path / "sines_data_only")):
        with pytest.raises(InputError, match="is in use by the run on host"):
            few_steps.model_of("sines", "data_only", tmp_path, "float32")


@pytest.mark.parametrize(
    ("program", "option", "says"),
    [
        (few_steps, "--sets=stocks", "bundled configs: "),
        (ablations, "--set=stocks", "bundled configs: "),
        (ablations, "--rows=base,w", "--rows='w': use one of base, v"),
        (latent_stage, "--sets=stocks", "bundled configs: "),
        (latent_stage, "--rows=w", "--rows='w': use one of x_0, v"),
        (ablations, "--set=stock,sines", "--set=stock,sines: name one"),
        (false_alarms, "--set=stocks", "bundled configs: "),
        (false_alarms, "--set=walks --published", "name a data set"),
        (corruptions, "--sets=mixture,stocks", "bundled configs: "),
        (metrics_memory, "--metrics=mmd_serie", "unknown metric 'mmd_serie'"),
    ],
)
def test_names_that_are_none_are_said_at_once(tmp_path, program, option, says):
    with pytest.raises(SystemExit, match=says):
        program.main([f"--out={tmp_path}", *option.split()])


def test_a_copy_of_a_stage_that_was_cut_off_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "load_splits", tiny_splits)
    monkeypatch.setattr(ablations, "train", lambda task, workdir: workdir)
    whole = tmp_path / "base" / "checkpoints" / "encoder"
    whole.mkdir(parents=True)
    (whole / "weights").write_text("all")
    fields, folder = ablations.ROWS["latent v"], tmp_path / "row"
    arguments = (configs.load("stock").get_config(), fields, folder, tmp_path / "base")

    def cut_off(source, target):
        target.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ablations.shutil, "copytree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            ablations.train_row(*arguments)
    workdir = ablations.train_row(*arguments)
    assert (workdir / "checkpoints" / "encoder" / "weights").read_text() == "all"


def test_a_count_is_one_or_more():
    assert kept.count("3") == 3
    for text in ("0", "-1", "2.5", "many", ""):
        with pytest.raises(ArgumentTypeError, match="1 or more"):
            kept.count(text)


@pytest.mark.parametrize(
    "status, out, error, expected",
    [
        (0, 'heard\n{"a": 1}\n', "", ({"a": 1}, "")),
        (1, "", "Traceback\nValueError: no\n", (None, "ValueError: no")),
        (-9, "", "", (None, "ended with status -9")),
    ],
)
def test_what_a_process_said_last(status, out, error, expected):
    """Also of one that was killed, as for memory, and said nothing."""
    run = CompletedProcess([], status, out, error)
    assert kept.last_said(run) == expected


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--sets=stock,mixture --size=200", "mixture has three parts of 26 at most"),
        ("--sets=mixture,japanese_vowels --size=10", "vowels: .* different lengths"),
    ],
)
def test_sets_that_corruptions_cannot_take_are_said_before_the_first_cell(
    tmp_path, monkeypatch, option, says
):
    def loaded(c):
        n = {"stock": 600, "mixture": 80}.get(c.name, 90)
        lengths = np.full(n, 8) - (c.name == "japanese_vowels") * (np.arange(n) % 2)
        series = np.random.default_rng(0).normal(size=(n, 8, 2)).astype(np.float32)
        return Splits(Examples(series, lengths), None, ("a", "b"))

    monkeypatch.setattr(corruptions, "load_splits", loaded)
    monkeypatch.setattr(corruptions, "score", lambda *_, **__: 1 / 0)
    with pytest.raises(SystemExit, match=says):
        corruptions.main([f"--out={tmp_path}", *option.split()])


def test_where_no_row_is_left_no_encoder_is_trained(tmp_path, monkeypatch):
    scores = {"told apart (AUC)": 1, "distance ratio": 1}
    rows = {name: scores for name in latent_stage.ROWS}
    found = {"sets": {"stock": {"rows": rows}}, "latent steps": 3}
    (tmp_path / "latent_stage.json").write_text(json.dumps(found))
    monkeypatch.setattr(latent_stage, "representations", lambda _: 1 / 0)
    latent_stage.main([f"--out={tmp_path}", "--sets=stock", "--latent_steps=3"])


def test_why_a_process_that_is_measured_failed_is_shown(tmp_path, monkeypatch, capfd):
    child = tmp_path / "child.py"
    child.write_text("raise SystemExit('no free port')")
    monkeypatch.setattr(scaling, "__file__", str(child))
    with pytest.raises(SystemExit, match="1 processes of 1 devices failed"):
        scaling.measure(1, 1, batch=1, steps=1)
    assert capfd.readouterr().err == "no free port\n"
