"""The driver of the paper's tables, on a tiny set of its own."""

import json
import re
import time
from pathlib import Path

import budgets
import compare
import jax
import jax.numpy as jnp
import numpy as np
import page
import paper
import pytest

from l2d_jax import configs
from l2d_jax.configs import base
from l2d_jax.lock import locked
from l2d_jax.stages import Stage
from l2d_jax.task import prepare
from l2d_jax.types import Examples, InputError, Splits
from l2d_jax.workdir import make_workdir


def tiny_splits(_=None):
    t = np.arange(8)[None] + np.random.default_rng(0).uniform(0, 6, (40, 1))
    series = np.stack([np.sin(t), np.cos(t)], -1).astype(np.float32)
    return Splits(Examples(series, np.full(40, 8)), None, ("a", "b"))


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


def test_a_page_of_cells_and_of_what_is_missing(tmp_path):
    """Two seeds of 1 and 3: Student's interval is 2 -+ 12.706 / sqrt(2) sqrt(2)."""
    options = paper.Options(10.0, ("context_fid",), 500, 5, 20, smoke=False)
    config = configs.load("stock").get_config()
    full, config.sampling.num_steps = config.data_stage.num_steps, 20
    for seed, mean in ((0, 1.0), (1, 3.0)):
        cell = {
            "method": "full",
            "set": "stock",
            "seed": seed,
            "scores": {
                "context_fid": {
                    "mean": mean,
                    "at_floor_size": {"mean": 2 * mean},
                    "floor": {"mean": 0.25},
                },
                "discriminative_score": {"mean": None, "undefined": "why"},
            },
            "options": options._asdict(),
            "budget": {"encoder": {"steps": 7}, "data": {"steps": full // 4}},
            "seconds of training": {"encoder": 100.0, "data": 400.0 + 100 * seed},
            "seconds of sampling": 12.0 if seed else None,
            "parameters": {"encoder": 1_000, "data": 2_000},
            "device": "1 x cpu (1 of 2 cores)",
            "versions": {"jax": "0.10.2"},
            "git_commit": f"abc{seed}",
            "config": config.to_dict(),
        }
        (tmp_path / f"full__stock__{seed}.json").write_text(json.dumps(cell))
    arguments = [str(tmp_path), "--sets=stock,etth", "--methods=full,gaussian"]
    page.main([*arguments, "--seeds=2"])
    text = (tmp_path / "tables.md").read_text()
    assert (
        "| full | 2 | 2.0 ± 12.7 | 4.0 ± 25.4 | – | undefined | – | – | – | – | – "
        "| 25 % | 20 of 100 | 3,000 | 550 | 12 | abc0, abc1 |"
    ) in text
    # The floor stands below what it compares with, and only there.
    assert "| seeds | Context-FID | at the floor's size | Random" in text
    assert "| real against real, half the size |  |  | 0.250 |" in text
    assert "## etth" not in text
    assert (
        "Made with: 1 x cpu (1 of 2 cores), JAX 0.10.2, 10 minutes of training a cell, "
        "at most 20 steps in a chain, 500 series, 5 repeats of each score."
    ) in text
    assert text.endswith(
        "Not run:\n\n- stock, seeds 0, 1: gaussian\n"
        "- etth, seeds 0, 1: full, gaussian\n"
    )
    with pytest.raises(SystemExit, match="no cells there, run benchmarks/paper"):
        page.main([str(tmp_path / "none"), "--sets=stock"])
    (tmp_path / "full__stock__2.json").write_text('{"method": ')
    with pytest.raises(SystemExit, match=r"full__stock__2\.json: not a cell, remove"):
        page.main(arguments)


CELLS = Path(__file__).parents[1] / "benchmarks" / "results" / "paper"
METRICS = (
    *("context_fid", "random_convolution_fid", "discriminative_score"),
    *("predictive_score", "fidelity", "privacy"),
)


@pytest.fixture
def cells(tmp_path):
    """The committed cells of the cascade on Stock, changed and written elsewhere."""

    def make(change):
        for path in CELLS.glob("full__stock__*.json"):
            cell = json.loads(path.read_text())
            change(cell)
            (tmp_path / path.name).write_text(json.dumps(cell))
        return str(tmp_path)

    return make


def test_a_seed_without_a_score_leaves_no_mean_of_the_others(cells):
    """Neither of all series nor at the floor's size."""

    def change(cell):
        if cell["seed"] == 1:
            score, nothing = cell["scores"]["context_fid"], {"mean": None}
            score |= nothing | {"interval": None, "at_floor_size": nothing}

    folder = cells(change)
    page.main([folder, "--sets=stock", "--methods=full"])
    text = (Path(folder) / "tables.md").read_text()
    assert "| full | 3 | undefined | undefined | 0.130 ± 0.041" in text


def test_a_page_names_the_steps_of_each_seeds_chain(cells):
    def change(cell):
        if cell["seed"] == 1:
            cell["config"]["sampling"]["num_steps"] = 0  # all

    folder = cells(change)
    page.main([folder, "--sets=stock", "--methods=full"])
    text = (Path(folder) / "tables.md").read_text()
    assert "| 49 %, 35 %, 55 % | 20 of 100, 100 | 2,200,054 |" in text


def test_a_page_is_of_one_number_of_series(cells):
    def change(cell):
        if cell["seed"] == 1:
            for score in cell["scores"].values():
                score["num_samples"] = 100

    with pytest.raises(SystemExit, match=r"stock is of unlike numbers of series, "):
        page.main([cells(change), "--sets=stock", "--methods=full"])


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("budget_minutes", 2.0, "2 minutes of training a cell"),
        ("budget_minutes", None, "full trainings"),
        ("smoke", True, "10 minutes of training a cell, tiny networks, --smoke"),
    ],
)
def test_no_mean_and_no_table_of_unlike_budgets(cells, option, value, says):
    def change(cell):
        if cell["seed"] == 1:
            cell["options"][option] = value

    folder = cells(change)
    says = (
        r"cells of stock are of unlike budgets, 10 minutes of training a cell "
        rf"\(full\), {says} \(full\), and only"
    )
    with pytest.raises(SystemExit, match=says):
        page.main([folder, "--sets=stock", "--methods=full"])
    with pytest.raises(InputError, match=says):
        compare.make_table(compare.read([Path(folder)]), "context_fid", None)


