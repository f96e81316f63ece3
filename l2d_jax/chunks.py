"""Rows taken some at a time, so that memory doesn't grow with how many there are."""

import math
import zlib
from collections.abc import Iterable, Iterator
from functools import reduce

VALUES = 1 << 21  # of a chunk: 16 MB in float64


def slices(shape: tuple[int, ...]) -> Iterator[slice]:
    """Of the first axis, in order: rows of `VALUES` values in all, or a single one.

    >>> [*slices((5, VALUES // 2))]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    num_rows = max(VALUES // max(math.prod(shape[1:]), 1), 1)
    for start in range(0, shape[0], num_rows):
        yield slice(start, start + num_rows)


def crc32(parts: Iterable[bytes]) -> int:
    """The checksum of all parts, one after the other."""
    return reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
