"""The trained model: noise -> r_0 -> series, in data units, on all devices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from ml_collections import FrozenConfigDict

from l2d_jax import latents, memory, parallel
from l2d_jax.data.normalizer import Normalizer
from l2d_jax.data.own.arrays import from_user
from l2d_jax.data.ragged import from_list, from_model_space, to_list, to_model_space
from l2d_jax.types import (
    ANY_DECIMALS,
    Examples,
    Form,
    InputError,
    Latent,
    Params,
    RandomKey,
    Rows,
    Series,
    SeriesBatch,
)
from l2d_jax.variants import METHODS, as_python, make_generator, with_sampling


class Layout(NamedTuple):
    """Facts of the data set that a trained model must remember."""

    length: int  # L
    channels: tuple[str, ...]
    ragged: bool = False  # series of different lengths: one more channel, the validity
    min_length: int = 1  # of a generated series, where ragged
    num_series: int = 0  # N of the training set
    digest: int = 0  # of its series in model space
    form: Form | None = None  # of the user's file

    @property
    def shape(self) -> tuple[int, int]:
        """(L, C) in model space."""
        return self.length, len(self.channels) + self.ragged


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "normalizer"],
    meta_fields=["config", "layout"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """A trained model: the averaged weights of all stages, and what they need around.

    What `l2d_jax.fit` and `l2d_jax.load` return.

    Example, of a control that needs no training: more samples begin with the same ones.

    >>> import l2d_jax
    >>> walks = np.random.default_rng(0).normal(size=(100, 24, 2)).cumsum(axis=1)
    >>> config = l2d_jax.configs.own.get_config("gaussian")
    >>> model = l2d_jax.fit(walks, config=config, verbose=False)
    >>> few, more = (model.sample(jax.random.key(0), n) for n in (3, 5))
    >>> few.shape, more.shape, bool(np.allclose(few, more[:3]))
    ((3, 24, 2), (5, 24, 2), True)
    """

    params: Params
    normalizer: Normalizer
    config: FrozenConfigDict
    layout: Layout

    def sample(
        self,
        key: RandomKey,
        n: int,
        *,
        solver: str | None = None,
        num_steps: int | None = None,
        latent_solver: str | None = None,
        latent_num_steps: int | None = None,
        eta: float | None = None,
    ) -> SeriesBatch | list[Float[np.ndarray, "_ C"]]:
        """n generated series in data units: [n, L, C], or a list of [l_i, C] if ragged.

        A function of the arguments alone: the number of devices does not matter, and
        the first m of n series are those of `sample(key, m)` up to rounding. Where
        several processes run together, all of them must call this, and all get all.
        Inside jit, vmap or grad use `l2d_jax.deploy.one_in_data_units(model)`.

        Args:
          key: a typed key, `jax.random.key(0)`. With one of another `impl` than
            threefry, JAX's default, series also depend on how many are made at once.
          n: how many, 1 or more.
          solver: one of sampling.SOLVERS. By default the config's; where that is
            "ancestral", which takes all K steps, and `num_steps` is below K,
            dpm_solver++ (diffusion_ts: ddim, as published).
          num_steps: solver steps of the data chain, 1 to K (0: all). By default the
            config's: given the latent 20, where 5 do too; else all.
          latent_solver, latent_num_steps: the same for the latent chain. By default
            the config's; where its solver is "ancestral" and `num_steps` is below K, 20
            of dpm_solver++.
          eta: noise of ddim, 0 (none) to 1 (as ancestral). By default the config's, 0.

        Raises:
          InputError: n below 1, an unknown solver, steps out of range, a setting of a
            chain that this variant doesn't have, or a call inside jit, vmap or grad.
        """
        model = self.with_sampling(
            solver=solver,
            num_steps=num_steps,
            latent_solver=latent_solver,
            latent_num_steps=latent_num_steps,
            eta=eta,
        )
        parts = list(model.sample_batches(key, n))
        series = np.concatenate([part.series for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        return to_list(series, lengths) if self.layout.ragged else series

    def with_sampling(self, **settings: Any) -> "Cascade":
        """The same model with other defaults of `sample`, whose settings these are.

        Also `spacing` (of the steps of the data chain: 1 even, 2 quadratic),
        `guidance`, `clip` (estimates of x_0, to the range of the training series),
        `start_rounds` (calls of the network before the data chain, that find what it
        starts with) and `batch_size`, series per device and call of the program:
        memory, not results, unless the key is of another `impl` than threefry.
        """
        return replace(self, config=with_sampling(self.config, **settings))

    def sample_batches(self, key: RandomKey, n: int) -> Iterator[Examples]:
        """As `sample`, batch by batch: memory does not depend on n."""
        self._check_known(key)
        check_key(key)
        batches = self._mapped(parallel.map_rows_distributed, sampler, key, numbers(n))
        return (self._in_data_units(z) for z in batches)

    def encode(self, x: Any) -> Float[np.ndarray, "N d"]:
        """E(x) as the latent chain draws it.

        Over the training series the mean is 0, the variance 1 in every direction
        (`config.encoder.whiten`; else in every dimension).

        Args:
          x: series in data units, [N, L, C] or a list of [L_i, C].

        Raises:
          InputError: no encoder, or series that this model can't be given.
        """
        if "encoder" not in self.params:
            raise InputError(f"variant {self.config.variant!r} has no encoder")
        self._check_known(x)
        z = to_model_space(self._examples(x), self.normalizer, self.layout.ragged)
        return latents.standard_latents(self.config, self.params, z)

    def reconstruct(
        self, key: RandomKey, x: Any
    ) -> SeriesBatch | list[Float[np.ndarray, "_ C"]]:
        """Series drawn given the latents of `x`: what r keeps, what it leaves.

        Args:
          key: a typed key, `jax.random.key(0)`.
          x: as `encode` takes them, and with its errors.
        """
        check_key(key)
        return self.decode(key, self.encode(x))

    def sample_latents(self, key: RandomKey, n: int) -> Float[np.ndarray, "n d"]:
        """n latents from the latent chain: those that `sample(key, n)` decodes.

        Args:
          key: a typed key, `jax.random.key(0)`.
          n: how many, 1 or more.

        Raises:
          InputError: n below 1, or a variant without a latent.
        """
        self._check_known(key)
        check_key(key)
        self._check_latent()
        r = self._mapped(parallel.map_rows, latent_sampler, key, numbers(n))
        return np.concatenate([*r])

    def decode(
        self, key: RandomKey, r: Any
    ) -> SeriesBatch | list[Float[np.ndarray, "_ C"]]:
        """Series drawn given latents, in data units; as `sample` returns them.

        Between two latents, say: `model.decode(key, (r[:1] + r[1:]) / 2)`. With the
        latents of `sample_latents(key, n)` and the same key these are the series of
        `sample(key, n)`.

        Args:
          key: a typed key, `jax.random.key(0)`.
          r: latents [n, d], as `encode` and `sample_latents` return them.

        Raises:
          InputError: latents of another shape, or a variant without a latent.
        """
        self._check_known(key, r)
        check_key(key)
        self._check_latent()
        dim = self.config.encoder.latent_dim
        try:
            r = np.asarray(r, np.float32)
        except (TypeError, ValueError):
            raise InputError(f"latents that are no array: give [n, {dim}]") from None
        if r.ndim != 2 or r.shape[1] != dim or not len(r):
            raise InputError(f"latents of shape {list(r.shape)}: give [n, {dim}]")
        if not np.isfinite(r).all():
            raise InputError("a latent is nan or inf: give numbers")
        rows = (numbers(len(r)), r)
        z = self._mapped(parallel.map_rows, reconstructor, key, rows)
        examples = self._in_data_units(np.concatenate([*z]))
        return to_list(*examples[:2]) if self.layout.ragged else examples.series

    def _check_known(self, *values: Any) -> None:
        leaves = jax.tree.leaves((self.params, *values))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            raise InputError(
                "a value inside jit, vmap or grad: call this outside, where values are "
                "known; docs/extending.md says what to call inside"
            )

    def _check_latent(self) -> None:
        if "encoder" not in self.params:
            raise InputError(f"variant {self.config.variant!r} has no latent")

    def __repr__(self) -> str:
        length, channels = self.layout.length, len(self.layout.channels)
        return (
            f"<{type(self).__name__} {self.config.variant}: series of {length} steps x "
            f"{channels} channels, trained on {self.layout.num_series:,}>"
        )

    def _mapped(
        self, over_rows: Callable, make_program: Callable, key: RandomKey, rows: Rows
    ) -> Iterator[np.ndarray]:
        """The program for all rows, in batches; in smaller ones if need be."""
        program = make_program(self.config, self.layout.shape)
        inputs = {"params": self.params, "key": key}
        return memory.in_parts(
            lambda first, size: over_rows(
                program,
                inputs,
                jax.tree.map(lambda x: x[first:], rows),
                batch_size=size,
            ),
            len(jax.tree.leaves(rows)[0]),
            batch_size=parallel.sampling_batch_size(self.config),
        )

    def _in_data_units(self, z: np.ndarray) -> Examples:
        layout = self.layout
        series, lengths = from_model_space(
            z,
            self.normalizer,
            layout.ragged,
            layout.min_length,
            clip=clips(self.config),
        )
        return Examples(with_decimals(series, layout.form), lengths)

    def _examples(self, x) -> Examples:
        length, channels = self.layout.length, len(self.layout.channels)
        is_list = isinstance(x, list | tuple)
        takes = f"this model takes [N, {length}, {channels}]"
        if not is_list:
            shape = np.shape(x)
            unlike = shape[1:] != (length, channels) and not self.layout.ragged
            if len(shape) != 3 or unlike:
                raise InputError(f"an array of shape {list(shape)}: {takes}")
        series = from_user(x).series
        for i, one in enumerate(series):
            if len(one) > length or one.shape[1] != channels:
                raise InputError(
                    f"series {i} (the first is 0) has shape {list(one.shape)}: {takes}"
                    " or a list of [L_i, C], none longer"
                )
            if np.isnan(one).all():
                raise InputError(
                    f"series {i} (the first is 0) has no values: leave it out"
                )
        examples = from_list(series, length=length)
        if self.layout.ragged or is_list:
            return examples
        # NaN at the end of an array is missing to a model of one length.
        return examples._replace(lengths=np.full(len(series), length))


def clips(config: FrozenConfigDict) -> bool:
    """Whether samples are clipped to the range of the training series."""
    return "clip" in METHODS[config.variant].settings and config.sampling.clip


def with_decimals(series: SeriesBatch, form: Form | None) -> SeriesBatch:
    """Values with as many decimals as the channel has in the user's file; no -0."""
    if form is None:
        return series
    result = series.copy()
    for c, places in enumerate(form.places):
        if places < ANY_DECIMALS:
            rounded = np.round(series[:, :, c].astype(np.float64), places)
            result[:, :, c] = rounded + 0.0
    return result


