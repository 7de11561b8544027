"""Hashed features as the matrices that scikit-learn wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scipy.sparse import csr_matrix, vstack

from monitor.scoring.features import Hashed

CHUNK = 256
"""Texts that are hashed at once."""


def matrix(hashed: Hashed, texts: int, buckets: int) -> csr_matrix:
    """Texts x buckets."""
    return csr_matrix((hashed.value, (hashed.text, hashed.bucket)), shape=(texts, buckets), dtype="float32")


def stacked(extract: Callable[[Sequence[str]], Hashed], texts: Sequence[str], buckets: int) -> csr_matrix:
    """The features of all texts."""
    chunks = [texts[begin : begin + CHUNK] for begin in range(0, len(texts), CHUNK)]
    return vstack([matrix(extract(chunk), len(chunk), buckets) for chunk in chunks], format="csr")
