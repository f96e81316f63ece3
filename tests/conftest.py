"""Settings that every test runs under, made before JAX starts, and shared fixtures.

Subprocesses and the workers of pytest-xdist inherit the environment. Nothing of l2d_jax
is imported here: the backend that it starts must see the settings below.
"""

import gc
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fake_cloud import GCLOUD

DEVICE_COUNT = "--xla_force_host_platform_device_count"


def set_environment() -> None:
    """Eight CPU devices, and a cache that makes the second run quick."""
    flags = os.environ.get("XLA_FLAGS", "")
    if DEVICE_COUNT not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DEVICE_COUNT}=8".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
    # With fewer cores than devices, the collectives of jax 0.10 deadlock unless its
    # thread pool has two threads a device.
    os.environ.setdefault("PJRT_NPROC", "16")
    cache = Path.home() / ".cache" / "l2d_jax" / "xla_tests"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    # Nowhere: what a test computes was not computed by another before.
    os.environ["L2D_CACHE_DIR"] = os.path.join(os.devnull, "nothing_is_kept")


set_environment()

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")


@pytest.fixture(autouse=True, scope="module")
def free_programs():
    """Compiled programs go with the module that made them.

    Each holds hundreds of memory maps, and a process may have 65,530 under Linux's
    default: beyond that it dies of a segmentation fault.
    """
    yield
    jax.clear_caches()
    gc.collect()


def find_folder(variable: str, what: str, default: Path | None = None) -> Path:
    """The folder that `variable` names, else `default`; skips the test if neither."""
    if named := os.environ.get(variable):
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"{variable}={folder}: no such folder")
        return folder
    if default is None or not default.is_dir():
        pytest.skip(f"no {what}: set {variable} to their folder")
    return default


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Raw data files: $L2D_DATA_DIR."""
    return find_folder("L2D_DATA_DIR", "raw data files")


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Recorded values: $L2D_REFERENCE_DIR, or `reference` beside the raw data."""
    data = os.environ.get("L2D_DATA_DIR")
    beside = Path(data).resolve().parent / "reference" if data else None
    return find_folder("L2D_REFERENCE_DIR", "recorded reference values", beside)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Path:
    """Where public sets are prepared, once for all tests of all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder below that of the run
        folder = folder.parent
    (folder / "shelf").mkdir(exist_ok=True)
    return folder / "shelf"


@pytest.fixture
def read(tmp_path):
    """Reads text, bytes, or what a function writes, as a file of the user's."""
    from own_files import file_config, put

    from l2d_jax.data.own import read_file

    def read(content, name="mine.csv", **differences):
        put(tmp_path / name, content)
        return read_file(file_config(tmp_path / name, **differences))

    return read


@pytest.fixture
def empty(monkeypatch, tmp_path) -> Path:
    """Empty folders of raw files (returned), of downloads, and of prepared sets."""
    for variable, name in (
        ("L2D_DATA_DIR", "data"),
        ("L2D_CACHE_DIR", "cache"),
        ("TFDS_DATA_DIR", "tfds"),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path / "data"


@pytest.fixture
def offline(monkeypatch):
    """No network."""

    def refuse(url, timeout):
        assert url.startswith("https://")
        assert timeout == 30.0
        raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A folder: `calls` of the gcloud that is found first, and what it answers."""
    for name in ("NAME", "ZONE", "ACCELERATOR", "SPOT", "CONFIG", "WORKDIR", "BUCKET"):
        monkeypatch.delenv(name, raising=False)
    for command in ("gcloud", "sbatch", "srun", "scontrol"):
        path = tmp_path / "bin" / command
        path.parent.mkdir(exist_ok=True)
        path.write_text(GCLOUD.replace(" gcloud ", f" {command} "))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("PROJECT", "p1")
    monkeypatch.setenv("EVERY", "0")
    return tmp_path
