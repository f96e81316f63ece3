"""The trained cascade: noise -> r_0 -> series, and its variants as fillings.

`METHODS`, the variants and the baselines, is the one place where one is chosen. A
generator is a pair of pure functions of one key; `Cascade` adds data units, devices and
chunks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import diffusion, parallel, sampling, stages
from l2d_jax.baselines import BASELINES
from l2d_jax.data.normalizer import Normalizer
from l2d_jax.data.own.arrays import from_user
from l2d_jax.data.ragged import from_list, from_model_space, to_list, to_model_space
from l2d_jax.stages import Generator, Variant, no_extras, no_prior, value_range
from l2d_jax.types import (
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

# --- priors: key -> r_0, standardised -------------------------------------------------


def diffusion_prior(config: FrozenConfigDict) -> Callable:
    """The latent chain."""
    c, s = config.latent_stage, config.sampling
    denoiser, schedule = stages.make_latent_denoiser(config), stages.stage_schedule(c)

    def prior(params: Params, key: RandomKey) -> Latent:
        def denoise(r_t, t):
            output = denoiser.apply(params["latent_denoiser"], r_t, t)
            return diffusion.predict_x_0(
                c.prediction, schedule, output=output, x_t=r_t, t=t
            )

        return sampling.sample(
            denoise,
            schedule,
            key,
            (config.encoder.latent_dim,),
            solver=s.latent_solver,
            num_steps=s.latent_num_steps or None,
            eta=s.eta,
        )

    return prior


def oracle_prior(config: FrozenConfigDict) -> Callable:
    """r of a random training series: what a perfect prior would give."""
    del config
    return lambda params, key: jax.random.choice(key, params["training_latents"])


# --- decoders: (key, r_0) -> series in model space ------------------------------------


def diffusion_decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """The data chain, given F(r_0) where there is a latent.

    Estimates of x_0 are clipped to the range of the training series; models of before,
    that don't know it, aren't.
    """
    c, s = config.data_stage, config.sampling
    denoiser = stages.make_series_denoiser(config)
    network, schedule = stages.make_condition(config, shape), stages.stage_schedule(c)

    def decode(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        within = None
        if "low" in params and s.get("clip", True):
            within = (params["low"][None], params["high"][None])
        params, signal, rounds = params["series_denoiser"], None, 0
        if r_0 is not None:  # F(r_0) is the same at every step: outside the loop
            signal = network.apply(params["condition"], r_0)
            rounds = s.get("start_rounds", 0)  # models of before: none

        def denoise(x_t, t):
            output = denoiser.apply(params["denoiser"], x_t, t, signal)
            if signal is not None and s.guidance != 1.0:
                null = jnp.zeros_like(signal)
                without = denoiser.apply(params["denoiser"], x_t, t, null)
                output = without + s.guidance * (output - without)
            return diffusion.predict_x_0(
                c.prediction, schedule, output=output, x_t=x_t, t=t
            )

        return sampling.sample(
            denoise,
            schedule,
            key,
            shape,
            solver=s.solver,
            num_steps=s.num_steps or None,
            spacing=s.get("spacing", 1.0),  # models of before
            eta=s.eta,
            within=within,
            start_rounds=rounds,
        )

    return decode


def decoder_decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """D(r_0): the decoder of stage 1, without noise."""
    decoder = stages.make_decoder(config, shape)

    def decode(params: Params, key: RandomKey, r_0: Latent) -> Series:
        del key
        r = stages.raw_latents(params["latent"], r_0)
        return decoder.apply(params["decoder"], r)

    return decode


def training_latents(config: ConfigDict, params: Params, series: Rows) -> Params:
    """r of all training series, for `oracle_prior`, and the range of the values."""
    latents = stages.standard_latents(config, params, series)
    return value_range(config, params, series) | {"training_latents": latents}


OF_LATENT = ("latent_solver", "latent_num_steps", "eta")
OF_DATA = ("solver", "num_steps", "spacing", "eta", "clip")
OF_CONDITION = ("guidance", "start_rounds")
MAX_SPACING = 5.0
FAST = {"solver": "dpm_solver++"}
FAST_LATENT = {"latent_solver": "dpm_solver++", "latent_num_steps": 20}

VARIANTS: dict[str, Variant] = {
    "full": Variant(
        ("encoder", "latent", "data"),
        diffusion_prior,
        diffusion_decode,
        value_range,
        chain="data_stage",
        settings=(*OF_DATA, *OF_CONDITION, *OF_LATENT),
        fast=FAST | FAST_LATENT,
    ),
    "latent_only": Variant(
        ("encoder", "latent"),
        diffusion_prior,
        decoder_decode,
        no_extras,
        chain="",
        settings=OF_LATENT,
    ),
    "data_only": Variant(
        ("data",),
        no_prior,
        diffusion_decode,
        value_range,
        chain="data_stage",
        settings=OF_DATA,
        fast=FAST,
    ),
    "oracle_latent": Variant(
        ("encoder", "data"),
        oracle_prior,
        diffusion_decode,
        training_latents,
        chain="data_stage",
        settings=(*OF_DATA, *OF_CONDITION),
        fast=FAST,
    ),
}
METHODS = VARIANTS | BASELINES


@lru_cache(maxsize=16)
def make_generator(config: FrozenConfigDict, shape: tuple[int, int]) -> Generator:
    """The generator of `config.variant`, for series of `shape` (L, C), model space."""
    variant = METHODS[config.variant]
    return Generator(variant.prior(config), variant.decode(config, shape))


# --- the model that users hold --------------------------------------------------------


class Layout(NamedTuple):
    """Facts of the data set that a trained model must remember."""

    length: int  # L
    channels: tuple[str, ...]
    ragged: bool = False  # series of different lengths: one more channel, the validity
    min_length: int = 1  # of a generated series, where ragged
    num_series: int = 0  # N of the training set
    digest: int = 0  # of its series in model space; 0: not known
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

        Args:
          key: a typed key, `jax.random.key(0)`.
          n: how many, 1 or more.
          solver: one of sampling.SOLVERS. By default the config's; with fewer
            steps than the chain was trained with, dpm_solver++ (diffusion_ts: ddim with
            eta 0, as published). "ancestral" alone takes all K steps.
          num_steps: solver steps of the data chain, 1 to K (0: all). Given the latent,
            5 do.
          latent_solver, latent_num_steps: the same for the latent chain. By default
            the config's; where `num_steps` is below K, 20 of dpm_solver++. "ancestral"
            alone takes all K steps.
          eta: noise of ddim, 0 to 1.

        Raises:
          InputError: n below 1, an unknown solver, steps out of range, or a setting of
            a chain that this variant doesn't have.
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
        starts with) and `batch_size`, series per device and call of the program.
        """
        return replace(self, config=with_sampling(self.config, **settings))

    def sample_batches(self, key: RandomKey, n: int) -> Iterator[Examples]:
        """As `sample`, batch by batch: memory does not depend on n."""
        check_key(key)
        check_count(n)
        batches = parallel.share_rows(
            sampler(self.config, self.layout.shape),
            {"params": self.params, "key": key},
            np.arange(n, dtype=np.int32),
            batch_size=parallel.sampling_batch_size(self.config),
        )
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
        z = to_model_space(self._examples(x), self.normalizer, self.layout.ragged)
        return stages.standard_latents(self.config, self.params, z)

    def reconstruct(
        self, key: RandomKey, x: Any
    ) -> SeriesBatch | list[Float[np.ndarray, "_ C"]]:
        """Series drawn given the latents of `x`: what r keeps, what it leaves.

        Args:
          key: a typed key, `jax.random.key(0)`.
          x: as `encode` takes them, and with its errors.
        """
        check_key(key)
        r_0 = self.encode(x)
        z = parallel.map_all(
            reconstructor(self.config, self.layout.shape),
            {"params": self.params, "key": key, "latents": r_0},
            np.arange(len(r_0), dtype=np.int32),
            batch_size=parallel.sampling_batch_size(self.config),
        )
        examples = self._in_data_units(z)
        return to_list(*examples[:2]) if self.layout.ragged else examples.series

    def __repr__(self) -> str:
        length, channels = self.layout.length, len(self.layout.channels)
        return (
            f"<{type(self).__name__} {self.config.variant}: series of {length} steps x "
            f"{channels} channels, trained on {self.layout.num_series:,}>"
        )

    def _in_data_units(self, z: np.ndarray) -> Examples:
        layout, settings = self.layout, METHODS[self.config.variant].settings
        series, lengths = from_model_space(
            z,
            self.normalizer,
            layout.ragged,
            layout.min_length,
            clip="clip" in settings and self.config.sampling.clip,
        )
        if layout.form is not None:
            whole = np.array(layout.form.integers)
            series[:, :, whole] = np.rint(series[:, :, whole])
        return Examples(series, lengths)

    def _examples(self, x) -> Examples:
        length, channels = self.layout.length, len(self.layout.channels)
        is_list = isinstance(x, list | tuple)
        takes = f"this model takes [N, {length}, {channels}]"
        if not is_list and np.ndim(x) != 3:
            raise InputError(f"an array of shape {list(np.shape(x))}: {takes}")
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


