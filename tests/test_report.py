"""The report: what the page holds."""

import os
import re

import numpy as np
import pytest
from reports import Page, below, captions, paired, score, write

from l2d_jax.metrics.catalog import FAMILIES, SCORES
from l2d_jax.plots import drawing
from l2d_jax.plots.numbers import pick
from l2d_jax.report import NUM_NEIGHBOURS, SECTIONS, SEED, class_numbers
from l2d_jax.report.page import number
from l2d_jax.types import InputError

NAN = np.nan


def test_report_of_equal_lengths(tmp_path):
    page = write(tmp_path)
    maps = ["PCA, fitted on the real series", "t-SNE, fitted on both"]
    names = ["speed", "load"]
    found = captions(page)
    assert found[:10] == [*names, *maps, *names, *names, *names]
    assert len(below(found, "Generated ")) == 6 and found[16:] == ["data"]
    assert "Toy: real and generated" in page.text
    assert "l2d_jax, variant latent" in page.text
    assert "Context-FID: 0.02 is the distance" in page.text
    assert "40 of 40 real and 30 of 30 generated" in page.text
    assert "left out" not in page.text
    assert not any("role" in attrs for _, attrs in page.tags) and "⚠" not in page.text
    cells = [attrs.get("data-of") for attrs in page.all("td")]
    assert cells == ["Generated", "At floor's size", "Floor"]
    assert page.text.count("–") == 2  # no floor was given
    for name in ("command", "run it", "n", "3"):
        assert (name in page.words) == (name != "command")


def all_scores() -> dict:
    """One of each kind: as real, worse, different, undefined and without a floor."""
    scores = {
        name: paired([1.0, 1.1, 1.2], [1.1, 1.0, 1.2])  # as real
        for name in reversed(SCORES)
    }
    scores["context_fid"] = paired([3.0, 3.1, 3.2], [0.1, 0.2, 0.3])
    scores["predictive_score"] = paired([3.0, 3.1, 3.2], [0.1, 0.2, 0.3])
    why = "a channel is constant"
    scores["kurtosis_difference"] = {"mean": None, "values": [None], "undefined": why}
    warning = "COPIES OF TRAINING DATA: 15 & more"
    scores["exact_copies"] = score(0.5, 0.4, 0.6, 30, warning=warning)
    scores["dropped_classes"]["warning"] = "class 3 is missing"
    scores["my_score"] = {"mean": 0.125, "seconds": 3}
    return scores


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Page:
    x = np.random.default_rng(6).normal(size=(3, 4, 1))
    inputs = {"real": x, "generated": x, "channels": ("a",), "losses": {}}
    return write(tmp_path_factory.mktemp("suite"), scores=all_scores(), **inputs)


def test_report_of_the_whole_suite(suite):
    page = suite
    count = len(SCORES) + 1
    text = f"Of {count} scores: {count - 5} as real, 1 worse, 1 different, 3 no verdict"
    assert text in page.text
    heads = [words.strip() for tag, words in page.texts if tag == "h3"]
    assert heads == [*FAMILIES.values(), "Other scores"]
    order = [words.strip() for tag, words in page.texts if tag == "th"]
    assert order.index("Context-FID") < order.index("Discriminative score")
    assert order[-1] == "My score" and set(order) >= {w.title for w in SCORES.values()}
    assert "Undefined, because a channel is constant." in page.text
    assert len(page.all("td")) == 3 * count + 4 * (len(FAMILIES) + 1)
    opened = ["open" in attrs for attrs in page.all("details")]
    # Below how to read them, the first two, and those that hold a warning.
    assert opened == [False, True, True, False, False, True, True, False]


def test_overview_counts_by_family(suite):
    page = suite
    cells = [words for tag, words in page.texts if tag == "td"]
    published = sum(words.family == "published" for words in SCORES.values())
    assert cells[:4] == [str(published - 2), "1", "1", "–"]
    targets = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = [attrs["href"].removeprefix("#") for attrs in page.all("a")]
    families = [f"scores-{name}" for name in (*FAMILIES, "other")]
    assert links == [*(n for n in SECTIONS if n != "classes"), *families]
    assert set(links) <= targets


