"""The driver of the paper's tables, on a tiny set of its own."""

import json
from pathlib import Path

import budgets
import compare
import page
import paper
import pytest
from made import tiny_splits

from l2d_jax.lock import locked
from l2d_jax.types import InputError
from l2d_jax.workdir import make_workdir


@pytest.fixture
def on_a_tiny_set(monkeypatch):
    monkeypatch.setattr(paper, "load_splits", tiny_splits)


def command(out, *more):
    paper.main(
        [
            "--sets=sines",
            "--methods=bootstrap,gaussian",
            "--seeds=2",
            "--metrics=spectral_distance,privacy",
            "--num_repeats=2",
            "--smoke",
            f"--out={out}",
            *more,
        ]
    )


def test_a_table_from_cells_that_are_made_once(tmp_path, on_a_tiny_set, capsys):
    out = tmp_path / "R"
    command(out)
    files = sorted(path.name for path in out.iterdir())
    assert files == [
        f"{method}__sines__{seed}.json"
        for method in ("bootstrap", "gaussian")
        for seed in (0, 1)
    ]
    cell = json.loads((out / files[0]).read_text())
    assert cell["config"]["variant"] == "bootstrap" and cell["config"]["seed"] == 0
    for field in ("git_commit", "device", "versions", "seconds of sampling"):
        assert cell[field]
    assert cell["scores"]["exact_copies"]["mean"] == 1.0
    # Again: nothing is made, nothing is written.
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    command(out)
    assert capsys.readouterr().out.count("done before") == 4
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    # One is lost: it alone is made, from what its workdir holds.
    (out / files[1]).unlink()
    command(out)
    assert capsys.readouterr().out.count("done before") == 3
    again = json.loads((out / files[1]).read_text())
    assert again["seconds of sampling"] is None and again["seed"] == 1
    # Other options are not mixed with these.
    with pytest.raises(SystemExit, match=r"made with other options \(num_series\)"):
        command(out, "--num_series=30")
    cells = compare.read([out])
    table = compare.make_table(cells, "exact_copies", None)
    assert table.entries["bootstrap", "sines"].seeds == 2
    assert table.entries["bootstrap", "sines"].mean == 1.0
    assert table.entries["gaussian", "sines"].mean == 0.0
    # Without held-out series it is undefined, and so is its floor.
    undefined = compare.make_table(cells, "closer_to_train", "low")
    assert undefined.entries["bootstrap", "sines"].mean is None


def test_a_cell_with_a_budget_goes_on_with_its_plan(tmp_path, on_a_tiny_set):
    options = paper.Options(0.02, ("spectral_distance",), 0, 2, 0, smoke=True)
    method = paper.Method("fourier_flow", "fourier_flow", {})
    workdir = tmp_path / "w"
    cell = paper.run_cell(method, "sines", 0, options=options, workdir=workdir)
    budget = cell["budget"]["fourier_flow"]
    assert budget["share"] == 1.0
    left = 0.95 * 1.2 - budget["seconds of compilation"]
    steps = max(int(left / budget["seconds of a step"]), 1)
    a_call = cell["config"]["training"]["steps_per_call"]
    expected = budgets.whole_calls(steps, a_call)
    assert budget["steps"] == expected == cell["config"]["fourier_flow"]["num_steps"]
    assert cell["parameters"]["fourier_flow"] > 0
    # As if killed in training: the plan is kept, though a new one would differ.
    plan = json.loads((workdir / "plan.json").read_text())
    plan["fields"]["fourier_flow.num_steps"] = expected
    plan["measured"]["fourier_flow"]["share"] = 0.125
    (workdir / "plan.json").write_text(json.dumps(plan))
    again = paper.run_cell(method, "sines", 0, options=options, workdir=workdir)
    assert again["budget"]["fourier_flow"]["share"] == 0.125
    assert again["scores"] == cell["scores"]
    other = options._replace(budget_minutes=0.5)
    with pytest.raises(InputError, match=r"plan for 0.02 minutes, and 0.5 are.*--work"):
        paper.run_cell(method, "sines", 0, options=other, workdir=workdir)


