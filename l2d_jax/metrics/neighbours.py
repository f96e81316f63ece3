"""Exact nearest neighbours among many points, by blocks of the distance matrix.

Which points are near is read off |x|^2 + |y|^2 - 2 x y, a matrix product in float64.
It loses what is small against |x|^2, so how near they are is computed anew from the
differences of the few nearest: a copy lies at distance 0 exactly. So is what lies too
near to the rim of a ball to tell.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from l2d_jax.types import InputError

BLOCK_SIZE = 2048  # rows and columns of a block: 32 MB, a few of which are held
SPARE = 3  # neighbours beyond the k nearest whose distance is computed anew
ROUNDING = 1e-12  # of |x|^2 + |y|^2: well above what the matrix product loses
MAX_CENTRED = 2048  # rows whose median is the origin


class Neighbours(NamedTuple):
    """The k nearest of each point, nearest first."""

    distances: Float[np.ndarray, "N k"]  # Euclidean, float64
    indices: Int[np.ndarray, "N k"]


def nearest(
    a: Float[np.ndarray, "N d"],
    b: Float[np.ndarray, "M d"],
    k: int = 1,
    *,
    exclude_self: bool = False,
    block_size: int = BLOCK_SIZE,
) -> Neighbours:
    """The k rows of b nearest to each row of a.

    `exclude_self`: a and b are the same set, and row i is no neighbour of row i; a
    copy of it elsewhere is one. Between neighbours at one distance, which are named
    is open. The same holds where squared distances differ by less than some 1e-14 of
    the squared norm: a copy is missed only where more than `SPARE` others lie as near
    as that, and it is then reported at such a distance.

    Memory: a few blocks of block_size^2 and of block_size x d, whatever N and M.

    Raises:
      InputError: b has fewer than k rows to choose from.
    """
    num_others = len(b) - exclude_self
    if not 1 <= k <= num_others:
        raise InputError(
            f"k={k} neighbours of {num_others} points: use 1 to {num_others}, "
            "or give more points"
        )
    num_kept = min(k + SPARE, num_others)
    best = np.full((len(a), num_kept), np.inf)
    indices = np.zeros((len(a), num_kept), np.int64)
    for rows, columns, squared, _ in squared_distances(a, b, block_size=block_size):
        if exclude_self:
            row, column = np.ogrid[rows, columns]
            squared[row == column] = np.inf
        if columns.start == 0:
            column = smallest(squared, num_kept)
            row = np.broadcast_to(np.arange(len(squared))[:, None], column.shape)
        else:  # few: only what is nearer than the farthest that is kept
            row, column = np.nonzero(squared < best[rows, -1:])
        found = squared[row, column], column + columns.start
        best[rows], indices[rows] = merged(row, *found, best[rows], indices[rows])
    distances = np.empty((len(a), num_kept))
    for rows in blocks(len(a), block_size):
        for rank in range(num_kept):
            distances[rows, rank] = lengths(
                a[rows].astype(np.float64) - b[indices[rows, rank]]
            )
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    return Neighbours(
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(indices, order, axis=1),
    )


def merged(
    row: Int[np.ndarray, "*found"],
    values: Float[np.ndarray, "*found"],
    columns: Int[np.ndarray, "*found"],
    best: Float[np.ndarray, "n kept"],
    indices: Int[np.ndarray, "n kept"],
) -> tuple[Float[np.ndarray, "n kept"], Int[np.ndarray, "n kept"]]:
    """The smallest of each row, sorted: of `best` and of what was found in it now."""
    n, k = best.shape
    row = np.concatenate([np.repeat(np.arange(n), k), row.ravel()])
    values = np.concatenate([best.ravel(), values.ravel()])
    columns = np.concatenate([indices.ravel(), columns.ravel()])
    order = np.lexsort((values, row))
    first = np.searchsorted(row, np.arange(n), sorter=order)
    kept = order[first[:, None] + np.arange(k)]
    return values[kept], columns[kept]


def count_balls(
    points: Float[np.ndarray, "N d"],
    centres: Float[np.ndarray, "M d"],
    radii: Float[np.ndarray, " M"],
    *,
    block_size: int = BLOCK_SIZE,
) -> Int[np.ndarray, " N"]:
    """In how many of the balls around `centres` each point lies, their rims included.

    The rims belong to them by 1e-15 of the radius: rounding doesn't put outside the
    very neighbour that a radius was measured to.
    """
    counts, rims = np.zeros(len(points), np.int64), radii * (1.0 + 1e-15)
    for rows, columns, squared, norms in squared_distances(
        points, centres, block_size=block_size
    ):
        beyond = squared - np.square(radii[columns])[None, :]
        norms *= ROUNDING
        counts[rows] += (beyond < -norms).sum(axis=1)
        row, column = np.nonzero(np.abs(beyond) <= norms)  # told by the differences
        for some in blocks(len(row), block_size):
            i, j = row[some] + rows.start, column[some] + columns.start
            inside = lengths(points[i].astype(np.float64) - centres[j]) <= rims[j]
            counts += np.bincount(i[inside], minlength=len(points))
    return counts


def squared_distances(
    a: Float[np.ndarray, "N d"], b: Float[np.ndarray, "M d"], *, block_size: int
) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Blocks of |x|^2 + |y|^2 - 2 x y: rows, columns, values, and |x|^2 + |y|^2.

    x and y are a and b without the median of b, per coordinate and of some rows: one
    far outlier among them doesn't move it. In float64, up to `ROUNDING`.
    """
    some = b[:: math.ceil(len(b) / MAX_CENTRED)]
    centre = np.median(some.astype(np.float64), axis=0)[None, :]
    for rows in blocks(len(a), block_size):
        x = a[rows] - centre
        for columns in blocks(len(b), block_size):
            y = b[columns] - centre
            norms = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None]
            squared = x @ (-2.0 * y).T
            squared += norms
            yield rows, columns, squared, norms


def blocks(size: int, block_size: int) -> Iterator[slice]:
    """0..size-1, `block_size` at a time."""
    for start in range(0, size, block_size):
        yield slice(start, min(start + block_size, size))


def smallest(values: Float[np.ndarray, "n m"], k: int) -> Int[np.ndarray, "n kept"]:
    """Columns of the k smallest of each row, in any order; all where m <= k."""
    if values.shape[1] <= k:
        return np.tile(np.arange(values.shape[1]), (len(values), 1))
    return np.argpartition(values, k - 1, axis=1)[:, :k]


def lengths(rows: Float[np.ndarray, "N d"]) -> Float[np.ndarray, " N"]:
    """Euclidean norm of each row."""
    return np.sqrt(np.einsum("nd,nd->n", rows, rows))