def test_warnings_stand_in_a_box_on_top(suite):
    page = suite
    places = [attrs.get("role") for _, attrs in page.tags]
    assert places.count("alert") == 1
    tags = [tag for tag, _ in page.tags]
    assert places.index("alert") < tags.index("section")
    warnings = "⚠ Warnings Class 3 is missing COPIES OF TRAINING DATA: 15 & more"
    assert warnings in page.text
    assert len(page.all("li")) == 2


def test_what_is_worse_stands_above_how_to_read_the_scores(suite):
    parts = ["scores: ", "Worse: Context-FID. What to", "own_data.md", "How to read"]
    places = [suite.text.index(part) for part in parts]
    assert places == sorted(places)
    assert "No copies" not in suite.text  # they were found, and the box says so


def test_report_of_ragged_series_with_labels(tmp_path):
    rng = np.random.default_rng(1)
    series = rng.normal(size=(50, 10, 1))
    for x, length in zip(series, rng.integers(1, 11, size=50), strict=True):
        x[length:] = NAN
    labels = np.arange(30) % 3
    page = write(
        tmp_path,
        real=series[:30],
        generated=series[30:],
        labels=labels,
        classes=("walk & run", "sit", "lie"),
        channels=("hip",),
    )
    assert captions(page).count("Length of the series") == 1
    assert captions(page).count("t-SNE, fitted on both, by class") == 1
    entries = [w.strip() for w in page.words]
    assert {"0: walk & run", "1: sit", "2: lie"} <= set(entries)
    assert "the class of the real series nearest to it" in page.text
    colors = [attrs["style"] for attrs in page.all("span")]
    assert colors == [f"color:{c}" for c in drawing.PALETTE[:3]]


def test_shares_of_classes(tmp_path):
    x = np.random.default_rng(7).normal(size=(40, 3, 1))
    shares = {"real": [0.5, 0.45, 0.0, 0.05], "generated": [0.8, 0.0, 0.2, 0.0]}
    page = write(
        tmp_path,
        real=x,
        generated=x[:30],
        channels=("a",),
        labels=np.repeat([0, 1, 3], [20, 18, 2]),
        classes=("a", "b", "c", "d"),
        scores={"class_histogram_distance": {"mean": 0.2, "shares": shares}},
    )
    assert "0: a 50\u00a0% real, 80\u00a0% generated" in page.lines
    assert "1: b 45\u00a0% real, none generated" in page.lines
    assert "2: c 0\u00a0% real, 20\u00a0% generated" in page.lines
    assert "3: d 5\u00a0% real, none generated" in page.lines


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("1", "2", "10"), [1, 2, 10]),  # as in most sets of the UCR archive
        (("-1", "01", "2024"), [-1, 1, 2024]),
        (("1", "01", "2"), [0, 1, 2]),
        (("1", "2", "walk"), [0, 1, 2]),
        (("1", "2", "3.5"), [0, 1, 2]),
        (("1", "2", "12345"), [0, 1, 2]),  # too wide to stand below a bar
    ],
)
def test_classes_named_by_numbers_keep_them_in_pictures(names, shown):
    assert [*class_numbers(names)] == shown


def test_classes_named_by_numbers_have_one_number_in_the_legend(tmp_path):
    page = write(tmp_path, labels=np.arange(40) % 2, classes=("1", "2"))
    assert [line.split()[:2] for line in page.lines] == [["class", n] for n in "12"]


def test_shares_of_classes_are_those_of_the_scores(tmp_path):
    """Where generated series have no labels: one page, one set of shares."""
    x = np.random.default_rng(7).normal(size=(40, 3, 1))
    shares = {"real": [0.75, 0.25], "generated": [1.0, 0.0]}
    page = write(
        tmp_path,
        real=x,
        generated=x[:30],
        channels=("a",),
        labels=np.repeat([0, 1], [20, 20]),
        scores={"class_histogram_distance": {"mean": 0.25, "shares": shares}},
    )
    expected = "class 1 25\u00a0% real, none"
    assert [line for line in page.lines if line.startswith(expected)]
    assert "Shares are those of the class scores" in page.text