def test_a_cell_keeps_the_steps_that_its_sampling_began_with(tmp_path, on_a_tiny_set):
    options = paper.Options(None, ("spectral_distance",), 0, 2, 0, True, 9.0)
    method = paper.Method("data_only", "data_only", {})
    plan = {"minutes": 9.0, "steps": 6}
    (tmp_path / "sampling_plan.json").write_text(json.dumps(plan))
    cell = paper.run_cell(method, "sines", 0, options=options, workdir=tmp_path)
    assert cell["config"]["sampling"]["num_steps"] == 6
    assert page.steps_of_chain(cell) == "6 of 100"
    other = options._replace(sampling_minutes=3.0)
    with pytest.raises(InputError, match=r"plan for 9 minutes, and 3 are.*--workdirs"):
        paper.run_cell(method, "sines", 0, options=other, workdir=tmp_path)


def test_methods_by_name():
    found = paper.read_methods(
        "all,single_stage,full+data_stage.condition=add+encoder.latent_dim=2"
    )
    names = [method.name for method in found]
    assert {"full", "time_gan", "bootstrap", "single_stage"} <= {*names}
    assert found[-1].argument == "full"
    assert found[-1].fields == {
        "data_stage.condition": "add",
        "encoder.latent_dim": 2,
    }
    options = paper.Options(None, ("context_fid",), 0, 5, 5, smoke=False)
    config = paper.make_config(found[-1], "stock", 3, options)
    assert config.data_stage.condition == "add" and config.seed == 3
    assert config.sampling.num_steps == 5  # at most
    with pytest.raises(InputError, match="--methods=ddpm: use some of all, variants"):
        paper.read_methods("ddpm")
    with pytest.raises(InputError, match="--methods: name one or more"):
        paper.read_methods("")
    for field, says in (
        ("data_stage.x=1", "there is no field 'data_stage.x'"),
        ("seed.x=1", "there is no field 'seed.x'"),
        ("encoder.width=b", "encoder.width='b'"),
    ):
        method = paper.read_methods(f"full+{field}")[0]
        with pytest.raises(InputError, match=rf"--methods=full\+{field}: .*{says}"):
            paper.make_config(method, "stock", 0, options)


def test_fields_that_change_nothing_are_refused():
    """A row of its own for what is the row beside it."""
    options = paper.Options(None, ("context_fid",), 0, 5, 5, smoke=False)
    for text, says in (
        ("gaussian+encoder.latent_dim=2", "'gaussian' ignores it"),
        ("data_only+data_stage.condition=add", "'data_only' ignores it"),
        ("full+seed=7", "seed is that of all cells"),
        ("full+evaluation.num_repeats=2", "num_repeats is that of all cells"),
    ):
        with pytest.raises(InputError, match=says):
            paper.make_config(paper.read_methods(text)[0], "stock", 0, options)
    method = paper.read_methods("full+data_stage.num_steps=9+sampling.num_steps=5")[0]
    config = paper.make_config(method, "stock", 0, options)
    assert (config.data_stage.num_steps, config.sampling.num_steps) == (9, 5)
    with pytest.raises(InputError, match=r"data_stage\.num_steps is what --budget_min"):
        paper.make_config(method, "stock", 0, options._replace(budget_minutes=1.0))


@pytest.mark.parametrize(
    "option", ["budget_minutes=0", "budget_minutes=-1", "sampling_minutes=nan"]
)
def test_times_that_are_none(tmp_path, option, on_a_tiny_set):
    with pytest.raises(SystemExit, match=f"--{option}: use a number above 0, or leave"):
        command(tmp_path / "R", f"--{option}")
    assert not (tmp_path / "R").exists()


def test_what_can_not_be_is_said_before_the_first_cell(tmp_path, on_a_tiny_set):
    """It would come up after the hours of the cells before it."""
    out = tmp_path / "R"
    for field, says in (
        ("data_stage.x=1", "there is no field"),
        ("data_stage.condition=ad", "use one of add, concat"),
        ("encoder.latent_dim=0", r"needs encoder\.latent_dim"),
    ):
        with pytest.raises(SystemExit, match=says):
            command(out, f"--methods=gaussian,full+{field}", "--budget_minutes=1")
    assert not out.exists()
    command(out, "--methods=bootstrap", "--seeds=1")
    with pytest.raises(SystemExit, match=r"bootstrap.*other options \(num_series"):
        command(out, "--methods=gaussian,bootstrap", "--num_series=30")
    assert [path.stem for path in out.iterdir()] == ["bootstrap__sines__0"]


