"""Why layers.Conv1D is a sum of shifted products: convolutions in a scan on CPU.

    python benchmarks/conv_in_scan.py

Four layers, batch 128, length 24, width 64, forward and backward, milliseconds a step:
the primitive and ours, outside a scan and inside one. Medians of five, in one process.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from l2d_jax.layers import Conv1D

BATCH, LENGTH, WIDTH, LAYERS, STEPS = 128, 24, 64, 4, 10


def ours(kernel, x):
    params = {"params": {"kernel": kernel, "bias": jnp.zeros(WIDTH)}}
    return jax.vmap(lambda one: Conv1D(WIDTH).apply(params, one))(x)


def primitive(kernel, x):
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )


def make_step(convolve):
    def loss(kernels, x):
        for kernel in kernels:
            x = jnp.tanh(convolve(kernel, x))
        return jnp.square(x).mean()

    def step(kernels, x):
        return kernels - 0.1 * jax.grad(loss)(kernels, x)

    return step


def milliseconds(program, *args, steps: int) -> float:
    jax.block_until_ready(program(*args))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(program(*args))
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / steps


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    kernels = 0.05 * jax.random.normal(jax.random.key(0), (LAYERS, 3, WIDTH, WIDTH))
    x = jax.random.normal(jax.random.key(1), (BATCH, LENGTH, WIDTH))
    xs = jnp.broadcast_to(x[None], (STEPS, *x.shape))
    for name, convolve in (("primitive", primitive), ("Conv1D", ours)):
        step = make_step(convolve)
        alone = milliseconds(jax.jit(step), kernels, x, steps=1)

        def scanned(kernels, xs, step=step):
            return jax.lax.scan(lambda k, x: (step(k, x), None), kernels, xs)[0]

        inside = milliseconds(jax.jit(scanned), kernels, xs, steps=STEPS)
        print(f"{name:10} outside a scan {alone:7.1f} ms, inside {inside:7.1f} ms")


if __name__ == "__main__":
    main()