def test_generated_series_take_the_class_of_the_nearest_real_one(tmp_path):
    level = np.repeat([0.0, 10.0], [30, 10])[:, None, None] * np.ones((40, 3, 1))
    page = write(
        tmp_path,
        real=level + np.random.default_rng(5).normal(size=level.shape),
        generated=level[25:35] + 0.1,
        channels=("a",),
        labels=np.repeat([0, 1], [30, 10]),
    )
    assert "class 0 75\u00a0% real, 50\u00a0% generated" in page.lines
    assert "class 1 25\u00a0% real, 50\u00a0% generated" in page.lines


# Nearest training series


def ramp(height: float) -> np.ndarray:
    """A series of 4 steps and one channel, all of this height."""
    return np.full((1, 4, 1), height)


def test_distances_to_training_series_by_hand(tmp_path):
    # Spanning 1 after scaling by 10, so 4 steps apart by h have distance 2 h / 10.
    train = np.concatenate([ramp(0.0), ramp(4.0), ramp(10.0)])
    page = write(
        tmp_path,
        real=train,
        generated=np.concatenate([ramp(4.0), ramp(9.0), ramp(1.5)]),
        channels=("a",),
        test=np.concatenate([ramp(4.5), ramp(5.5), ramp(NAN), ramp(7.0)]),
    )
    assert below(captions(page), "Generated ") == [
        "Generated 0: distance 0 to training series 1",
        "Generated 1: distance 0.2 to training series 2",
        "Generated 2: distance 0.3 to training series 0",
    ]
    assert (
        "Half of 3 generated series lie within 0.2 of a training series, half of 3 "
        "held-out real ones within 0.3. Copies"
    ) in page.text


def test_the_nearest_of_all_are_drawn_first(tmp_path):
    """Also where they aren't among those drawn at random, as few copies hardly are."""
    rng = np.random.default_rng(0)
    train, generated = rng.normal(size=(2, 40, 6, 1)).astype(np.float32)
    beside = [i for i in range(40) if i not in pick(40, NUM_NEIGHBOURS, seed=SEED + 2)]
    for place, index in enumerate(beside[:3]):
        generated[index] = train[place] + 1e-3 * place
    page = write(tmp_path, real=train, generated=generated, channels=("a",))
    found = below(captions(page), "Generated ")
    assert found[0] == f"Generated {beside[0]}: distance 0 to training series 0"
    numbers = [int(re.search(r"Generated (\d+)", one)[1]) for one in found]
    assert numbers[:3] == beside[:3] and len({*numbers}) == NUM_NEIGHBOURS
    assert {*numbers[3:]} <= {*pick(40, NUM_NEIGHBOURS, seed=SEED + 2).tolist()}


def test_training_series_may_be_others_than_the_real_ones(tmp_path):
    page = write(
        tmp_path,
        real=np.concatenate([ramp(4.0), ramp(10.0)]),
        generated=np.concatenate([ramp(NAN), ramp(4.0)]),
        channels=("a",),
        train=np.concatenate([ramp(h) for h in (NAN, 0.0, 5.0, 10.0, 9.0)]),
    )
    # Numbers count from the start of the files, series that are left out included.
    assert below(captions(page), "Generated ") == [
        "Generated 1: distance 0.2 to training series 2"
    ]
    # To the nearest other one: 1, .8, .2 and .2.
    assert "half of 4 training series within 0.5 of another." in page.text


def test_a_part_of_the_training_set_has_its_numbers_there(tmp_path):
    train = np.concatenate([ramp(h) for h in (0.0, 5.0, 10.0)])
    page = write(
        tmp_path,
        real=train,
        generated=ramp(4.0),
        channels=("a",),
        train=train,
        train_rows=np.array([7, 40, 41]),
        num_train=1000,
    )
    (caption,) = below(captions(page), "Generated ")
    assert caption.endswith("to training series 40")
    assert "Searched are 3 of 1,000 training series." in page.text


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 1), (3, 5, 2)])
def test_report_of_tiny_inputs(tmp_path, shape):
    rng = np.random.default_rng(2)
    page = write(
        tmp_path,
        real=rng.normal(size=shape),
        generated=np.full((1, *shape[1:]), 0.5),
        labels=np.zeros(shape[0], int),
        channels=("a", "b")[: shape[2]],
        scores={},
        losses={"data": (np.array([1]), np.array([-2.0])), "none": (np.zeros(0),) * 2},
        facts={},
    )
    assert "No score was measured" in page.text
    assert captions(page)[-1] == "data"


