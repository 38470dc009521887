"""One pass over all blocks of data, which checks them and collects their sizes, targets, weights and scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .rules import Rules

Array = NDArray[Any]


@dataclass(frozen=True)
class Survey:
    """Facts about some blocks of data, which can be merged.

    Parameters
    ----------
    lengths : tuple of int
        Number of samples of each block.
    total_weight : float
        Sum of the weights.
    examples : ndarray or None
        Targets that represent all others: the labels, the extremes of numbers, or some rows of 0 and 1. None if
        there are no samples.
    label_totals : ndarray or None
        Total weight of each of the labels.
    scales : ndarray of shape (d,) or None
        Largest absolute value of each column of X.
    hashes : tuple of tuple of str
        Hashes of X, y and weight of each block, if requested.
    dtypes : frozenset of str
        Types of the inputs.
    """

    lengths: tuple[int, ...]
    total_weight: float = 0.0
    examples: Array | None = None
    label_totals: Array | None = None
    scales: Array | None = None
    hashes: tuple[tuple[str, ...], ...] = ()
    dtypes: frozenset[str] = frozenset()


def survey_block(block: Sequence[Any], shared: tuple[Rules, bool]) -> Survey:
    """Check one block of data, (X, y, weight), and return the facts about it.

    Raises
    ------
    ValueError
        If the block fails a check of data in memory, or its arrays have different numbers of rows.
    """
    rules, hashes = shared
    X, y, weight = block
    lengths = {len_of(each) for each in block if each is not None}
    if len(lengths) > 1:
        raise ValueError(
            f"`X`, `y` and `sample_weight` must have the same rows in every chunk; got a chunk of {sorted(lengths)} "
            "rows. Call compute_chunk_sizes() on all of them, so that they can be rechunked"
        )
    if not len_of(X):
        return Survey((0,), hashes=(("", "", ""),) if hashes else ())
    X, y, weight = rules.checked(X, y, weight)
    n = X.shape[0]
    examples, totals = _examples(rules, y, weight)
    total = float(n if weight is None else weight.sum(dtype=float))
    scales = abs(X).max(axis=0).toarray().ravel() if sparse.issparse(X) else np.abs(X).max(axis=0)
    hashed = (tuple(joblib.hash(each) for each in (X, y, weight)),) if hashes else ()
    return Survey((n,), total, examples, totals, scales, hashed, frozenset({X.dtype.name}))


def merged(surveys: Sequence[Survey]) -> Survey:
    """Return the survey of all blocks together."""
    filled = [survey for survey in surveys if survey.examples is not None]
    lengths = tuple(n for survey in surveys for n in survey.lengths)
    hashes = tuple(text for survey in surveys for text in survey.hashes)
    if not filled:
        return Survey(lengths, hashes=hashes)
    examples, totals = _merged_examples(filled)
    return Survey(
        lengths,
        sum(survey.total_weight for survey in filled),
        examples,
        totals,
        np.max([survey.scales for survey in filled if survey.scales is not None], axis=0),
        hashes,
        frozenset().union(*(survey.dtypes for survey in filled)),
    )


def len_of(array: Any) -> int:
    """Return the number of rows, also of a sparse array."""
    return int(array.shape[0])


def _examples(rules: Rules, y: Array, weight: Array | None) -> tuple[Array, Array | None]:
    if not rules.has_labels:
        return np.stack([y.min(axis=0), y.max(axis=0)]), None
    if y.ndim == 2:
        return y[:1], None
    labels, codes = np.unique(y, return_inverse=True)
    return labels, np.bincount(codes, weight, len(labels)).astype(float)


def _merged_examples(surveys: Sequence[Survey]) -> tuple[Array, Array | None]:
    everything = np.concatenate([survey.examples for survey in surveys])  # type: ignore[misc]
    if surveys[0].label_totals is not None:
        labels, codes = np.unique(everything, return_inverse=True)
        weights = np.concatenate([survey.label_totals for survey in surveys])  # type: ignore[misc]
        return labels, np.bincount(codes, weights, len(labels))
    if len(everything) == 2 * len(surveys):
        return np.stack([everything.min(axis=0), everything.max(axis=0)]), None
    return everything[:1], None