def test_a_budget_covers_no_choice_of_the_latent(tmp_path, on_a_tiny_set):
    options = paper.Options(0.1, ("spectral_distance",), 0, 2, 0, smoke=True)
    method = paper.read_methods("full+encoder.latent_dim=0")[0]
    with pytest.raises(InputError, match=r"needs encoder\.latent_dim and enc"):
        paper.run_cell(method, "sines", 0, options=options, workdir=tmp_path)


def test_a_cell_that_fails_does_not_keep_others_from_being_made(
    tmp_path, on_a_tiny_set, monkeypatch, capsys
):
    run_cell = paper.run_cell

    def failing(method, *args, **options):
        if method.name == "bootstrap":
            raise ZeroDivisionError("by zero")
        return run_cell(method, *args, **options)

    monkeypatch.setattr(paper, "run_cell", failing)
    with pytest.raises(SystemExit, match="1 cells failed"):
        command(tmp_path / "R", "--seeds=1")
    assert "ZeroDivisionError: by zero" in capsys.readouterr().err
    assert [path.stem for path in (tmp_path / "R").iterdir()] == ["gaussian__sines__0"]


def test_a_cell_that_another_process_makes_is_left_to_it(
    tmp_path, on_a_tiny_set, capsys
):
    workdir = tmp_path / "R_runs" / "gaussian__sines__0"
    with locked(make_workdir(workdir)):
        command(tmp_path / "R", "--seeds=1")
    said = capsys.readouterr().out
    assert "gaussian__sines__0: being made by another process: --workdir=" in said
    assert [path.stem for path in (tmp_path / "R").iterdir()] == ["bootstrap__sines__0"]


def test_a_path_in_a_field_makes_no_folders(tmp_path, on_a_tiny_set):
    """page.py looks for cells in the folder itself."""
    name = "gaussian+data.path=/a/b.csv"
    command(tmp_path / "R", "--sets=own", "--seeds=1", f"--methods={name}")
    assert page.read(tmp_path / "R").keys() == {("own", name)}


@pytest.mark.parametrize(
    ("given", "seconds", "differing"),
    [
        ({}, 600.0, ""),  # of a version without that option
        ({"sampling_minutes": None}, 5.0, ""),
        ({}, None, "sampling_minutes"),
        ({}, 601.0, "sampling_minutes"),
        ({"sampling_minutes": 9.0}, 5.0, "sampling_minutes"),
        ({"num_series": 3, "smoke": True}, 5.0, "num_series, smoke"),
    ],
)
def test_options_of_a_cell_that_is_there(tmp_path, given, seconds, differing):
    path = tmp_path / "a__b__0.json"
    asked = paper.Options(None, ("context_fid",), 0, 5, 100, False, 10.0)
    options = asked._asdict()
    del options["sampling_minutes"]
    cell = {"options": options | given, "seconds of sampling": seconds}
    path.write_text(json.dumps(cell))
    if differing:
        with pytest.raises(InputError, match=rf"other options \({differing}\): use"):
            paper.is_done(path, asked)
    else:
        assert paper.is_done(path, asked)
        assert paper.is_done(path, asked._replace(sampling_minutes=None))


CELLS = Path(__file__).parents[1] / "benchmarks" / "results" / "paper"
METRICS = (
    *("context_fid", "random_convolution_fid", "discriminative_score"),
    *("predictive_score", "fidelity", "privacy"),
)


@pytest.mark.parametrize(
    ("folder", "changed"),
    [
        ("full_trainings", {}),
        ("paper", dict(budget_minutes=10.0, sampling_steps=100, sampling_minutes=10.0)),
    ],
)
def test_the_committed_cells_are_done(folder, changed):
    """By the command on their page; but for one, whose sampling took half an hour."""
    options = {**paper.Options(None, METRICS, 0, 5, 0, False)._asdict(), **changed}
    for path in (CELLS.parent / folder).glob("*.json"):
        if path.name == "fourier_diffusion__stock__0.json":
            with pytest.raises(InputError, match=r"other options \(sampling_minutes\)"):
                paper.is_done(path, paper.Options(**options))
        else:
            assert paper.is_done(path, paper.Options(**options))


@pytest.mark.parametrize("text", ['{"options": [1]}', "[1]", '{"opt'])
def test_what_is_no_cell_is_said(tmp_path, text):
    path = tmp_path / "a__b__0.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a cell, remove it"):
        paper.is_done(path, paper.Options(None, (), 0, 5, 5, smoke=False))
