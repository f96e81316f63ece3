"""The shape of the code: imports go one way, and each library has one home.

Read from the source alone: nothing of l2d_jax is imported.
"""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASELINES = ROOT / "l2d_jax" / "baselines"

# The reading order: a part of the package may import the parts before it.
ORDER = (
    "types",
    "errors",
    "files",
    "chunks",
    "schedules",
    "diffusion",
    "sampling",
    "layers",
    "models",
    "preemption",
    "liveness",
    "parallel",
    "cluster",
    "progress",
    "compilation_cache",
    "missing",
    "networks",
    "latents",
    "stages",
    "baselines",
    "variants",
    "memory",
    "cascade",
    "deploy",
    "checkpoints",
    "metric_writer",
    "train",
    "adaptive",
    "configs",
    "sizes",
    "task",
    "lock",
    "workdir",
    "results",
    "run",
    "cli",
)
# Parts beside the order, with all that they may import,
BESIDE = {
    "data": {"types", "errors", "files", "chunks", "layers", "models"},
    "metrics": {
        *(
            "types",
            "errors",
            "files",
            "chunks",
            "layers",
            "models",
            "parallel",
            "missing",
            "data",
        ),
    },
    "plots": {"types", "layers", "models", "metrics"},
    "report": {"types", "files", "plots", "metrics"},
    "time_index": {"types"},
    "samples": {"types", "files", "chunks", "time_index"},
}
# and the parts in the order that may import them.
USERS = {
    "cascade": {"data"},
    "deploy": {"data"},
    "train": {"data"},
    "adaptive": {"metrics"},
    "configs": {"data", "metrics"},
    "task": {"data"},
    "workdir": {"data"},
    "results": set(BESIDE),
    "run": set(BESIDE),
}
MAY_IMPORT = BESIDE | {
    part: {*ORDER[:place], *USERS.get(part, ())} for place, part in enumerate(ORDER)
}


class Home(NamedTuple):
    """Names that only some files may use. Comments and docstrings are free."""

    names: str  # a regular expression, searched in each dotted name
    files: set[str]
    example: str  # code that would break the rule


HOMES = {
    "devices": Home(
        r"pmap|process_(index|count)|device_count|jax\.(local_)?devices\b"
        r"|(\b|_)[Mm]esh(\b|_)|shard_map|NamedSharding|PartitionSpec|multihost"
        r"|lax\.(axis_|p(mean|sum|max)\b)",
        {"parallel.py"},
        "n = jax.process_count()",
    ),
    "processes": Home(
        r"jax\.distributed",
        {"parallel.py", "cluster.py"},
        "jax.distributed.initialize()",
    ),
    "orbax": Home(r"\borbax\b", {"checkpoints.py"}, "import orbax.checkpoint as ocp"),
    "linen": Home(
        r"\blinen\b",
        {
            "layers.py",
            "models.py",
            *(f"baselines/{path.name}" for path in BASELINES.glob("*.py")),
        },
        "from flax import linen as nn",
    ),
    # In a scan on CPU, a convolution is some 30 times slower than layers.Conv1D.
    "convolution": Home(
        r"conv_general_dilated|\blax\.conv(_|$)", set(), "y = jax.lax.conv(x, k, 1, 0)"
    ),
    "flax convolution": Home(r"\b(nn|linen)\.Conv", set(), "y = nn.Conv(8, (3,))(x)"),
    "private jax": Home(r"\bjax\._src\b", set(), "from jax._src import core"),
    "pickle": Home(r"pickle(?!=False)", set(), "x = np.load(path, allow_pickle=True)"),
}


def sources() -> dict[str, ast.Module]:
    """Path below l2d_jax -> syntax tree."""
    folder = ROOT / "l2d_jax"
    return {
        path.relative_to(folder).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    }


def module_name(path: str) -> str:
    """data/windows.py -> l2d_jax.data.windows, data/__init__.py -> l2d_jax.data."""
    name = f"l2d_jax/{path}".removesuffix(".py").removesuffix("/__init__")
    return name.replace("/", ".")


