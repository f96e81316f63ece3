"""Links lead somewhere, sentences are whole, and scores are those of the json files."""

import ast
import json
import re
from functools import reduce
from operator import getitem
from pathlib import Path

import corruptions
import few_steps
import full_scores
import pytest
import scaling
from full_scores import ROWS, SMALL_ROWS, number
from ml_collections import ConfigDict

from l2d_jax import configs
from l2d_jax.configs import base

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "launch" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks" / "results").rglob("*.md")),
]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page):
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_fields_arguments_and_benchmarks_that_are_named_are_there(page):
    text, config = page.read_text("utf-8"), base.get_config()
    for field in re.findall(r"--config\.([a-z_]+(?:\.[a-z_0-9]+)*)", text):
        reduce(getitem, field.split("."), config)  # KeyError: there is none
    for arguments in re.findall(r"(?:`|\.py):([a-z_,]+)[` ]", text):
        assert {*arguments.split(",")} <= {*base.ARGUMENTS}, arguments
    command = r"benchmarks/([a-z_]+\.py)((?:(?!python )[^`])*)"
    for script, options in re.findall(command, text):
        source = (ROOT / "benchmarks" / script).read_text("utf-8")
        for option in re.findall(r"--([a-z_-]+)", options):
            assert f'"--{option}"' in source, f"{script} --{option}"


def flat(config: ConfigDict) -> dict:
    """Values by field."""
    fields = {}
    for name, value in config.items():
        inner = flat(value) if isinstance(value, ConfigDict) else {"": value}
        fields |= {f"{name}.{field}".rstrip("."): one for field, one in inner.items()}
    return fields


def test_what_paper_changes_is_on_the_page_of_differences():
    page = (ROOT / "docs" / "method.md").read_text("utf-8")
    changed = set()
    for path in (ROOT / "configs").glob("*.py"):
        if path.stem in ("base", "ucr_uea"):
            continue
        own, papers = (
            flat(configs.load(path.stem).get_config(argument))
            for argument in ("", "paper")
        )
        changed |= {field for field in own if own[field] != papers[field]}
    assert {"encoder.whiten", "data_stage.condition_noise"} <= changed
    names = {field.split(".")[-1].removeprefix("latent_") for field in changed}
    assert {name for name in names if f"{name}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paragraphs_are_whole_sentences(page):
    cut = [one for one in paragraphs(page.read_text("utf-8")) if is_cut(one)]
    assert not cut, cut


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("A score.\n\nAnother, see\n[here](x.md).", 0),
        ("A score, a\n\ntenth of it.", 2),
        ("So:\n\n```bash\nls\n\ncd\n```\n\n- one\n\n| a | b |\n\n# c", 0),
    ],
)
def test_a_sentence_that_is_cut_is_found(text, cut):
    assert sum(map(is_cut, paragraphs(text))) == cut


@pytest.mark.parametrize(
    ("page", "rows", "make"),
    [
        ("README.md", ROWS, full_scores.context_fid_row),
        ("docs/results.md", ROWS, full_scores.other_scores_row),
        ("docs/results.md", SMALL_ROWS, full_scores.small_row),
        ("docs/results.md", full_scores.MATCHED_ROWS, full_scores.matched_row),
        ("docs/results.md", ROWS, full_scores.training_rows),
        (
            "benchmarks/results/ablations.md",
            full_scores.LENGTH_ROWS,
            full_scores.length_row,
        ),
    ],
)
def test_scores_in_the_documents_are_those_of_the_json_files(page, rows, make):
    text = (ROOT / page).read_text("utf-8")
    for row in rows:
        assert make(row, full_scores.read(row)).removesuffix("|") in text


def test_scores_by_the_seed_of_sampling_are_those_of_the_json_files():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    of_stock, means = ROWS[0], []
    for seed in range(5):
        file = f"stock_seeds/{seed}.json" if seed else of_stock.file
        scores = full_scores.read(of_stock._replace(file=file))
        names = ("context_fid", "random_convolution_fid", "precision", "recall")
        cells = [number(scores[name]["mean"]) for name in names]
        assert f"| {seed} | {' | '.join(cells)} |" in text
        means.append(cells[0])
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"five seeds of sampling it is {min(means)} to {max(means)} (" in text


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("random walks", "walks"),
        ("heavy-tailed steps", "heavy"),
        ("noise of 48 values", "noise"),
        ("the same, series by series of another scale", "scales"),
    ],
)
def test_false_alarms_in_the_documents_are_those_of_the_json_file(title, name):
    found = json.loads((RESULTS / f"false_alarms_{name}.json").read_text("utf-8"))
    assert found["deals"] == 100 and len(found["differ, by score"]) == 16
    shares = [f"{100 * share:.1f} %".removeprefix("0") for share in found["differ"]]
    text = (ROOT / "docs" / "scores.md").read_text("utf-8")
    assert f"| {title} | {' | '.join(shares)} |" in text


