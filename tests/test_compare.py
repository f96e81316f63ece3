"""benchmarks/compare.py on small files, and on the published example."""

import csv
import io
import json
import math
import re
import sys
from pathlib import Path

import compare
import numpy as np
import pytest
from PIL import Image

from l2d_jax.types import InputError

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
METHODS, SETS = ("ours", "theirs", "noise"), ("one", "two")


def cell(method, name, mean, *, metric="context_fid", seed=0, **more):
    score = {"mean": mean, **more}
    return {"method": method, "set": name, "seed": seed, "scores": {metric: score}}


def cells(values, **more):
    """Cells of `METHODS` on `SETS` from values [methods][sets]; None: not run."""
    return [
        cell(method, name, value, **more)
        for method, row in zip(METHODS, values, strict=True)
        for name, value in zip(SETS, row, strict=True)
        if value is not None
    ]


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command on cells; returns what it prints, and the folder it fills."""

    def run(rows, *options, metric="context_fid"):
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir(exist_ok=True)
        (source / "cells.json").write_text(json.dumps(rows))
        compare.main([str(source), f"--metric={metric}", f"--out={out}", *options])
        return capsys.readouterr().out, out

    return run


@pytest.fixture
def refuses(tmp_path):
    """The one line by which the command refuses files, by name: text."""

    def refuses(files, metric="context_fid", *options):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text)
        out = f"--out={tmp_path / 'out'}"
        with pytest.raises(SystemExit) as stopped:
            compare.main([str(tmp_path), f"--metric={metric}", out, *options])
        message = stopped.value.code
        assert isinstance(message, str) and "\n" not in message
        return message

    return refuses


# --- the table ------------------------------------------------------------------------


def test_winners_ranks_and_order(run):
    printed, out = run(cells([[0.3, 0.25], [0.1, 0.2], [5.0, 40.0]]))
    assert "| method | one | two | average rank |" in printed
    assert (
        "| theirs | **0.100** | **0.200** | 1.00 |\n"
        "| ours | <u>0.300</u> | <u>0.250</u> | 2.00 |\n"
        "| noise | 5.00 | 40.0 | 3.00 |\n"
    ) in printed
    assert (out / "table_context_fid.md").read_text() == printed.removesuffix("\n")
    names = {"md", "csv", "tex"}
    expected = {"ranks_context_fid.png", *(f"table_context_fid.{n}" for n in names)}
    assert {path.name for path in out.iterdir()} == expected


def test_high_is_best_where_it_is_and_where_it_is_said(run):
    values = [[0.3, 0.9], [0.1, 0.2], [0.2, 0.4]]
    printed, _ = run(cells(values, metric="recall"), metric="recall")
    assert "| ours | **0.300** | **0.900** | 1.00 |" in printed
    assert "# Recall: higher is better" in printed
    printed, _ = run(cells(values, metric="recall"), "--best=low", metric="recall")
    assert "| theirs | **0.100** | **0.200** | 1.00 |" in printed


def test_below_its_ideal_no_score_is_better(run):
    """Accuracies of .4 and .5 are both chance; below .5 lies nothing to win."""
    rows = cells([[0.4, 0.45], [0.5, 0.5], [0.9, 0.51]], metric="two_sample_accuracy")
    printed, _ = run(rows, metric="two_sample_accuracy")
    assert "# Two-sample accuracy: lower is better, down to 0.5\n" in printed
    assert "| ours | **0.400** | **0.450** | 1.50 |" in printed
    assert "| theirs | **0.500** | **0.500** | 1.50 |" in printed
    assert "| noise | 0.900 | 0.510 | 3.00 |" in printed


def test_errors_of_opposite_sign_do_not_cancel_over_seeds():
    def score(mean):
        return {"mean": mean, "floor": {"mean": 0.5}}

    wide = compare.entry_of([score(0.6), score(0.4)], "real", "here")
    near = compare.entry_of([score(0.51), score(0.51)], "real", "here")
    assert (wide.cost, near.cost) == pytest.approx((0.1, 0.01))


def test_nearest_to_the_floor_is_best_at_its_number_of_series(run):
    """At half the series: ours is .02 off, theirs .1, noise .4, whatever the means."""
    rows = [
        cell(
            method,
            name,
            mean,
            metric="density",
            floor={"mean": 1.0},
            at_floor_size={"mean": at_floor_size},
        )
        for method, mean, at_floor_size in zip(
            METHODS, (1.3, 1.0, 0.6), (0.98, 1.1, 1.4), strict=True
        )
        for name in SETS
    ]
    printed, _ = run(rows, metric="density")
    assert "| ours | **1.30** | **1.30** | 1.00 |" in printed
    assert "| theirs | <u>1.00</u> | <u>1.00</u> | 2.00 |" in printed
    assert "| real against real (floor) | 1.00 | 1.00 |  |" in printed


def test_ties_share(run):
    printed, _ = run(cells([[0.1, 0.1], [0.1, 0.2], [0.3, 0.2]]))
    assert "| ours | **0.100** | **0.100** | 1.25 |" in printed
    assert "| theirs | **0.100** | <u>0.200</u> | 2.00 |" in printed
    assert "| noise | 0.300 | <u>0.200</u> | 2.75 |" in printed


def test_what_was_not_run_is_left_out(run):
    values = [[0.1, 0.9], [0.2, None], [0.3, 0.1]]
    third = [cell(m, "three", x) for m, x in zip(METHODS, (1, 2, 3), strict=True)]
    printed, out = run(cells(values) + third)
    assert "| ours | **0.100** | <u>0.900</u> | **1.00** | 1.00 |" in printed
    assert "| theirs | <u>0.200</u> | – | <u>2.00</u> | 2.00 |" in printed
    assert "–: not run." in printed
    assert "tests, 2: one, three. Left out, as not all" in printed
    assert "score: two." in printed
    tex = (out / "table_context_fid.tex").read_text()
    assert "0.200} & -- & " in tex and "--: not run" in tex


def test_undefined_scores_are_said(run):
    rows = cells([[0.1, 0.2], [0.2, 0.1], [None, 0.3]])
    printed, _ = run([*rows, cell("noise", "one", None, undefined="constant")])
    assert "| noise | undefined | 0.300 | 3.00 |" in printed
    assert "not run" not in printed and "No tests (methods: 3, sets: 1." in printed


def test_too_few_methods_still_make_a_table(run):
    printed, out = run([cell("a", "one", 1.0), cell("b", "two", 2.0)])
    assert "| a | **1.00** | – | – |" in printed
    assert "tests, 0: none" in printed and "No tests (methods: 2" in printed
    assert not list(out.glob("*.png"))


def test_seeds_are_averaged(run):
    values = [[0.1, 0.2], [0.4, 0.4], [0.5, 0.5]]
    more = [cell("ours", "one", mean, seed=i) for i, mean in ((1, 0.2), (2, 0.6))]
    printed, out = run(cells(values, interval=[0.0, 1.0]) + more)
    # mean .3, sd sqrt(.07), t(.975, 2) = 4.3027
    reach = 4.302653 * math.sqrt(0.07 / 3)
    assert f"| ours | **0.300 ± {reach:.3f}** | **0.200 ± 0.500** | 1.00 |" in printed
    assert "Seeds of each cell: 1 or 3." in printed
    with (out / "table_context_fid.csv").open() as file:
        rows = {(row["method"], row["set"]): row for row in csv.DictReader(file)}
    row = rows["ours", "one"]
    assert row["seeds"] == "3" and float(row["mean"]) == pytest.approx(0.3)
    assert float(row["low"]) == pytest.approx(0.3 - reach, abs=1e-6)
    assert float(row["high"]) == pytest.approx(0.3 + reach, abs=1e-6)
    assert rows["noise", "two"]["average_rank"] == "3.0"


def test_floors_have_a_row(run):
    rows = [*cells([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4]])]
    rows[0]["scores"]["context_fid"]["floor"] = {"mean": 0.02}
    rows[2]["scores"]["context_fid"]["floor"] = {"mean": 0.04}
    printed, out = run(rows)
    assert "| real against real (floor) | 0.0300 |  |  |" in printed
    tex = (out / "table_context_fid.tex").read_text()
    assert "\\midrule\nreal against real (floor) & 0.0300 &  &  \\\\" in tex


def test_tests_are_told(run):
    rows = [
        cell(method, f"set {i}", place + 0.1 * i)
        for i in range(6)
        for place, method in enumerate(METHODS)
    ]
    printed, _ = run(rows)
    assert "chi-square of 2 = 12, p = 0.002" in printed
    assert "Holm's adjustment: none" in printed
    assert "| ours | 1.000 | < 0.001 | < 0.001 |" in printed
    rows = cells([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]])
    printed, _ = run(rows)
    assert "Holm's adjustment: ours, theirs, noise. B" in printed
    assert "tells equal ones apart too often" in printed


def test_warnings_are_told(run):
    rows = cells([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]])
    rows[3]["scores"]["context_fid"]["warning"] = "all samples are equal"
    printed, _ = run(rows)
    assert "**Warning**: theirs on two: all samples are equal" in printed


def test_a_generator_that_copies_is_told_beside_any_score(run):
    """It is best by most of them."""
    rows = cells([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]])
    rows[0]["scores"]["exact_copies"] = {"mean": 1.0, "warning": "COPIES"}
    printed, _ = run(rows)
    assert printed.count("**Warning**: ours on one: COPIES") == 1


def test_all_metrics(run):
    values = [[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]]
    rows = cells(values)
    for row in rows:
        row["scores"]["recall"] = dict(row["scores"]["context_fid"])
    printed, out = run(rows, metric="all")
    assert "# Context-FID" in printed and "# Recall" in printed
    assert (out / "ranks_recall.png").exists()
    assert (out / "ranks_context_fid.png").exists()


def test_what_can_not_be_compared_is_left_out_of_all_metrics(run):
    rows = cells([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3]])
    rows.append(cell("ours", "three", 1.0, metric="density"))
    printed, out = run(rows, metric="all")
    assert "# Context-FID" in printed
    assert "density left out: ours on three: density has no floor" in printed
    assert not list(out.glob("*density*"))


def test_scores_of_runs_are_named_by_their_folder(tmp_path, capsys):
    rows = {"a_b__one": 0.1, "a_b__one__1": 0.3, "other__one": 0.4}
    for name, mean in rows.items():
        (tmp_path / name / "report").mkdir(parents=True)
        (tmp_path / name / "report" / "facts.json").write_text("{")  # not read
        scores = {"context_fid": {"mean": mean}, "settings": {"seed": 0}}
        (tmp_path / name / "scores.json").write_text(json.dumps(scores))
        (tmp_path / name / "config.json").write_text("{")
    (tmp_path / "third__one__0.json").write_text(json.dumps(scores))
    read = compare.read([tmp_path, tmp_path / "other__one" / "scores.json"])
    found = {cell[:3]: cell.scores["context_fid"]["mean"] for cell in read}
    assert found == {
        ("a_b", "one", 0): 0.1,
        ("a_b", "one", 1): 0.3,
        ("other", "one", 0): 0.4,
        ("third", "one", 0): 0.4,
    }


@pytest.mark.parametrize(
    ("mean", "reach", "text"),
    [
        (0.14712, 0.0251, "0.147 ± 0.025"),
        (0.006013, 0.00726, "0.00601 ± 0.00726"),
        (0.0001, 0.5, "0.000 ± 0.500"),
        (14.449, None, "14.4"),
        (1234.56, 7.8, "1235 ± 8"),
        (0.0, None, "0"),
        (-0.25, None, "−0.250"),
        (0.00001234, None, "1.23e−05"),
        (99_999.0, None, "99999"),
        (1_806_174.0, 7_419_404.0, "1.81e+06 ± 7.42e+06"),
    ],
)
def test_digits(mean, reach, text):
    assert compare.written(mean, reach) == text


def test_names_are_escaped(run):
    names = ("a_b & c%", "x|y *z*", "\\#{$^~<>")
    rows = [
        cell(name, place, i + 1.0) for i, name in enumerate(names) for place in SETS
    ]
    printed, out = run(rows)
    assert r"| x\|y \*z\* | <u>2.00" in printed and r"| a\_b & c% | **1" in printed
    tex = (out / "table_context_fid.tex").read_text()
    assert r"a\_b \& c\% & \textbf{1.00}" in tex
    assert r"x\textbar{}y *z* & \underline{2.00}" in tex
    signs = r"\textbackslash{}\#\{\$\textasciicircum{}\textasciitilde{}"
    assert signs + r"\textless{}\textgreater{} & 3.00" in tex
    assert (out / "ranks_context_fid.png").exists()  # $ and \ are no markup there


def test_signs_that_a_terminal_lacks(run, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    _, out = run(cells([[1.0, 1.0], [2.0, 2.0], [3.0, None]]))
    terminal.seek(0)
    assert "| 3.00 | \\u2013 |" in terminal.read()
    assert "| 3.00 | – |" in (out / "table_context_fid.md").read_text("utf-8")


# --- the picture ----------------------------------------------------------------------


def test_bars_and_names_of_the_picture():
    ranks = np.array([1.0, 1.5, 3.5, 4.0])
    names = ["best", "second", "m" * 60, "worst"]
    figure = compare.draw(names, ranks, [(0, 1), (1, 2), (2, 3)])
    lines = figure.axes[0].get_lines()
    bars = [line.get_xydata() for line in lines if line.get_linewidth() == 5]
    left, right = lines[0].get_xydata()[:, 0]  # the axis, 1 to 4
    spans = [(bar[0, 0] + 0.04, bar[1, 0] - 0.04) for bar in bars]
    spans = 1 + 3 * (np.array(spans) - left) / (right - left)
    np.testing.assert_allclose(spans, [(1.0, 1.5), (1.5, 3.5), (3.5, 4.0)])
    heights = [bar[0, 1] for bar in bars]
    assert heights[0] != heights[1] != heights[2], "bars that touch"
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    assert {"best  1.00", "4.00  worst"} <= {text.get_text() for text in texts}
    for text in texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width <= 1600
        assert extent.y0 >= 0 and extent.y1 <= figure.bbox.height


# --- what can't be used ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"a.json: not JSON \(.*\): write it anew"),
        ([3], 'a.json: no "method".*give "TimeGAN"'),
        ([{"method": "a", "scores": {}}], 'a.json: no "set".*give "Stocks"'),
        ([{"method": "a", "set": "b"}], 'a.json: no "scores".*context_fid'),
        ([{**cell("a", "b", 1), "seed": "x"}], "a.json: \"seed\" is 'x': .*whole"),
        ([cell("a", "b", "1")], "a.json: context_fid: \"mean\" is '1': .*a number"),
        ([cell("a", "b", math.nan)], 'a.json: context_fid: "mean" is nan: .*null'),
        ([cell("a", "b", 1, interval=[1])], r'"interval" is \[1\]: give \[low, high\]'),
        ([cell("a", "b", 1, floor=0.1)], 'context_fid: floor has no "mean"'),
        ({"context_fid": {"mean": 1}}, "'a' does not name them.*METHOD__SET"),
    ],
)
def test_files_that_make_no_sense(refuses, content, message):
    assert re.search(message, refuses({"a.json": content}))


def test_run_without_means(refuses):
    message = refuses({"a__b.json": {"context_fid": 0.1, "settings": {}}})
    assert re.search(r'a__b.json: context_fid has no "mean"', message)


def test_a_cell_given_twice(refuses):
    message = refuses({"a.json": cell("m", "s", 1), "b.json": [cell("m", "s", 2)]})
    assert re.search(
        r"b\.json: m on s, seed 0, is also in .*a\.json: remove one", message
    )


def test_scores_of_unlike_numbers_of_series(refuses):
    rows = [cell("ours", "s", 1.0), cell("theirs", "s", 2.0), cell("old", "s", 3.0)]
    for row, n in zip(rows, (4000, 2000, None), strict=True):
        if n:
            row["scores"]["context_fid"]["num_samples"] = n
    message = refuses({"a.json": rows})
    assert "context_fid on s is of unlike numbers of series" in message
    assert "4,000 (ours), 2,000 (theirs)" in message


def test_metrics_that_are_not_there(refuses):
    files = {"a.json": cell("m", "s", 1)}
    assert "did you mean 'context_fid'?" in refuses(files, "contxt_fid")
    assert "use one of ['context_fid']" in refuses(files, "zzz")
    for metric in ("context_fid", "all"):
        empty = {"a.json": [], "m__s.json": {"settings": {}}}
        assert "no file holds a score" in refuses(empty, metric)


def test_options_that_do_not_fit(refuses):
    files = {"a.json": cell("m", "s", 1, metric="mine")}
    assert "--metric=mine: say --best=low or --best=high" in refuses(files, "mine")
    assert "--best goes with one metric" in refuses(files, "all", "--best=low")
    assert "between 0 and 1" in refuses(files, "mine", "--alpha=5")


def test_no_floor_to_be_near_to(refuses):
    message = refuses({"a.json": cell("m", "s", 1, metric="density")}, "density")
    assert "m on s: density has no floor: give --best=low" in message


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match=r"no \.json files there"):
        compare.read([tmp_path])
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        compare.read([tmp_path / "nowhere"])


# --- the example ----------------------------------------------------------------------


def test_the_example_is_what_the_command_writes(tmp_path):
    source = str(BENCHMARKS / "example_scores")
    compare.main([source, "--metric=context_fid", f"--out={tmp_path}"])
    kept = BENCHMARKS / "results" / "comparison_example"
    for suffix in ("md", "csv", "tex"):
        name = f"table_context_fid.{suffix}"
        assert (tmp_path / name).read_text() == (kept / name).read_text()
    with Image.open(kept / "ranks_context_fid.png") as picture:
        assert picture.size[0] <= 1600