def test_a_cell_that_is_there_twice_is_in_no_mean(cells):
    folder = Path(cells(lambda cell: None))
    copy = folder / "full__stock__1 (1).json"
    copy.write_text((folder / "full__stock__1.json").read_text())
    with pytest.raises(SystemExit, match=r"__1\.json: the same cell as .*, remove one"):
        page.main([str(folder), "--sets=stock", "--methods=full"])


def test_a_page_says_which_seeds_it_asks_for_and_that_networks_are_tiny(cells):
    def change(cell):
        cell["seed"] += 5
        cell["options"]["smoke"] = True

    folder = cells(change)
    page.main([folder, "--sets=stock", "--methods=full", "--seeds=4", "--first_seed=5"])
    text = (Path(folder) / "tables.md").read_text()
    assert "Not run:\n\n- stock, seeds 8: full\n" in text
    assert "10 minutes of training a cell, tiny networks, --smoke, at most" in text


@pytest.mark.parametrize("field", ["options", "budget", "seconds of sampling"])
def test_a_page_is_of_cells_of_paper(cells, field):
    folder = cells(lambda cell: cell.pop(field))
    with pytest.raises(SystemExit, match=r"full__stock__0\.json: not a cell, remove"):
        page.main([folder, "--sets=stock"])


def test_networks_of_several_phases_are_counted_once():
    """TimeGAN on Stock, by hand: a GRU layer has 3 h (i + h + 1) parameters, h = 24."""
    from_6, later, out = 72 * (6 + 25), 72 * (24 + 25), 25
    embedder = generator = from_6 + 2 * later + 24 * out
    recovery, supervisor = 3 * later + 6 * out, 2 * later + 24 * out
    discriminator = 3 * later + out
    counted = embedder + generator + recovery + supervisor + discriminator
    cell = json.loads((CELLS / "time_gan__stock__0.json").read_text())
    assert page.costs([cell], paper.read_methods("time_gan")[0])[2] == f"{counted:,}"


@pytest.mark.parametrize("name", ["paper", "full_trainings"])
def test_the_committed_tables_are_those_of_the_committed_cells(tmp_path, name):
    folder = Path(__file__).parents[1] / "benchmarks" / "results" / name
    command = re.search(
        r"page\.py\s+\S+\s+([^`]+)`", (folder / "README.md").read_text()
    )
    for cell in folder.glob("*.json"):
        (tmp_path / cell.name).write_text(cell.read_text())
    page.main([str(tmp_path), *command[1].split()])
    assert (tmp_path / "tables.md").read_text() == (folder / "tables.md").read_text()


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


def test_planned_steps_are_whole_calls():
    """A last shorter call would be another program, compiled again."""
    assert budgets.whole_calls(23, 10) == 20
    assert budgets.whole_calls(20, 10) == 20
    assert budgets.whole_calls(7, 10) == 7


def test_a_plan_compiles_what_it_times(monkeypatch):
    kept = []
    monkeypatch.setattr(
        budgets.compilation_cache, "reset_cache", lambda: kept.append(0)
    )
    before = jax.config.jax_enable_compilation_cache
    with budgets.no_kept_programs():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache == before
    assert len(kept) == 2


def test_a_plan_shares_the_time_as_stated(monkeypatch):
    """Steps of 10 ms and 2 s of compilation, 1 minute: by hand."""
    config = base.with_argument(base.get_config(), "smoke")
    task = prepare(configs.resolve(config), tiny_splits())
    monkeypatch.setattr(budgets, "seconds", lambda stage, examples, c: (2.0, 0.01))
    found = budgets.plan(task, 1.0)
    steps = {name: part["steps"] for name, part in found["measured"].items()}
    # 5,700 of 0.95 minutes by their shares, without the 200 of compilation, in tens.
    assert steps == {"encoder": 650, "latent": 650, "data": 3_790}
    assert found["fields"]["data_stage.num_steps"] == steps["data"]
    assert found["fields"]["training.steps_per_call"] == 10  # the config's
    assert found["fields"]["training.checkpoint_every"] == 6_000
    task.config.variant = "data_only"
    assert budgets.plan(task, 1.0)["measured"]["data"]["steps"] in (5_490, 5_500)


