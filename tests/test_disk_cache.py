import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax.metrics import disk_cache as module
from l2d_jax.metrics import evaluate
from l2d_jax.metrics.disk_cache import cached, digest, evict
from l2d_jax.metrics.recurrent import TrainTestRows, shared, train_and_measure


@partial(jax.jit, static_argnums=0)
def program(power, key, x):
    noise = jax.random.normal(key, x.shape)
    return {"layer": {"kernel": x**power + noise}, "bias": noise}


ARGS = 2, jax.random.key(3), np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("L2D_CACHE_DIR", str(tmp_path))
    return tmp_path / "networks"


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_second_call_reads_what_the_first_one_wrote(folder):
    expected = program(*ARGS)
    equal(cached(program, *ARGS), expected)
    (path,) = folder.iterdir()
    with np.load(path) as file:
        assert sorted(file) == ["bias", "layer/kernel"]
    np.savez(path, **{"layer/kernel": np.float32(7), "bias": np.float32(8)})
    found = cached(program, *ARGS)
    assert found == {"layer": {"kernel": 7}, "bias": 8}


def test_what_others_wrote_is_read_where_nothing_can_be_written(folder, monkeypatch):
    cached(program, *ARGS)
    (path,) = folder.iterdir()
    np.savez(path, **{"layer/kernel": np.float32(7), "bias": np.float32(8)})

    def refused(self):
        raise PermissionError(self)

    monkeypatch.setattr(type(path), "touch", refused)
    assert cached(program, *ARGS)["bias"] == 8


def whole_but(old, new):
    """A file of which some bytes are others, each time that they are there."""
    return lambda content: content.replace(old, new)


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda _, left=left: left for left in (b"", b"PK\3\4", b"hello")),
        # Of the directory at its end: packed in a way that is unknown, and encrypted.
        whole_but(b"PK\1\2\x2d\3\x2d\0\0\0\0\0", b"PK\1\2\x2d\3\x2d\0\0\0\7\0"),
        whole_but(b"PK\1\2\x2d\3\x2d\0\0\0", b"PK\1\2\x2d\3\x2d\0\1\0"),
    ],
)
def test_a_broken_file_is_made_anew(folder, damage):
    expected = cached(program, *ARGS)
    (path,) = folder.iterdir()
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    equal(cached(program, *ARGS), expected)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["bias"], expected["bias"])


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch):
    monkeypatch.setenv("L2D_CACHE_DIR", os.path.join(os.devnull, "x"))
    equal(cached(program, *ARGS), program(*ARGS))


def test_the_digest_is_another_wherever_the_result_may_be():
    power, key, x = ARGS

    @partial(jax.jit, static_argnums=0)
    def other(power, key, x):
        return program(power, key, x + 1)

    all_args = [
        ARGS,
        (3, key, x),
        (power, jax.random.key(4), x),
        (power, key, x + 1),
        (power, key, x.reshape(3, 2)),
        (power, key, x.astype(np.int32)),
    ]
    found = [digest(program, args, None) for args in all_args]
    found += [digest(other, ARGS, None), digest(program, ARGS, (x,))]
    assert len({*found}) == len(found)
    assert digest(program, (power, key, x + 1), (x,)) == found[-1]
    assert digest(program, (power, key, jnp.asarray(x)), None) == found[0]


def test_plain_numbers_count_as_arrays_do():
    double = jax.jit(lambda x: {"x": 2.0 * x})
    assert digest(double, (1.0,), None) != digest(double, (2.0,), None)
    assert digest(double, (1.0,), None) == digest(double, (1.0,), None)


def test_the_digest_is_the_same_in_another_process():
    code = "import test_disk_cache as t; print(t.digest(t.program, t.ARGS, None))"
    folder = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1] == digest(program, ARGS, None)


def test_what_was_not_used_for_longest_makes_room(folder, monkeypatch):
    folder.mkdir(parents=True)
    for age, name in enumerate("abcd"):
        path = folder / f"{name}.npz"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(module, "MAX_BYTES", 250)
    evict(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.npz", "b.npz"]
    monkeypatch.setattr(module, "MAX_BYTES", 450)
    module.write(folder / "new.npz", {"x": np.zeros(1, np.float32)})
    assert 250 < (folder / "new.npz").stat().st_size < 350
    assert sorted(path.name for path in folder.iterdir()) == ["a.npz", "new.npz"]


def test_reading_counts_as_use(folder):
    cached(program, *ARGS)
    (path,) = folder.iterdir()
    os.utime(path, (1e9, 1e9))
    cached(program, *ARGS)
    assert path.stat().st_mtime > 1e9


class Nearing:
    """A task whose `level`, some 10, goes towards 100 and back for 0, by lengths."""

    def init(self, key):
        return {"level": jax.random.normal(key) + 10.0}

    def loss(self, params, series, lengths):
        return jnp.abs(params["level"] - series[:, 0, 0] - 50.0 * (lengths - 1)).mean()

    def measure(self, params, series, lengths):
        return series[:, 0, 0] + params["level"]


@pytest.mark.usefixtures("folder")
def test_networks_of_other_seeds_batches_series_or_lengths_are_others():
    task = Nearing()
    series = np.array([[[0.0], [0.0]], [[100.0], [0.0]]], np.float32)
    shorter = np.where([[[False], [True]]], np.nan, series).astype(np.float32)

    def level(series, batches, seed=0):
        one = TrainTestRows(np.array(batches, np.int32)[:, None], np.zeros(1, int))
        return train_and_measure(task, [{"a": one}], shared(series), seed=seed)[
            "a"
        ].item()

    found = [
        level(series, [0, 1, 1]),
        level(series, [0, 1, 1], seed=1),
        level(shorter, [0, 1, 1]),
        level(shorter, [0, 0, 1]),
        level(shorter[::-1], [0, 0, 1]),
    ]
    assert len(set(found)) == 5
    assert level(shorter, [0, 0, 1]) == found[3]


def test_networks_that_learned_from_the_same_series_are_not_trained_again(
    folder, monkeypatch
):
    """Scores are the same; of the seven networks of the second sample three are old."""
    rng = np.random.default_rng(0)
    real = rng.uniform(size=(40, 8, 2)).astype(np.float32)
    samples = [rng.uniform(size=(40, 8, 2)).astype(np.float32) for _ in range(2)]
    metrics = ["context_fid", "discriminative_score", "predictive_score"]
    for name in ("discriminative", "predictive"):
        monkeypatch.setattr(f"l2d_jax.metrics.{name}.NUM_ITERATIONS", 3)

    def score(x):
        found = evaluate(real, x, metrics=metrics, num_repeats=2)
        return {
            name: (one["values"], one["floor"]["values"], one["at_floor_size"]["mean"])
            for name, one in found.items()
        }

    with monkeypatch.context() as forgetful:
        forgetful.setattr(module, "MAX_BYTES", 0)  # nothing stays
        alone = [score(x) for x in samples]
        assert not any(folder.iterdir())
    counts = []
    for x, expected in zip([*samples, samples[0]], [*alone, alone[0]], strict=True):
        assert score(x) == expected
        counts.append(sum(1 for _ in folder.iterdir()))
    assert counts == [7, 11, 11]
