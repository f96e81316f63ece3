"""What an installation gets: metadata, extras, the command, the citation."""

import ast
import importlib
import re
import runpy
import sys
import tomllib
import types
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from l2d_jax import configs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def metadata(monkeypatch) -> dict:
    """The arguments that setup.py gives to `setup`, read without building anything."""
    given = {}
    stand_in = types.ModuleType("setuptools")
    stand_in.setup = given.update
    stand_in.find_packages = lambda include: ["l2d_jax"]
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def requirements(metadata: dict) -> list[str]:
    """All of them, those of the extras too."""
    groups = [metadata["install_requires"], *metadata["extras_require"].values()]
    return [requirement for group in groups for requirement in group]


def distribution(requirement: str) -> str:
    """The name in a requirement, spelt the one way: jax[cuda12]>=0.10 -> jax."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def test_console_script_is_there(metadata):
    (script,) = metadata["entry_points"]["console_scripts"]
    command, _, target = script.partition(" = ")
    module, _, function = target.partition(":")
    assert command == "l2d"
    assert callable(getattr(importlib.import_module(module), function))


def test_configs_are_in_the_wheel(metadata):
    package = "l2d_jax.bundled_configs"
    assert package in metadata["packages"]
    assert (ROOT / metadata["package_dir"][package] / "base.py").is_file()


def test_type_checkers_are_told_to_read_the_annotations(metadata):
    """PEP 561: without the marker all of it is `Any` to them."""
    (marker,) = metadata["package_data"]["l2d_jax"]
    assert marker == "py.typed" and (ROOT / "l2d_jax" / marker).is_file()


def test_configs_beside_an_installed_package_are_of_others(tmp_path, monkeypatch):
    """As site-packages/configs, of any other project."""
    ours, others = tmp_path / "l2d_jax" / "bundled_configs", tmp_path / "configs"
    for place in (ours, others):
        place.mkdir(parents=True)
        (place / "base.py").touch()
    monkeypatch.setattr(configs, "BUNDLED", ours)
    monkeypatch.setattr(configs, "CHECKOUT", others)
    assert configs.folder() == ours


def test_folders_that_tests_read_are_in_the_sdist():
    lines = (ROOT / "MANIFEST.in").read_text("utf-8").splitlines()
    grafted = {line.removeprefix("graft ") for line in lines}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    read = {*settings["tool"]["pytest"]["ini_options"]["pythonpath"], "tests"}
    for path in (ROOT / "tests").glob("*.py"):
        read |= set(re.findall(r'ROOT / "([a-z]\w*)"', path.read_text("utf-8")))
    assert {"benchmarks", "docs", "launch"} <= read
    assert {name for name in read if (ROOT / name).is_dir()} - {"l2d_jax"} <= grafted


def test_only_linters_have_upper_bounds(metadata):
    bounded = [r for r in requirements(metadata) if re.search("<|==|~=|!=", r)]
    assert {distribution(r) for r in bounded} == {"pyrefly", "ruff"}
    assert set(bounded) <= set(metadata["extras_require"]["dev"])


def test_all_that_a_run_needs_has_a_lower_bound(metadata):
    """Else pip keeps what is there, as a pandas that was built for NumPy 1."""
    assert [r for r in metadata["install_requires"] if ">=" not in r] == []


def test_every_import_is_declared(metadata):
    declared = {distribution(r) for r in requirements(metadata)}
    installed = packages_distributions()
    wrong = []
    for path in sorted((ROOT / "l2d_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.split(".")[0] for name in names}:
                if top == "l2d_jax" or top in sys.stdlib_module_names:
                    continue
                if not declared & {distribution(d) for d in installed.get(top, [top])}:
                    wrong.append(f"{path.relative_to(ROOT)} imports {top}")
    assert not wrong, "not in setup.py:\n" + "\n".join(wrong)


def test_installation_advice_names_real_extras(metadata):
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"]
    advice = "\n".join(path.read_text("utf-8") for path in texts if path.exists())
    advised = re.findall(r"(?:\.|l2d_jax)\[([a-z0-9, ]+)\]", advice)
    extras = {extra.strip() for group in advised for extra in group.split(",")}
    assert "test" in extras
    assert extras <= metadata["extras_require"].keys()


def test_tests_that_skip_without_a_package_are_marked_extra():
    """`.ci/run` runs these where the packages are; elsewhere they skip."""
    for path in sorted(ROOT.glob("tests/test_*.py")):
        text = path.read_text("utf-8")
        if re.search(r"pytest\.importorskip\(|skip\(.*pip install", text):
            assert "pytest.mark.extra" in text, path.name


def test_citation_names_this_version_and_the_paper(metadata):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == metadata["version"]
    assert citation["license"] == metadata["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors", "year"} <= paper.keys()
    assert paper["url"] == "https://openreview.net/forum?id=nAyeE7cAS0"


def test_version_is_the_same_everywhere(metadata):
    assert importlib.import_module("l2d_jax").__version__ == metadata["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[?{re.escape(metadata['version'])}\b", changelog, re.M)
