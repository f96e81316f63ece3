import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l2d_jax import parallel
from l2d_jax.types import InputError

DEVICES = jax.local_devices()


def test_there_are_eight_devices():
    assert parallel.num_devices() == 8
    assert parallel.describe_devices().startswith("8 x cpu (")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_the_cores_that_a_process_may_use_are_told():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        text = parallel.describe_devices()
    finally:
        os.sched_setaffinity(0, allowed)
    assert f"(1 of {os.cpu_count()} cores" in text


@pytest.mark.parametrize(
    ("flags", "name"), [("sse amx_bf16 avx", "Some CPU 3, AMX"), ("sse", "Some CPU 3")]
)
def test_the_processor_is_named(monkeypatch, flags, name):
    core = f"processor\t: 0\nmodel name\t: Some CPU 3\nflags\t\t: {flags}\n\n"
    monkeypatch.setattr(parallel.Path, "read_text", lambda path: 2 * core)
    assert parallel.processor.__wrapped__() == name


@pytest.mark.parametrize(
    "facts, dtype",
    [
        ({"platform": "cpu"}, "float32"),
        ({"platform": "tpu"}, "bfloat16"),
        ({"platform": "gpu", "compute_capability": "7.5"}, "float32"),  # T4
        ({"platform": "gpu", "compute_capability": "8.0"}, "bfloat16"),  # A100
        ({"platform": "gpu", "compute_capability": "10.0"}, "bfloat16"),
        ({"platform": "gpu", "compute_capability": "gfx90a"}, "bfloat16"),  # AMD
    ],
)
def test_bfloat16_is_the_default_where_the_device_has_it(facts, dtype, monkeypatch):
    device = SimpleNamespace(**facts)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    assert parallel.default_compute_dtype() == dtype


@pytest.mark.parametrize("num_devices", [1, 2, 8])
@pytest.mark.parametrize("num_rows", [1, 7, 64, 100])
def test_every_row_is_mapped_once_in_order(num_devices, num_rows):
    rows = np.arange(num_rows * 3.0).reshape(num_rows, 3).astype(np.float32)
    parts = parallel.map_rows(
        add_sum, jnp.float32(10.0), rows, batch_size=8, devices=DEVICES[:num_devices]
    )
    np.testing.assert_array_equal(np.concatenate(list(parts)), 10 + rows.sum(axis=1))


def test_rows_of_several_arrays_are_mapped_together():
    """20 rows over two devices by 8: what fills up the last group is dropped."""
    rows = np.arange(20, dtype=np.int32), np.arange(20.0, dtype=np.float32)[:, None]
    parts = parallel.map_rows(
        add_product, jnp.float32(1), rows, batch_size=8, devices=DEVICES[:2]
    )
    np.testing.assert_array_equal(np.concatenate([*parts]), 1 + np.arange(20.0) ** 2)


def add_product(params, row):
    index, x = row
    return params + index * x[0]


def add_sum(params, row):
    return params + row.sum()


@pytest.mark.parametrize(
    ("num_rows", "batch"),
    [(1, 8), (8, 8), (9, 16), (17, 32), (64, 64), (65, 100), (10_000, 100)],
)
def test_few_programs_serve_all_numbers_of_rows(num_rows, batch):
    assert parallel.fitting(100, num_rows) == batch


def test_rows_are_read_as_they_are_needed():
    """Constant memory: a generator that is dropped early has not done all the work."""
    calls = []

    class Rows:
        shape = (1000, 1)

        def __getitem__(self, index):
            calls.append(index)
            return np.zeros((16, 1), np.float32)

    parts = parallel.map_rows(
        add_sum, jnp.float32(0), Rows(), batch_size=16, devices=DEVICES[:1]
    )
    next(parts)
    assert len(calls) <= 3


@pytest.mark.parametrize("num_devices", [1, 4, 8])
def test_the_mean_over_devices_is_the_mean_over_the_batch(num_devices):
    devices = DEVICES[:num_devices]

    def update(state, batches):
        def one(state, batch):
            weights = parallel.global_indices(batch.shape[0]).astype(jnp.float32)
            mean = parallel.pmean(jnp.mean(weights * batch))
            return state + mean, mean

        return jax.lax.scan(one, state, batches)

    program = parallel.train_program(update, devices)
    batches = np.arange(3 * 16, dtype=np.float32).reshape(3, 16)
    state, means = program(parallel.replicate(jnp.float32(1.0), devices), batches)
    expected = (batches * np.arange(16)).mean(axis=1)
    np.testing.assert_allclose(means, expected, rtol=1e-6)
    assert state == pytest.approx(1.0 + expected.sum(), rel=1e-6)


def test_batch_that_devices_can_not_share_is_refused():
    parallel.check_batch_size(16, "--config.encoder.batch_size")
    for size in (4, 12, 0):
        with pytest.raises(InputError, match=f"encoder.batch_size={size} .*8 devices"):
            parallel.check_batch_size(size, "--config.encoder.batch_size")


def test_processes_read_disjoint_parts_of_each_batch():
    parts = [range(12)[parallel.local_slice(12, p, 3)] for p in range(3)]
    assert [*map(list, parts)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert parallel.local_slice(12) == slice(0, 12)


def test_float64_is_left_out_with_jax_0_7_too(monkeypatch):
    """There the switch is in jax.experimental."""
    home = jax if hasattr(jax, "enable_x64") else jax.experimental
    enable_x64 = home.enable_x64
    monkeypatch.delattr(jax, "enable_x64", raising=False)
    monkeypatch.setattr(jax.experimental, "enable_x64", enable_x64, raising=False)
    with enable_x64(True):
        assert jnp.zeros(1).dtype == np.float64
        assert parallel.with_default_config(jnp.zeros)(1).dtype == np.float32


@pytest.mark.parametrize("num_devices", [1, 8])
def test_other_code_may_set_in_jax_what_it_likes(num_devices):
    """A mesh of two devices, strict types, and a guard on transfers."""
    mesh = jax.sharding.Mesh(np.array(DEVICES[:2]), ("x",))
    rows = np.arange(16, dtype=np.int32)
    with (
        jax.set_mesh(mesh),
        jax.numpy_dtype_promotion("strict"),
        jax.transfer_guard("disallow"),
    ):
        parts = parallel.map_rows(
            add_product,
            np.float32(1.0),
            (rows, rows[:, None].astype(np.float32)),
            batch_size=8,
            devices=DEVICES[:num_devices],
        )
        found = np.concatenate([*parts])
        assert not jax.sharding.get_abstract_mesh().empty  # still theirs
    np.testing.assert_array_equal(found, 1 + rows**2)
