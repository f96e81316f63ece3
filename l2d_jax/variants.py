"""The variants of the cascade: each fills in a prior and a decoder.

`METHODS` holds the variants and the baselines; `stages.is_given_latent` says whether
the data chain is given a latent. A generator is a pair of pure functions of one key.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from l2d_jax import baselines, diffusion, latents, networks, sampling
from l2d_jax.baselines import BASELINES
from l2d_jax.errors import check_choice
from l2d_jax.stages import (
    STAGES,
    Generator,
    Variant,
    no_extras,
    no_prior,
    value_range,
)
from l2d_jax.types import InputError, Latent, Params, RandomKey, Rows, Series

# --- priors: key -> r_0, standardised -------------------------------------------------


def diffusion_prior(config: FrozenConfigDict) -> Callable:
    """The latent chain."""
    c, s = config.latent_stage, config.sampling
    denoiser = networks.make_latent_denoiser(config)
    schedule = networks.stage_schedule(c)

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

    Estimates of x_0 are clipped to the range of the training series.
    """
    c, s = config.data_stage, config.sampling
    denoiser = networks.make_series_denoiser(config)
    network = networks.make_condition(config, shape)
    schedule = networks.stage_schedule(c)

    def decode(params: Params, key: RandomKey, r_0: Latent | None) -> Series:
        within = None
        if s.clip:
            within = (params["low"][None], params["high"][None])
        params, signal, rounds = params["series_denoiser"], None, 0
        if r_0 is not None:  # F(r_0) is the same at every step: outside the loop
            signal = network.apply(params["condition"], r_0)
            rounds = s.start_rounds

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
            spacing=s.spacing,
            eta=s.eta,
            within=within,
            start_rounds=rounds,
        )

    return decode


def decoder_decode(config: FrozenConfigDict, shape: tuple[int, int]) -> Callable:
    """D(r_0): the decoder of stage 1, without noise."""
    decoder = networks.make_decoder(config, shape)

    def decode(params: Params, key: RandomKey, r_0: Latent) -> Series:
        del key
        r = latents.raw_latents(params["latent"], r_0)
        return decoder.apply(params["decoder"], r)

    return decode


def training_latents(config: ConfigDict, params: Params, series: Rows) -> Params:
    """r of all training series, for `oracle_prior`, and the range of the values."""
    r = latents.standard_latents(config, params, series)
    return value_range(config, params, series) | {"training_latents": r}


OF_LATENT = ("latent_solver", "latent_num_steps", "eta")
OF_DATA = ("solver", "num_steps", "spacing", "eta", "clip")
OF_CONDITION = ("guidance", "start_rounds")
MAX_SPACING = 5.0
NUM_STEPS = 20  # of a data chain given a latent, and of the latent chain
FAST = {"solver": "dpm_solver++"}
FAST_LATENT = {"latent_solver": "dpm_solver++", "latent_num_steps": NUM_STEPS}

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
ALL_STAGES = STAGES | baselines.STAGES


@lru_cache(maxsize=16)
def make_generator(config: FrozenConfigDict, shape: tuple[int, int]) -> Generator:
    """The generator of `config.variant`, for series of `shape` (L, C), model space."""
    variant = METHODS[config.variant]
    return Generator(variant.prior(config), variant.decode(config, shape))


# --- settings of sampling ------------------------------------------------------------


def choose_solver(config: ConfigDict) -> None:
    """The solver, steps and spacing of the data chain, where they are left open.

    Given a latent few steps do, on most sets, and noise in them does no good; without
    one it does.
    """
    s, longest = config.sampling, num_diffusion_steps(config)
    if s.latent_num_steps == NUM_STEPS:  # the default
        s.latent_num_steps = min(NUM_STEPS, config.latent_stage.num_diffusion_steps)
    given_latent = "start_rounds" in METHODS[config.variant].settings
    if s.solver == "auto" and given_latent:
        s.solver = "dpm_solver++"
        s.num_steps = s.num_steps or min(NUM_STEPS, longest)
    elif s.solver == "auto":
        is_shorter = 0 < s.num_steps < longest
        fast = METHODS[config.variant].fast if is_shorter else {}
        s.update({"solver": "ancestral", **fast})
    s.spacing = s.spacing or (2.0 if given_latent else 1.0)