def test_identical_series_and_no_losses(tmp_path):
    same = np.full((5, 6, 2), 3.25)
    page = write(tmp_path, real=same, generated=same[:4], losses={})
    assert len(captions(page)) == 10 + 4
    assert "Half of 4 generated series lie within 0 of a training series" in page.text
    assert "No loss was recorded" in page.text


def test_names_and_facts_are_escaped(tmp_path):
    bad = "<script>alert('\"&')</script>$\\frac{"
    page = write(
        tmp_path,
        labels=np.arange(40) % 2,
        classes=(bad, "語"),
        channels=(bad, "温度"),
        facts={"data set": bad, "variant": bad, "command": bad, bad: bad},
        scores={
            bad: score(1.0, 0.5, 2.0, 3, warning=bad),
            "x": {"undefined": bad, "mean": None},
        },
        losses={bad: (np.arange(3), np.ones(3))},
    )
    assert captions(page).count(bad) == 5  # four pictures of the channel, one loss
    spelt = [word.strip() for word in page.words]
    assert spelt.count(bad) >= 9
    assert f"0: {bad}" in spelt and f"⚠ {bad}" in spelt
    assert f"Undefined, because {bad}." in spelt
    assert any(word.startswith(f"{bad}: real") for word in page.words)


def test_names_of_files_need_not_be_utf_8(tmp_path):
    """Of such a name, Python makes text that no file can hold."""
    name = os.fsdecode(b"m\xff.csv")
    page = write(tmp_path, facts={"data set": name, "command": f"run --path={name}"})
    assert page.text.count(r"m\udcff.csv") == 4  # title, heading, command and fact


def test_shares_are_read_from_left_to_right_whatever_the_name(tmp_path):
    """Behind a Hebrew name, a number of its own direction would stand before it."""
    page = write(tmp_path, labels=np.arange(40) % 2, classes=("שלום", "b"))
    shares = [attrs for tag, attrs in page.tags if tag == "small"]
    assert shares and all(attrs.get("dir") == "ltr" for attrs in shares[-2:])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999.4, "999"),
        (-999.7, "-1,000"),
        (1000.4, "1,000"),
        (1e9, "1e+09"),
        (0.12345, "0.123"),
    ],
)
def test_numbers_have_their_digits_before_the_point(value, text):
    assert number(value) == text


def test_channels_beyond_the_most_are_named_as_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("l2d_jax.report.MAX_SERIES_CHANNELS", 2)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(8, 4, 4))
    page = write(tmp_path, real=x, generated=x[:1], channels=tuple("abcd"))
    assert "Beyond 2 channels, left out: c, d." in page.text
    assert captions(page).count("b") == 4 and captions(page).count("c") == 3


def test_more_classes_than_colours_share_a_grey(tmp_path):
    page = write(tmp_path, labels=np.arange(40), generated=np.zeros((2, 12, 2)))
    assert len(page.all("li")) == 40
    assert page.all("span")[-1]["style"] == f"color:{drawing.GREY}"


def test_series_that_are_not_finite_are_counted_and_left_out(tmp_path):
    rng = np.random.default_rng(4)
    generated = rng.normal(size=(6, 12, 2))
    generated[2, 5, 0], generated[4, 0, 1] = np.inf, NAN
    page = write(tmp_path, generated=generated)
    assert "2 of 6 generated series hold values that aren't finite" in page.text
    assert "4 of 4 generated" in page.text
    before = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no generated series is finite"):
        write(tmp_path, generated=np.full((2, 12, 2), np.inf))
    after = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert after == before


def test_unknown_entries_of_scores_are_ignored(tmp_path):
    floor = {"mean": NAN, "interval": [None, None]}
    scores = {"seed": 0, "mmd": {"mean": 0.5, "seconds": 3, "floor": floor}, "x": None}
    page = write(tmp_path, scores=scores)
    assert "Mmd: 0.5 was measured." in page.text and len(page.all("td")) == 3