def check_key(key: Any) -> None:
    """Raises `InputError` unless it is one typed key."""
    if not jnp.issubdtype(getattr(key, "dtype", object), jax.dtypes.prng_key):
        raise InputError("key: give a typed one, jax.random.key(0), first")
    if np.shape(key):
        raise InputError(f"key: give a single one, not {list(np.shape(key))} of them")


def check_count(n: Any) -> None:
    """Raises `InputError` unless it is a number of series."""
    if not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"num_samples={n}: ask for 1 or more")


def with_sampling(
    config: ConfigDict | FrozenConfigDict, **settings: Any
) -> FrozenConfigDict:
    """The config with the given fields of `config.sampling` (None: as they are)."""
    config = ConfigDict(config.to_dict())  # a copy: nested sections too
    given = {
        name: value.item() if isinstance(value, np.generic | jax.Array) else value
        for name, value in settings.items()
        if value is not None
    }
    variant = METHODS[config.variant]
    takes = variant.settings
    for name in given.keys() - {*takes, "batch_size"}:
        raise InputError(
            f"{name}={given[name]}: variant {config.variant!r} has no such setting, "
            f"leave it out (it takes: {', '.join(dict.fromkeys(takes)) or 'none'})"
        )
    for name, value in given.items():
        try:
            config.sampling[name] = value
        except TypeError:
            kind = type(config.sampling[name]).__name__
            raise InputError(f"{name}={value!r}: give one of type {kind}") from None
    s, latent_steps = config.sampling, config.latent_stage.num_diffusion_steps
    for chain in ("", "latent_"):  # ancestral alone takes all steps
        steps = f"{chain}num_steps"
        if given.get(f"{chain}solver") == "ancestral" and steps not in given:
            s[steps] = given[steps] = 0
    if "num_steps" in given and 0 < s.num_steps < num_diffusion_steps(config):
        others = {name: v for name, v in variant.fast.items() if name not in given}
        if "latent_num_steps" in others:
            others["latent_num_steps"] = min(others["latent_num_steps"], latent_steps)
        s.update(others)
    for solver, steps, longest in (
        ("solver", "num_steps", num_diffusion_steps(config)),
        ("latent_solver", "latent_num_steps", latent_steps),
    ):
        if solver in variant.settings:
            stages.check_choice(s[solver], sampling.SOLVERS, solver)
        if steps in variant.settings and s[steps]:  # 0: all steps
            sampling.timesteps(longest, s[steps], field=steps)
    has_guidance = "guidance" in variant.settings and s.guidance != 1.0
    if has_guidance and not config.data_stage.condition_dropout:
        raise InputError(
            f"guidance={s.guidance} needs a model that was also trained without the "
            "latent: train with --config.data_stage.condition_dropout=0.1"
        )
    if s.get("start_rounds", 0) < 0:
        raise InputError(f"start_rounds={s.start_rounds}: use 0 or more")
    if not 1.0 <= s.get("spacing", 1.0) <= MAX_SPACING:
        raise InputError(f"spacing={s.spacing}: use 1 (even) to {MAX_SPACING:g}")
    if s.batch_size < 0:
        raise InputError(
            f"batch_size={s.batch_size}: use 1 or more, or 0 (by the device)"
        )
    if not 0.0 <= s.eta <= 1.0:
        raise InputError(f"eta={s.eta}: use 0 (no noise) to 1 (as ancestral)")
    return FrozenConfigDict(config)


def num_diffusion_steps(config: ConfigDict | FrozenConfigDict) -> int:
    """K of the chain that draws the series; 0 where there is none."""
    section = METHODS[config.variant].chain
    return config[section].num_diffusion_steps if section else 0


@lru_cache(maxsize=16)
def sampler(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """({params, key}, index) -> series in model space: one call, both chains."""
    generator = make_generator(config, shape)

    def one(inputs: Params, index: Array) -> Series:
        key = jax.random.fold_in(inputs["key"], index)
        key_prior, key_decode = jax.random.split(key)
        r_0 = generator.prior(inputs["params"], key_prior)
        return generator.decode(inputs["params"], key_decode, r_0)

    return one


@lru_cache(maxsize=16)
def reconstructor(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """({params, key, latents}, index) -> series drawn given latents[index]."""
    generator = make_generator(config, shape)

    def one(inputs: Params, index: Array) -> Series:
        key = jax.random.fold_in(inputs["key"], index)
        return generator.decode(inputs["params"], key, inputs["latents"][index])

    return one
