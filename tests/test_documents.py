"""Links lead somewhere, sentences are whole, and scores are those of the json files."""

import re
from pathlib import Path

import full_scores
import pytest

ROOT = Path(__file__).parent.parent
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
    ("page", "make"),
    [
        ("README.md", full_scores.context_fid_row),
        ("docs/results.md", full_scores.other_scores_row),
    ],
)
def test_scores_in_the_documents_are_those_of_the_json_files(page, make):
    text = (ROOT / page).read_text("utf-8")
    for row in full_scores.ROWS:
        assert make(row, full_scores.read(row)).removesuffix("|") in text


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
        "| A, 2 x 1 | 1,234 | **.0123** (.0100 to .250) | .200 | 1.00 "
        "| yes (100 of 100) |"
    )
    score["percentile"] = 99.5 / 101
    found = full_scores.context_fid_row(row, {"context_fid": score})
    assert found.endswith("| no (99 of 100) |")


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
