"""Files of strangers: nothing in them is run, and nothing is written outside."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

import l2d_jax
from l2d_jax.checkpoints import Checkpoints, save_model
from l2d_jax.configs import base
from l2d_jax.data import load_splits
from l2d_jax.data.public.catalog import SOURCES
from l2d_jax.data.public.parsers import archive, members
from l2d_jax.metrics.__main__ import main as score_files
from l2d_jax.report import write_report
from l2d_jax.samples import read_npz
from l2d_jax.types import InputError
from l2d_jax.workdir import read_json

ROOT = Path(__file__).resolve().parents[1]


class Attack:
    """Unpickled, it writes the file `mark`."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.write_text, (Path(self.mark), "run")


@pytest.fixture
def attack(tmp_path):
    """An object array, and the file that is there once it was unpickled."""
    mark = tmp_path / "mark"
    array = np.empty(1, object)
    array[0] = Attack(mark)
    pickle.loads(pickle.dumps(array))
    assert mark.exists(), "the attack has no teeth"
    mark.unlink()
    yield array
    assert not mark.exists()


def own(path, **more):
    config = base.get_config().data
    config.update(name="file", path=str(path), **more)
    return config


def save_npz(path, **arrays):
    np.savez(path, **arrays)


def save_npy(path, array):
    np.save(path, array, allow_pickle=True)


def save_pickle(path, array):
    path.write_bytes(pickle.dumps(array))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".ts", ".tsv"])
def test_data_files_are_not_unpickled(suffix, attack, tmp_path):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        save_npy(path, attack)
        with pytest.raises(InputError, match="holds Python objects"):
            load_splits(own(path))
    elif suffix == ".npz":
        for name in ("series", "lengths", "labels", "channels"):
            good = {"series": np.random.default_rng(0).normal(size=(9, 5, 2))}
            save_npz(path, **{**good, name: attack})
            with pytest.raises(InputError, match="holds Python objects"):
                load_splits(own(path))
    save_pickle(path, attack)  # a pickle by another name
    with pytest.raises(InputError):
        load_splits(own(path))


def test_samples_and_scored_files_are_not_unpickled(attack, tmp_path, capsys):
    good = {"series": np.zeros((2, 3, 1)), "lengths": np.array([3, 3])}
    for name in ("settings", "series", "lengths"):
        save_npz(tmp_path / "samples.npz", **{"settings": "{}", **good, name: attack})
        with pytest.raises(InputError, match="can't be read"):
            read_npz(tmp_path / "samples.npz")
    save_npy(tmp_path / "a.npy", attack)
    with pytest.raises(SystemExit):
        score_files([str(tmp_path / "a.npy"), str(tmp_path / "a.npy")])
    assert "holds Python objects" in capsys.readouterr().err


def test_checkpoints_and_json_are_only_data(attack, tmp_path):
    """Tags of other serialisers, types that hold objects, and pickles in each file."""
    mark = attack[0].mark
    evil = {
        "py/object": "os.system",
        "py/reduce": [{"py/function": "builtins.exec"}, [f"open({mark!r}, 'w')"]],
        "!!python/object/apply:os.system": [f"touch {mark}"],
        "__class__": f"exec(open({mark!r}, 'w'))",
    }
    (tmp_path / "config.json").write_text(json.dumps(evil))
    assert read_json(tmp_path / "config.json", "make it again") == evil  # as it stands
    folder = tmp_path / "w" / "checkpoints" / "cascade"
    arrays = {"params": {"w": np.ones(1)}, "normalizer": {"x": np.ones(1)}}
    for facts in (evil, {"layout": evil, "config": evil}, {"layout": {"channels": 1}}):
        save_model(folder, arrays, facts)
        with pytest.raises(InputError, match="isn't one of this version"):
            l2d_jax.load(tmp_path / "w")
    (saved,) = folder.glob("[0-9]*")
    facts = json.dumps({"arrays": {"a": [[1], "O"]}, **evil})
    for path in (saved / "facts").iterdir():
        for content in (facts.encode(), pickle.dumps(attack)):
            path.write_bytes(content)
            with pytest.raises(InputError, match="can't be read"):
                l2d_jax.load(tmp_path / "w")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_file_of_a_checkpoint_is_unpickled(attack, tmp_path):
    state = {"w": np.arange(6.0, dtype=np.float32)}
    with Checkpoints(tmp_path / "c", {}) as checkpoints:
        checkpoints.save(1, state)
    for path in sorted(p for p in (tmp_path / "c").rglob("*") if p.is_file()):
        content = path.read_bytes()
        path.write_bytes(pickle.dumps(attack))
        try:
            with Checkpoints(tmp_path / "c", {}) as checkpoints:
                found = checkpoints.restore(state)
            np.testing.assert_array_equal(found["w"], state["w"])  # doesn't matter
        except InputError:
            pass
        path.write_bytes(content)


