"""A trained model as one file, from which JAX alone samples, on CPU, GPU and TPU.

What `model.sample` does on the host after its program, series to data units, is inside
the program here.
"""

import importlib.util
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jaxtyping import Array, Float, Int

from l2d_jax import parallel
from l2d_jax.cascade import Cascade, clips, sampler
from l2d_jax.data.ragged import apply_constraints
from l2d_jax.errors import check_choice
from l2d_jax.files import FilePath, to_path, whole_file
from l2d_jax.types import ANY_DECIMALS, InputError, RandomKey, Series

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # as JAX calls them


def export(
    model: Cascade,
    path: str | FilePath,
    *,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> None:
    """Writes `model.sample` with its weights and settings: one StableHLO program.

    Who reads it needs neither l2d_jax nor Flax, but JAX and flatbuffers:

        from jax import export
        program = export.deserialize(bytearray(open("sampler.bin", "rb").read()))
        series, lengths = program.call(jax.random.key(0), jnp.arange(1000))

    Series [n, L, C] are in data units, float32, NaN after the end of those shorter than
    L; lengths [n] are int32. Row i is `model.sample(key, n)[i]`, up to rounding. All n
    are made at once; the next thousand are those of `jnp.arange(1000, 2000)`.

    A file for use, not for keeping: JAX promises to read it for six months.

    Args:
      model: its settings of sampling are kept: `model.with_sampling(num_steps=5)`.
      path: of the file.
      platforms: that it can run on, of `PLATFORMS`.

    Raises:
      InputError: flatbuffers is missing, an unknown platform or none, or `path` is a
        folder.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise InputError("export needs flatbuffers: pip install flatbuffers")
    platforms, path = tuple(platforms), to_path(path)
    for platform in platforms or ("",):  # of none JAX would make that of this process
        check_choice(platform, PLATFORMS, "platforms")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it")
    program = jax.jit(jax.vmap(one_in_data_units(model), (None, 0)))
    key = jax.eval_shape(lambda: jax.random.key(0))
    indices = jax.ShapeDtypeStruct(jax_export.symbolic_shape("n"), np.int32)
    make = parallel.with_default_config(jax_export.export(program, platforms=platforms))
    with whole_file(path) as temporary:
        temporary.write_bytes(make(key, indices).serialize())


def one_in_data_units(
    model: Cascade,
) -> Callable[[RandomKey, Int[Array, ""]], tuple[Series, Int[Array, ""]]]:
    """(key, index) -> a series as `model.sample` makes it, and its length."""
    layout, normalizer = model.layout, jax.tree.map(np.asarray, model.normalizer)
    program = sampler(model.config, layout.shape)
    params = jax.tree.map(jnp.asarray, model.params)  # of a loaded model they are numpy

    def one(key: RandomKey, index: Int[Array, ""]) -> tuple[Series, Int[Array, ""]]:
        z = program({"params": params, "key": key}, index)
        x = normalizer.denormalize(z[:, : len(layout.channels)])
        length = jnp.int32(layout.length)
        if layout.ragged:  # as data.ragged.likeliest_lengths
            first_sums = jnp.cumsum(z[:, -1])[layout.min_length - 1 :]
            length = jnp.int32(layout.min_length) + jnp.argmax(first_sums)
            inside = jnp.arange(layout.length) < length
            x = jnp.where(inside[:, None], x, jnp.nan)
        clip = clips(model.config)
        x = jnp.asarray(apply_constraints(x, normalizer, clip=clip, hold=hold_one))
        for c, places in enumerate(layout.form.places if layout.form else ()):
            if places < ANY_DECIMALS:
                x = x.at[:, c].set(jnp.round(x[:, c], places))
        return x, length.astype(jnp.int32)

    return one


def hold_one(x: Series, limits: Float[np.ndarray, " C"]) -> Series:
    """`data.held_values.hold`, of one series: a run of small steps has its mean."""

    def one(x: Float[Array, " L"], limit: float) -> Float[Array, " L"]:
        starts = ~(jnp.abs(jnp.diff(x)) <= limit)
        run = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), starts]))
        total = jnp.zeros(len(x)).at[run].add(x)
        count = jnp.zeros(len(x)).at[run].add(1.0)
        return (total / count)[run]

    columns = [
        one(x[:, c], limit) if limit else x[:, c]
        for c, limit in enumerate(limits.tolist())
    ]
    return jnp.stack(columns, axis=1)