def imported_names(path: str, tree: ast.Module) -> set[str]:
    """Dotted names of all that a module imports, at its top and inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = f"l2d_jax/{path}".split("/")[: -node.level] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def import_graph() -> dict[str, set[str]]:
    """Path -> the modules of l2d_jax that it imports; `l2d_jax` is its public API."""
    trees = sources()
    known = {"l2d_jax", *map(module_name, trees)}

    def module_of(name: str) -> str:
        return name if name in known else module_of(name.rpartition(".")[0])

    return {
        path: {
            module_of(name)
            for name in imported_names(path, tree)
            if name.split(".")[0] == "l2d_jax"
        }
        for path, tree in trees.items()
    }


def used_names(path: str, tree: ast.Module) -> set[str]:
    """Dotted names in code: imports, `jax.lax.scan`, and constants given by keyword."""

    def dotted(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{dotted(node.value)}.{node.attr}"
        return node.id if isinstance(node, ast.Name) else ""

    names = imported_names(path, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            names.add(dotted(node))
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            names.add(f"{node.arg}={node.value.value}")
    return names


def test_there_is_something_to_walk():
    assert len(sources()) >= 5


def test_imports_go_one_way():
    wrong = []
    for path, imports in import_graph().items():
        part = path.removesuffix(".py").split("/")[0]
        if part in ("__init__", "__main__", "cli"):
            continue  # the public face sees everything
        if part not in MAY_IMPORT:
            wrong.append(f"l2d_jax/{path} has no place yet: add {part!r} to this test")
            continue
        for module in sorted(imports):
            other = module.removeprefix("l2d_jax").split(".")[1:2]
            if {*other} <= {part, *MAY_IMPORT[part]} and other:
                continue
            wrong.append(
                f"l2d_jax/{path} imports {module}, which comes later"
                if part in ORDER and {*other} <= {*ORDER}
                else f"l2d_jax/{path} imports {module}, but {part} may import only "
                + ", ".join(sorted(MAY_IMPORT[part]))
            )
    assert not wrong, "\n".join(wrong)


def test_the_reading_order_is_that_of_the_contributors():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (order,) = re.findall(r"`(types →[^`]*)`", text)
    assert tuple(re.split(r"\s*→\s*", order)) == ORDER


def test_no_import_cycles():
    graph = {module_name(path): found for path, found in import_graph().items()}
    graph.pop("l2d_jax", None)  # imported by Python before each of its modules
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("home", HOMES.values(), ids=HOMES)
def test_each_library_has_one_home(home):
    def breaches(path: str, tree: ast.Module) -> list[str]:
        return [name for name in used_names(path, tree) if re.search(home.names, name)]

    assert breaches("example.py", ast.parse(home.example)), "the rule has no teeth"
    wrong = [
        f"l2d_jax/{path} uses {name}; its place is {sorted(home.files) or 'nowhere'}"
        for path, tree in sources().items()
        if path not in home.files
        for name in sorted(breaches(path, tree))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_drawer_for_odds_and_ends():
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in sources() if path.split("/")[-1] in drawers]


def test_configs_say_what_to_expect():
    files = {path.name: path for path in (ROOT / "configs").glob("*.py")}
    assert "base.py" in files
    wrong = []
    for name in sorted(files.keys() - {"base.py", "__init__.py"}):
        docstring = ast.get_docstring(ast.parse(files[name].read_text("utf-8"))) or ""
        command = f"python main.py --config=configs/{name}"
        missing = [w for w in ("Expected", "Time", command) if w not in docstring]
        wrong += [f"configs/{name}: its docstring doesn't say {w!r}" for w in missing]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path, name",
    [
        ("run.py", "fit"),
        ("metrics/__init__.py", "evaluate"),
        ("sampling.py", "timesteps"),
        ("schedules.py", "linear"),
    ],
)
def test_what_users_meet_first_has_an_example_that_pytest_runs(path, name):
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    options = options["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    assert "l2d_jax" in options["testpaths"]
    (found,) = (one for one in sources()[path].body if getattr(one, "name", "") == name)
    assert ">>> " in (ast.get_docstring(found) or "")


def test_everything_public_has_a_docstring():
    wrong = [
        f"l2d_jax/{path}:{node.lineno} {node.name}"
        for path, tree in sources().items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not wrong, "no docstring:\n" + "\n".join(wrong)