def test_archives_do_not_write_outside(tmp_path):
    """Members that climb out, are absolute, or are links: by their bare names only."""
    content = (
        "@problemName x\n@timeStamps false\n@univariate true\n@classLabel true a b\n"
    )
    content += "@data\n1.0,2.0,3.0:a\n2.0,1.0,3.0:b\n"
    path = tmp_path / "inside" / "x.zip"
    path.parent.mkdir()
    link = zipfile.ZipInfo("X_LINK.ts")
    link.external_attr = 0o120777 << 16  # a symbolic link
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("../../X_TRAIN.ts", content)
        zipped.writestr(f"{tmp_path}/absolute/X_TEST.ts", content)
        zipped.writestr("..\\..\\windows.ts", content)
        zipped.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    collection = archive(path, name="x", stem="X")
    assert len(collection.series) == 4
    with members(path) as member:
        copy = member("X_LINK.ts")
        assert copy.read_text() == "/etc/passwd" and not copy.is_symlink()
        assert member("../../X_TRAIN.ts") is None
        assert {p.name for p in copy.parent.iterdir()} == {"X_LINK.ts"}
    assert sorted(tmp_path.rglob("*")) == before


def test_names_in_a_data_file_reach_the_report_as_text(tmp_path):
    """Through the file's own names: of columns, of classes, and of the file."""
    bad = "<script>alert(1)</script>"
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    path, lines = folder / "a&b.csv", [f"id,{bad},kind"]
    rng = np.random.default_rng(0)
    for i in range(40):
        lines += [f"{i},{v:.3f},{bad}{i % 2}" for v in rng.normal(size=6)]
    path.write_text("\n".join(lines) + "\n")
    splits = load_splits(own(path, id_column="id", label_column="kind"))
    assert splits.channels == (bad,) and splits.classes == (f"{bad}0", f"{bad}1")
    page = write_report(
        tmp_path,
        real=splits.train.series,
        generated=splits.train.series[:20],
        train=splits.train.series,
        train_rows=np.arange(len(splits.train.series)),
        num_train=len(splits.train.series),
        labels=splits.train.labels,
        classes=splits.classes,
        channels=splits.channels,
        scores={"x": {"mean": 1.0, "warning": f"class {bad} is dropped"}},
        facts={"data set": path.name, "command": f"--config.data.path={path}"},
        losses={},
    ).read_text()
    assert "<script" not in page and "onerror=alert(1)>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert "a&amp;b.csv" in page
    assert "default-src 'none'" in page  # and if one slipped through, it isn't run


def test_downloads_are_https_and_have_checksums():
    for name, source in SOURCES.items():
        for file in (source.file, *source.others):
            assert re.match(r"https://|$", file.url), name
        assert re.fullmatch("[0-9a-f]{64}", source.digest), name  # of what is inside
    for path in (ROOT / "l2d_jax").rglob("*.py"):
        plain = re.findall(r"http://[^\s\"']+", path.read_text("utf-8"))
        assert not plain, f"{path}: {plain}"


def test_yaml_is_read_by_the_safe_loader_or_not_at_all():
    """Nothing of l2d_jax reads yaml; where a test does, it is safely."""
    for path in (ROOT / "l2d_jax").rglob("*.py"):
        assert "yaml" not in path.read_text("utf-8"), path
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(io.StringIO("!!python/object/apply:os.getcwd []"))


def test_the_audit_of_dependencies_is_in_ci():
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    audit = ci["jobs"]["audit"]
    assert audit["continue-on-error"] is True  # says, doesn't forbid
    assert any("pip_audit" in step.get("run", "") for step in audit["steps"])
    assert ci["permissions"] == {"contents": "read"}
