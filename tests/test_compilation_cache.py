import os
import subprocess
import sys

import pytest

CODE = """
import jax
jax.jit(lambda x: x + 1)(1.0)  # compiled before: the cache must still be taken up
from l2d_jax.compilation_cache import enable_compilation_cache
enable_compilation_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((3, 3))).block_until_ready()
"""


def kept(tmp_path, code=CODE, **settings):
    """Files that a fresh process leaves below `tmp_path`."""
    names = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment |= {"L2D_CACHE_DIR": str(tmp_path / "own"), **settings}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    files = tmp_path.rglob("*")
    return {file.relative_to(tmp_path).parts[0] for file in files if file.is_file()}


@pytest.mark.parametrize(
    ("settings", "folders"),
    [
        ({}, {"own"}),
        ({"JAX_COMPILATION_CACHE_DIR": "theirs"}, {"theirs"}),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, set()),
        ({"L2D_CACHE_DIR": "/dev/null/x"}, set()),
    ],
)
def test_programs_are_kept_where_the_user_says(tmp_path, settings, folders):
    if "JAX_COMPILATION_CACHE_DIR" in settings:
        settings = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "theirs")}
    assert kept(tmp_path, **settings) == folders


OTHERS = """
import os
os.access = lambda *_: False
import jax
from l2d_jax.compilation_cache import enable_compilation_cache
enable_compilation_cache()
def slow(x):  # to compile
    for _ in range(300):
        x = jax.numpy.sin(x @ x)
    return x
jax.jit(slow)(jax.numpy.ones((3, 3))).block_until_ready()
"""


def test_nothing_is_written_into_a_folder_of_others(tmp_path):
    """Else JAX warns of each program."""
    assert kept(tmp_path, OTHERS) == set()
    writable = OTHERS.replace("False", "True")
    assert kept(tmp_path, writable) == {"own"}


def test_programs_cut_off_by_a_full_disk_are_made_anew(tmp_path):
    """JAX neither replaced nor read them, and warned of each in each process."""
    code = f"import warnings; warnings.simplefilter('error'){CODE}"
    assert kept(tmp_path, code) == {"own"}
    programs = [*tmp_path.rglob("*-cache")]
    for path, left in zip(programs, [9, 4096, *[0] * len(programs)], strict=False):
        path.write_bytes(path.read_bytes().ljust(left)[:left])
    kept(tmp_path, code)
    assert len(programs) > 1
    assert all(path.stat().st_size % 4096 for path in programs)
