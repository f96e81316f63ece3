"""The public data sets: catalogued, fetched, parsed, and kept as TFDS builders."""