@pytest.mark.parametrize("row", [*ROWS, *SMALL_ROWS], ids=lambda row: row.title)
def test_scores_that_a_config_expects_are_those_of_its_json_file(row):
    source = (ROOT / "configs" / f"{row.config}.py").read_text("utf-8")
    expected = " ".join(ast.get_docstring(ast.parse(source)).split())
    score = full_scores.read(row)["context_fid"]
    mean, values = number(score["mean"]), ", ".join(map(number, score["values"]))
    low, high = map(number, score["interval"])
    if row in ROWS:
        assert f"Context-FID {mean} (95 % interval {low} to {high}; " in expected
    else:
        assert f"{mean} of 2,000 series (seed 0; two encoders: {values})" in expected
    assert f" {number(score['at_floor_size']['mean'])}" in expected
    assert f"real against real has {number(score['floor']['mean'])}" in expected


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("few_steps", few_steps.markdown),
        ("corruptions", corruptions.markdown),
        ("scaling", scaling.table),
    ],
)
def test_pages_of_benchmarks_are_those_of_their_json_files(name, make):
    found = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert make(found) == (RESULTS / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("title", "name", "variant"),
    [
        ("Japanese Vowels", "japanese_vowels", "full"),
        ("without the latent", "japanese_vowels", "data_only"),
        ("ECG5000", "ecg5000", "full"),
        ("without the latent", "ecg5000", "data_only"),
        ("Character Trajectories", "character_trajectories", "full"),
        ("without the latent", "character_trajectories", "data_only"),
        ("Crop", "crop", "full"),
        ("ETTh1", "etth", "full"),
        ("Sines", "sines", "full"),
        ("Riverflow", "riverflow", "full"),
        ("AR(1)", "ar1", "full"),
        ("Electric Devices", "electric_devices", "full"),
    ],
)
def test_few_steps_in_the_documents_are_those_of_the_json_file(title, name, variant):
    found = json.loads((RESULTS / "few_steps.json").read_text("utf-8"))
    rows = found["sets"][name]["rows"]
    solvers = [*(f"dpm_solver++|{steps}" for steps in (1, 5, 20, 100)), "ancestral|100"]
    cells = [rows[f"{variant}|data|{solver}"] for solver in solvers]
    written = " | ".join(
        f"{number(one['context_fid'])} / {number(one['random_convolution_fid'])}"
        for one in cells
    )
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert f"| {title} | {written} |" in text


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Stock, 2,000 series", "stock"),
        ("Japanese Vowels, 640", "japanese_vowels"),
        ("ECG5000, 2,000", "ecg5000"),
        ("Character Trajectories, 1,000", "character_trajectories"),
        ("Energy, 2,000", "energy"),
    ],
)
def test_few_steps_in_the_readme_are_those_of_the_json_file(title, name):
    found = json.loads((RESULTS / "few_steps.json").read_text("utf-8"))
    scores = {
        key: row["context_fid"] for key, row in found["sets"][name]["rows"].items()
    }
    expected = [scores[f"full|data|dpm_solver++|{steps}"] for steps in (5, 100)]
    alone = [score for key, score in scores.items() if key.startswith("data_only|")]
    if alone:
        expected += [scores["data_only|data|dpm_solver++|5"], min(alone)]
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"| {title} |"))
    figures = re.findall(r"\| (\.\d+)", line)
    assert figures == [
        f"{score:.{len(figure) - 1}f}".removeprefix("0")
        for figure, score in zip(figures, expected, strict=True)
    ]


def test_the_time_of_few_steps_in_the_readme_is_that_of_the_json_files():
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    found = json.loads((RESULTS / "few_steps.json").read_text("utf-8"))
    seconds = [
        [one["rows"][f"full|data|dpm_solver++|{n}"]["seconds"] for n in (5, 20, 100)]
        for one in found["sets"].values()
    ]
    assert "a tenth to a fifteenth of the time of 100 steps" in text
    times = [round(all_steps / few) for few, _, all_steps in seconds]
    assert (min(times), max(times)) == (10, 15)
    assert "about a third of that of 20, the default" in text
    assert all(0.25 < few / default < 0.4 for few, default, _ in seconds)
    assert "(on an H100 less than a quarter)" in text
    found = json.loads((RESULTS / "speed_stock_h100.json").read_text("utf-8"))
    rates = found["sets"]["stock"]["rates"]
    for dtype in ("float32", "bfloat16"):
        few, all_steps = (rates[f"{n} steps, {dtype}"]["median"] for n in (5, 100))
        assert 0.2 < all_steps / few < 0.25