def with_sampling(
    config: ConfigDict | FrozenConfigDict, **settings: Any
) -> FrozenConfigDict:
    """The config with the given fields of `config.sampling` (None: as they are)."""
    config = ConfigDict(config.to_dict())  # a copy: nested sections too
    given = {
        name: as_python(value) for name, value in settings.items() if value is not None
    }
    variant = METHODS[config.variant]
    takes = variant.settings
    for name in given.keys() - {*takes, "batch_size"}:
        raise InputError(
            f"{name}={given[name]}: variant {config.variant!r} has no such setting, "
            f"leave it out (it takes: {', '.join(dict.fromkeys(takes)) or 'none'})"
        )
    for name, value in given.items():
        put_setting(config, name, value)
    s, latent_steps = config.sampling, config.latent_stage.num_diffusion_steps
    for chain in ("", "latent_"):  # ancestral alone takes all steps
        steps = f"{chain}num_steps"
        if given.get(f"{chain}solver") == "ancestral" and steps not in given:
            s[steps] = given[steps] = 0
    if "num_steps" in given and 0 < s.num_steps < num_diffusion_steps(config):
        others = {
            name: value
            for name, value in variant.fast.items()
            if name not in given and s[solver_of(name)] == "ancestral"
        }
        if "latent_num_steps" in others:
            others["latent_num_steps"] = min(others["latent_num_steps"], latent_steps)
        s.update(others)
    check_sampling(config)
    if "eta" in given:
        check_eta(config)
    return FrozenConfigDict(config)


def solver_of(name: str) -> str:
    """The field with the solver of the chain that a setting is of."""
    return "latent_solver" if name.startswith("latent_") else "solver"


def as_python(value: Any) -> Any:
    """A number of numpy or JAX as one of Python; all else as it is."""
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    return value.item() if is_array and not value.ndim else value


def put_setting(config: ConfigDict, name: str, value: Any) -> None:
    """Sets a field of `config.sampling`. Raises `InputError` for another type."""
    kind = type(config.sampling[name])
    try:
        if isinstance(value, bool) and kind is not bool:  # they are whole numbers
            raise TypeError
        config.sampling[name] = value
    except TypeError:
        says = f"{name}={value!r}: give one of type {kind.__name__}"
        raise InputError(says) from None


def check_eta(config: ConfigDict) -> None:
    """Raises `InputError` where no chain has a solver that takes `sampling.eta`."""
    s, settings = config.sampling, METHODS[config.variant].settings
    solvers = {s[name] for name in ("solver", "latent_solver") if name in settings}
    takers = [*filter(sampling.takes_eta, sampling.SOLVERS)]
    if "eta" in settings and solvers.isdisjoint(takers):
        names = " or ".join(map(repr, takers))
        raise InputError(f"eta={s.eta} is a setting of solver={names}: say both")


def check_sampling(config: ConfigDict) -> None:
    """Raises `InputError` for fields of `config.sampling` out of range."""
    settings, s = METHODS[config.variant].settings, config.sampling
    for solver, steps, longest in (
        ("solver", "num_steps", num_diffusion_steps(config)),
        (
            "latent_solver",
            "latent_num_steps",
            config.latent_stage.num_diffusion_steps,
        ),
    ):
        if solver in settings:
            check_choice(s[solver], sampling.SOLVERS, solver)
        if steps in settings and s[steps]:  # 0: all steps
            sampling.timesteps(longest, s[steps], field=steps)
    if not np.isfinite(s.guidance):
        raise InputError(f"guidance={s.guidance}: use a number, 1 for none")
    has_guidance = "guidance" in settings and s.guidance != 1.0
    if has_guidance and not config.data_stage.condition_dropout:
        raise InputError(
            f"guidance={s.guidance} needs a model that was also trained without the "
            "latent: train with --config.data_stage.condition_dropout=0.1"
        )
    if s.start_rounds < 0:
        raise InputError(f"start_rounds={s.start_rounds}: use 0 or more")
    if not 1.0 <= s.spacing <= MAX_SPACING:
        raise InputError(f"spacing={s.spacing}: use 1 (even) to {MAX_SPACING:g}")
    if s.batch_size < 0:
        raise InputError(
            f"batch_size={s.batch_size}: use 1 or more, or 0 (by the device)"
        )
    if not 0.0 <= s.eta <= 1.0:
        raise InputError(f"eta={s.eta}: use 0 (no noise) to 1 (as ancestral)")


def num_diffusion_steps(config: ConfigDict | FrozenConfigDict) -> int:
    """K of the chain that draws the series; 0 where there is none."""
    section = METHODS[config.variant].chain
    return config[section].num_diffusion_steps if section else 0
