"""Cascades of random weights, and their samples one by one."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from l2d_jax.cascade import Cascade, Layout, sampler
from l2d_jax.configs import base, resolve
from l2d_jax.data import Normalizer
from l2d_jax.latents import standard_latents
from l2d_jax.stages import STAGES
from l2d_jax.variants import METHODS, VARIANTS

SHIFT, SCALE = np.float32([10, -3]), np.float32([2, 50])


def moved(params):
    """Away from zero weights, so that every input matters."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    noisy = [
        p + np.float32(0.2) * rng.standard_normal(p.shape, np.float32) for p in leaves
    ]
    return jax.tree.unflatten(treedef, noisy)


def make_config(variant="full", **settings):
    """Of two short chains."""
    config = base.with_argument(base.get_config(), f"smoke,{variant}")
    config.data_stage.num_diffusion_steps = config.latent_stage.num_diffusion_steps = 8
    config.sampling.update(
        {"solver": "ancestral", "latent_num_steps": 0, "batch_size": 16} | settings
    )
    return resolve(config)


def make_model(variant="full", ragged=False, **settings):
    """An untrained cascade, its weights moved away from their zeros."""
    return model_of(make_config(variant, **settings), ragged)


def model_of(config, ragged=False):
    """Of random weights."""
    layout = Layout(7, ("a", "b"), ragged, 3, 20)
    trained = config.copy_and_resolve_references()
    del trained.sampling  # weights are the same for all of its settings
    params = dict(weights_of(FrozenConfigDict(trained), layout.shape))
    if METHODS[config.variant].chain:  # a range without ends: nothing is clipped
        end = jnp.full(layout.shape[1], jnp.inf)
        params |= {"low": -end, "high": end}
    normalizer = Normalizer(SHIFT, SCALE, np.float32(-np.inf), np.float32(np.inf))
    return Cascade(params, normalizer, FrozenConfigDict(config), layout)


@cache
def weights_of(config, shape):
    """Random ones of all stages, and what else is kept of the training series."""
    series = np.asarray(jax.random.normal(jax.random.key(1), (20, *shape)))
    params = {}
    for name in VARIANTS[config.variant].stages:
        stage = STAGES[name](config, shape)
        params |= stage.export(moved(jax.jit(stage.init)(jax.random.key(2))), series)
    if config.variant == "oracle_latent":
        params["training_latents"] = standard_latents(config, params, series)
    return params


def in_model_space(model, key, index):
    one = jax.jit(sampler(model.config, model.layout.shape))
    return one({"params": model.params, "key": key}, jnp.int32(index))