def check_key(key: Any) -> None:
    """Raises `InputError` unless it is one typed key."""
    if not jnp.issubdtype(getattr(key, "dtype", object), jax.dtypes.prng_key):
        raise InputError("key: give a typed one, jax.random.key(0), first")
    if np.shape(key):
        raise InputError(f"key: give a single one, not {list(np.shape(key))} of them")


def numbers(n: Any) -> Int[np.ndarray, " _"]:
    """0, 1, ..., n - 1: of series, whose keys are made of them.

    Raises `InputError` unless n is a whole number, 1 or more.
    """
    n = as_python(n)
    if type(n) is not int or n < 1:
        raise InputError(f"{n!r} series: give a whole number, 1 or more")
    return np.arange(n, dtype=np.int32)


# --- programs: of one series, to be mapped --------------------------------------------


@lru_cache(maxsize=16)
def sampler(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """({params, key}, index) -> series in model space: one call, both chains."""
    generator = make_generator(config, shape)

    def one(inputs: Params, index: Array) -> Series:
        key_prior, key_decode = keys_of(inputs["key"], index)
        r_0 = generator.prior(inputs["params"], key_prior)
        return generator.decode(inputs["params"], key_decode, r_0)

    return one


def keys_of(key: RandomKey, index: Array) -> tuple[RandomKey, RandomKey]:
    """Of the two chains of one series."""
    key_prior, key_decode = jax.random.split(jax.random.fold_in(key, index))
    return key_prior, key_decode


@lru_cache(maxsize=16)
def latent_sampler(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """({params, key}, index) -> the latent of the series that `sampler` makes."""
    generator = make_generator(config, shape)

    def one(inputs: Params, index: Array) -> Latent | None:
        key_prior, _ = keys_of(inputs["key"], index)
        return generator.prior(inputs["params"], key_prior)

    return one


@lru_cache(maxsize=16)
def reconstructor(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """({params, key}, (index, latent)) -> series drawn given the latent."""
    generator = make_generator(config, shape)

    def one(inputs: Params, row: tuple[Array, Latent]) -> Series:
        index, r_0 = row
        _, key_decode = keys_of(inputs["key"], index)
        return generator.decode(inputs["params"], key_decode, r_0)

    return one