@pytest.mark.parametrize(
    ("title", "rate", "relative_to"),
    [
        ("100 steps, series per second", "100 steps, {}", None),
        ("5 steps, series per second", "5 steps, {}", None),
        (
            "100 steps, speed relative to 500 of Diffusion-TS in PyTorch",
            "100 steps, {}",
            "Diffusion-TS's size, 500 steps, float32",
        ),
        (
            "5 steps, relative to the same",
            "5 steps, {}",
            "Diffusion-TS's size, 500 steps, float32",
        ),
        (
            "a call of the denoiser, relative to the same network in PyTorch",
            "denoiser, {}",
            "torch denoiser, {}",
        ),
        (
            "a training step, relative to PyTorch",
            "training, {}",
            "torch training, {}",
        ),
    ],
)
def test_speed_in_the_readme_is_that_of_the_json_files(title, rate, relative_to):
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"| {title} |"))
    figures = re.findall(r"\d[\d.]*", line.removeprefix(f"| {title} ").replace(",", ""))
    expected = []
    for name in ("newer_epyc", "h100"):
        found = json.loads((RESULTS / f"speed_stock_{name}.json").read_text("utf-8"))
        rates = found["sets"]["stock"]["rates"]
        for dtype in ("float32", "bfloat16"):
            value = rates[rate.format(dtype)]["median"]
            if relative_to:
                value /= rates[relative_to.format(dtype)]["median"]
            expected.append(value)
    assert [float(figure) for figure in figures] == pytest.approx(expected, rel=0.03)


def test_a_row_of_scores_by_hand():
    score = {
        "mean": 0.0123449,
        "interval": [0.01, 0.25],
        "at_floor_size": {"mean": 0.2},
        "floor": {"mean": 1.0},
        "percentile": 100.5 / 101,
    }
    row = full_scores.Row("A, 2 x 1", 1234, "")
    found = full_scores.context_fid_row(row, {"context_fid": score})
    assert found == (
        "| A, 2 x 1 | 1,234 | **.0123** (.0100 to .250) |  | .200 | 1.00 | 100 of 100 |"
    )
    score["percentile"] = 99.5 / 101
    found = full_scores.context_fid_row(row, {"context_fid": score})
    assert found.endswith("| 99 of 100 |")


def test_rows_of_trainings_by_hand(monkeypatch, tmp_path):
    """Each beside its own seed, seed 0 first."""
    monkeypatch.setattr(full_scores, "RESULTS", tmp_path)
    (tmp_path / "trainings").mkdir()

    def scores(mean, below):
        size, percentile = {"mean": 2 * mean}, (below + 0.5) / 101
        return {
            "context_fid": {
                "mean": mean,
                "at_floor_size": size,
                "percentile": percentile,
            }
        }

    for seed in (1, 2):
        text = json.dumps(scores(0.01 + 0.01 * seed, 50 + seed))
        (tmp_path / "trainings" / f"a_{seed}.json").write_text(text)
    row = full_scores.Row("A, 2 x 1", 1234, "scores_a.json")
    assert full_scores.training_rows(row, scores(0.01, 50)) == (
        "| A | 0 | .0100 | .0200 | 50 of 100 |  |  |  |\n"
        "| A | 1 | .0200 | .0400 | 51 of 100 |  |  |  |\n"
        "| A | 2 | .0300 | .0600 | 52 of 100 |  |  |  |"
    )


def test_a_row_of_training_lengths_by_hand():
    scores = {
        "context_fid": {"mean": 0.01, "percentile": 51.5 / 101},
        "random_convolution_fid": {"mean": 0.02},
        "discriminative_score": {"mean": None},
        "recall": {"mean": 0.9},
        "closest_record": {"mean": 0.3, "floor": {"mean": 0.4}},
    }
    row = full_scores.Row("A, 400 (1,398)", 1234, "")
    assert full_scores.length_row(row, scores) == (
        "| A | 400 (1,398) | .0100 | 51 of 100 | .0200 |  |  |  | .900 | .300 / .400 |"
    )


def paragraphs(text: str) -> list[str]:
    """Prose alone: no code, tables, lists, headings or pictures."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    return [
        block for block in blocks if block and not re.match(r"[|#!\-]|\d+\.", block)
    ]


def is_cut(paragraph: str) -> bool:
    """Begins in the middle of a sentence, or ends there."""
    return paragraph[0].islower() or paragraph[-1] not in ".:)`!?"
