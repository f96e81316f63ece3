"""l2d_jax: latent-to-data cascaded diffusion for time series, in JAX.

Three nouns: `fit` or `load` a model, `sample` from it, `evaluate` the samples.
"""

from l2d_jax import configs, data, metrics, run
from l2d_jax.cascade import Cascade
from l2d_jax.deploy import export
from l2d_jax.metrics import evaluate
from l2d_jax.run import fit
from l2d_jax.types import InputError
from l2d_jax.workdir import load

__version__ = "0.3.0"
__all__ = [
    "Cascade",
    "InputError",
    "configs",
    "data",
    "evaluate",
    "export",
    "fit",
    "load",
    "metrics",
    "run",
]