class Chain:
    """A model whose chain takes 2 s and .5 s a step for each series."""

    def __init__(self, steps=0):
        config = base.with_argument(base.get_config(), "data_only")
        config.sampling.num_steps = steps
        self.config, self.clock, self.calls = configs.resolve(config), 0.0, []

    def sample(self, key, n, *, num_steps):
        self.calls.append((n, num_steps))
        self.clock += 2.0 + 0.5 * n * num_steps


@pytest.mark.parametrize(
    "asked, n, minutes, steps",
    [
        (0, 10, 1.0, 11),  # 60 s = 2 + 5 x 11.6
        (0, 10, 10.0, 100),  # 119 fit, the chain has 100
        (8, 10, 1.0, 8),
        (0, 10, 0.3, 5),  # 3 would fit
        (0, 1_024, 100.0, 11),  # two calls of 512: 3,000 s = 2 + 256 x 11.7
    ],
)
def test_steps_that_fit_the_time_of_sampling(monkeypatch, asked, n, minutes, steps):
    model = Chain(asked)
    monkeypatch.setattr(time, "perf_counter", lambda: model.clock)
    monkeypatch.setattr(budgets.parallel, "sampling_batch_size", lambda _: 512)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert budgets.fitting_steps(model, n, minutes) == steps
    assert model.calls == [(min(n, 512), k) for k in (2, 2, 4, 4)]


def test_a_plan_is_kept_for_what_it_is_of(tmp_path):
    """Cut off before anything was trained: another size has a plan of its own."""
    path = tmp_path / "plan.json"
    made = budgets.read_or_make(
        path, 9.0, {"steps": 20}, lambda: {"minutes": 9.0, "n": 1}
    )
    assert budgets.read_or_make(path, 9.0, {"steps": 20}, lambda: {}) == made
    other = budgets.read_or_make(
        path, 9.0, {"steps": 100}, lambda: {"minutes": 9.0, "n": 2}
    )
    assert (made["n"], other["n"]) == (1, 2)
    with pytest.raises(InputError, match="plan for 9 minutes, and 3 are asked for"):
        budgets.read_or_make(path, 3.0, {"steps": 100}, lambda: {})


def test_a_plan_of_other_networks_or_series_is_made_anew(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(budgets, "plan", lambda *_: found.append(1) or {"minutes": 1.0})
    for argument in ("smoke", "smoke", ""):
        config = base.with_argument(base.get_config(), argument)
        task = prepare(configs.resolve(config), tiny_splits())
        budgets.kept_plan(task, 1.0, tmp_path)
    assert len(found) == 2
    monkeypatch.setattr(budgets, "fitting_steps", lambda model, n, minutes: 100)
    monkeypatch.setattr(budgets, "num_samples", lambda model: model.count)
    for count in (30, 500):
        model = Chain()
        model.count = count
        budgets.with_fitting_steps(model, None, 1.0, tmp_path)
        plan = json.loads((tmp_path / "sampling_plan.json").read_text())
        assert plan["of"] == {"series": count, "steps": 100}


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


def test_a_schedule_keeps_its_shape():
    c = base.get_config().fourier_flow
    fields = budgets.stretched(c, 150)
    assert fields["num_steps"] == 150
    np.testing.assert_allclose(fields["decay_rate"] ** 150, 0.999**1_500)
    c = base.get_config().diffusion_ts
    fields = budgets.stretched(c, c.num_steps // 10)
    assert (fields["warmup_steps"], fields["patience"]) == (375, 400)
    fields = budgets.stretched(c, c.num_steps * 10)
    assert (fields["warmup_steps"], fields["patience"]) == (500, 4_000)


def test_steps_are_timed_without_their_compilation(monkeypatch):
    """A program that takes long once and then as long as its steps."""
    durations = iter([3.0, 0.5, 0.4, 0.6])
    clock = [0.0]

    def make_program(stage, c, *, seed):
        def program(state, batches):
            assert batches.shape == (10, 8, 3)
            assert not jax.config.jax_enable_compilation_cache  # it is compiled
            clock[0] += next(durations)
            return state, {"loss": jnp.zeros(10)}

        return program

    stage = Stage(
        "line",
        lambda key: {"w": jnp.zeros(3)},
        lambda upstream, series: series,
        lambda params, key, x: (jnp.sum(params["w"] * x), {}),
        lambda params, series: params,
    )
    monkeypatch.setattr(budgets.train, "make_program", make_program)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    c = base.get_config().encoder
    c.batch_size = 8
    compilation, step = budgets.seconds(stage, np.zeros((5, 3), np.float32), c)
    np.testing.assert_allclose([compilation, step], [2.5, 0.05])


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
        with pytest.raises(SystemExit, match="1 cells failed"):
            command(tmp_path / "R", "--seeds=1")
    assert "gaussian__sines__0: " in capsys.readouterr().err
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
