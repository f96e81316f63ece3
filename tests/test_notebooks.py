"""The notebooks: both forms agree, and each runs on a clean machine, in small."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="the extra `notebooks` is missing")
nbclient = pytest.importorskip("nbclient", reason="the extra `notebooks` is missing")

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
pytestmark = pytest.mark.extra
NAMES = ("1_quick_start", "2_how_it_works", "3_evaluation", "4_tpu_and_gpu")
PICTURES = dict(zip(NAMES, (5, 9, 4, 4), strict=True))  # at least


def pair():
    spec = importlib.util.spec_from_file_location("pair", FOLDER / "pair.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(name, kind):
    return [
        c for c in jupytext.read(FOLDER / f"{name}.py").cells if c.cell_type == kind
    ]


def test_each_notebook_has_both_forms():
    assert tuple(path.stem for path in pair().sources()) == NAMES
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_agree(name):
    stored = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))
    assert stored == pair().notebook(FOLDER / f"{name}.py"), "python notebooks/pair.py"


@pytest.mark.parametrize("name", NAMES)
def test_badges_and_links_lead_somewhere(name):
    text = "\n".join(cell.source for cell in cells(name, "markdown"))
    badge = re.search(r"\(https://colab\.research\.google\.com/github/(\S+)\)", text)
    assert badge[1].endswith(f"/l2d_jax/blob/main/notebooks/{name}.ipynb")
    owner = badge[1].split("/")[0]
    assert f"github.com/{owner}/l2d_jax" in cells(name, "code")[0].source
    assert f"github/{badge[1]}" in (FOLDER.parent / "README.md").read_text("utf-8")
    for link in re.findall(r"\]\((\w+\.ipynb)\)", text):
        assert (FOLDER / link).exists()


def test_a_picture_after_every_idea():
    """Half of the explanations, at least, are followed by a figure before the next."""
    for name in NAMES:
        kinds = [
            "text" if cell.cell_type == "markdown" else "figure"
            for cell in jupytext.read(FOLDER / f"{name}.py").cells
            if cell.cell_type == "markdown" or "plt.show()" in cell.source
        ]
        shown = sum(two == ("text", "figure") for two in pairwise(kinds))
        assert shown >= kinds.count("text") / 2, name


def test_the_first_cell_leaves_jax_alone(monkeypatch, tmp_path):
    (first,) = {cells(name, "code")[0].source for name in NAMES}  # the same in all
    ran = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *given, **_: ran.append(given[0]))
    exec(first, {})
    assert ran == []  # installed already
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "l2d_jax" else find_spec(name),
    )
    with pytest.raises(SystemExit, match="put the repository's GitHub account"):
        exec(first, {})
    assert ran == []  # another's account may have that name
    exec(first.replace("OWNER", "somebody"), {})
    (command,) = ran
    assert command[command.index("--constraint") + 1] == "held.txt"
    assert "--upgrade" not in command and "-U" not in command
    held = (tmp_path / "held.txt").read_text().split()
    for name in ("jax", "jaxlib"):
        assert f"{name}=={importlib.metadata.version(name)}" in held


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name, monkeypatch, tmp_path):
    monkeypatch.setenv("L2D_QUICK", "1")
    monkeypatch.setenv("L2D_CACHE_DIR", str(tmp_path / "cache"))  # of this one alone
    notebook = jupytext.read(FOLDER / f"{name}.py")
    place = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=1_200, resources=place)
    client.execute()  # raises what a cell raises
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    pictures = [out for out in outputs if "image/png" in out.get("data", ())]
    assert len(pictures) >= PICTURES[name]
    if name == "4_tpu_and_gpu":
        printed = "".join(out.get("text", "") for out in outputs)
        assert "the same weights, bit by bit: True" in printed
