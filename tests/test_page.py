"""benchmarks/page.py: tables of cells, and what is no mean of them."""

import json
import re
from pathlib import Path

import compare
import page
import paper
import pytest

from l2d_jax import configs
from l2d_jax.types import InputError

CELLS = Path(__file__).parents[1] / "benchmarks" / "results" / "paper"


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
