"""The examples of the documents run; what docs/extending.md makes is what it says."""

import ast
import importlib.util
import pkgutil
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import l2d_jax
from l2d_jax import run, sampling, schedules, variants
from l2d_jax.data import read_array, split
from l2d_jax.metrics import METRICS
from l2d_jax.results import sample_to_file
from l2d_jax.stages import STAGES
from l2d_jax.task import prepare

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
TABLES = (sampling.SOLVERS, schedules.SCHEDULES, variants.ALL_STAGES, METRICS)


@pytest.fixture(autouse=True)
def tables_as_they_were():
    before = [dict(table) for table in TABLES]
    yield
    for table, entries in zip(TABLES, before, strict=True):
        table.clear()
        table.update(entries)


def waves(n=80):
    """The first channel still at most steps, the second never."""
    rng = np.random.default_rng(0)
    t = np.arange(8)[None] + rng.uniform(0, 6, (n, 1))
    held = np.repeat(rng.normal(size=(n, 2)), 4, axis=1)
    return np.stack([held, 300 + 20 * np.sin(t)], axis=-1)


def examples_of(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def untrained(series):
    config = l2d_jax.configs.own.get_config("smoke")
    config.data.name = "array"
    config = l2d_jax.configs.resolve(config)
    task = prepare(config, split(read_array(series, config.data), config.data))
    params = {}
    for make in STAGES.values():
        stage = make(task.config, task.layout.shape)
        weights = jax.jit(stage.init)(jax.random.key(0))
        params |= stage.export(weights, task.series)
    return run.assemble(task, params)


def dotted(node):
    """a.b.c of the syntax tree as text; "" of anything else."""
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return node.id if isinstance(node, ast.Name) else ""


def test_names_that_examples_use_are_public():
    """Type checkers don't know the others, though an import within may bring them."""
    used = set()
    for page in (ROOT / "README.md", ROOT / "docs" / "own_data.md", PAGE):
        for example in examples_of(page):
            used |= {dotted(node) for node in ast.walk(ast.parse(example))}
    names = {name for name in used if name.startswith("l2d_jax.")}
    assert {"l2d_jax.fit", "l2d_jax.metrics.table.table"} <= names
    for name in names:
        above, _, last = name.rpartition(".")
        module = pkgutil.resolve_name(above)
        assert last in getattr(module, "__all__", vars(module)), name


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # in one line
def test_the_examples_of_readme_and_own_data_run(tmp_path, monkeypatch, capsys):
    """On a model whose training is spared, and with one score."""
    monkeypatch.chdir(tmp_path)
    series, labels = waves().astype(np.float32), np.arange(80) % 4
    np.save("mine.npy", series)
    np.save("windows.npy", series)
    model, configs = untrained(series), []

    def fit(given, *, workdir=None, config=None):
        np.testing.assert_array_equal(given, series)
        if config is not None:
            configs.append(l2d_jax.configs.resolve(config))
        if workdir is not None:
            run.save(model, Path(workdir).absolute(), {})
        return model

    few = partial(l2d_jax.evaluate, metrics=["spectral_distance"])
    monkeypatch.setattr(l2d_jax, "fit", fit)
    monkeypatch.setattr(l2d_jax, "evaluate", few)
    names = {"labels": labels, "held_out": series[:30]}
    use, score = examples_of(ROOT / "README.md")
    examples = examples_of(ROOT / "docs" / "own_data.md")
    read, another, exported, which_stage, one_class = examples
    writes = importlib.util.find_spec("flatbuffers") is not None
    exec(use if writes else use.replace("l2d_jax.export", "# l2d_jax.export"), names)
    assert names["x_mid"].shape == (1, 8, 2) and names["r_new"].shape == (1000, 8)
    assert names["scores"].keys() == {"spectral_distance"}
    drawn = names["model"].sample(jax.random.key(0), 1000)
    if writes:
        exec(exported, names)
        np.testing.assert_allclose(names["series"], drawn, rtol=1e-3, atol=1e-2)
        assert (names["lengths"] == 8).all()
    names |= {"series": series, "real": series, "generated": drawn}
    exec(another, names)
    (config,) = configs
    assert (config.variant, config.seed) == ("diffusion_ts", 1)
    exec(score, names)
    run.save(model, Path("runs/mine").absolute(), {})
    for name in ("samples.npz", "samples.csv"):
        sample_to_file(model, Path("runs/mine") / name, n=20, seed=0)
    exec(read, names)
    expected = names["first"]
    columns = [*model.layout.channels]
    np.testing.assert_allclose(names["series"][0][columns], expected, rtol=1e-4)
    names["series"] = series
    exec(which_stage, names)
    assert names["x_hat"].shape == series.shape
    exec(one_class, names)
    assert len(names["x"]) == (names["found"] == 3).sum() > 0
    assert capsys.readouterr().out.count("Spectral distance") == 2


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    series = waves()
    names = {"series": series}
    first, loop, condition, inside = examples_of(PAGE)
    small = "config = l2d_jax.configs.own.get_config()"
    for code in (first, loop):
        assert small in code
    exec(first.replace(small, small[:-1] + '"smoke")'), names)
    assert {"level", "spectral_distance"} == names["scores"].keys()
    assert names["model"].config.sampling.solver == "less_noise"
    # Samples are those of the solver: of another one they are others.
    key = jax.random.key(0)
    ancestral = names["model"].sample(key, len(series), solver="ancestral")
    assert np.abs(names["x"] - ancestral).max() > 1e-3

    exec(loop.replace(small, small[:-1] + '"smoke")'), names)
    model = names["model"]
    run.save(model, tmp_path / "mine", {})
    again = l2d_jax.load(tmp_path / "mine")
    np.testing.assert_array_equal(again.sample(key, 5), model.sample(key, 5))

    exec(condition, names)
    assert np.isfinite(names["x"]).all()
    value = names["loss"](names["weights"], key, jnp.zeros((8, 2)), names["given"][0])
    assert np.isfinite(value)

    exec(inside, names)
    np.testing.assert_allclose(names["x"], model.sample(key, 100), rtol=1e-4, atol=1e-3)
    assert (names["lengths"] == 8).all()
    r, given = model.encode(series[:1])[0], (names["inputs"], series[0])
    away = names["slope"] / np.linalg.norm(names["slope"])
    up, down = (names["search"](r + step * away, *given)[0] for step in (0.01, -0.01))
    np.testing.assert_allclose((up - down) / 0.02, names["slope"] @ away, rtol=0.02)


def test_weights_of_another_loop_make_the_model_that_a_run_makes():
    """With the range of the data, and the channels that stand still."""
    series = waves()
    config = l2d_jax.configs.own.get_config("smoke,data_only")
    config.sampling.few_values = 0
    model = l2d_jax.fit(series, config=config)
    config.data.name = "array"
    config = l2d_jax.configs.resolve(config)
    task = prepare(config, split(read_array(series, config.data), config.data))
    trained = {k: v for k, v in model.params.items() if k not in ("low", "high")}
    again = run.assemble(task, trained)
    assert again.normalizer.held_below[0] > 0 == again.normalizer.held_below[1]
    key = jax.random.key(1)
    np.testing.assert_array_equal(again.sample(key, 9), model.sample(key, 9))
