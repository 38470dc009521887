"""Data in the memory of this process, or mapped into it from a file."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qnewton_sk.machine import even_slices
from qnewton_sk.nets import CHUNK_BYTES, Network, Objective

from .duplicates import distinct_samples
from .rules import Rules

Array = NDArray[Any]

MIN_MAPPED_BYTES = 2**28
"""Minimum size of a memory map that is processed in pieces and never copied as a whole. A smaller one is cheap to
copy, and joblib passes such maps to its workers, whose fits must equal those on the arrays to the last bit."""

PIECE_BYTES = 2**24
"""Maximum size of a temporary copy of some rows, in bytes."""


def is_mapped(X: Any) -> bool:
    """Return whether X is a view of a large file that is mapped into memory."""
    if not isinstance(X, np.ndarray) or X.nbytes < MIN_MAPPED_BYTES:
        return False
    base: Any = X
    while base is not None:
        if isinstance(base, (np.memmap, mmap.mmap)):
            return True
        base = getattr(base, "base", None)
    return False


def check_mapped(X: Any, splits: bool) -> None:
    """Refuse a large memory map that would have to be copied as a whole.

    Parameters
    ----------
    X : object
        What the user has passed as X.
    splits : bool
        Whether the samples are split for early stopping.

    Raises
    ------
    ValueError
        If the map would have to be converted to another type or split; the message says what to do instead.
    """
    if not is_mapped(X):
        return
    if X.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"`X` must be float32 or float64 if it is a large memory map, since the whole would be converted; "
            f"got {X.dtype}. Write it to a file as float32, or pass dask.array.from_array(X)"
        )
    if splits:
        raise ValueError(
            "`early_stopping` must be False if X is a large memory map and there is no validation set, since the split "
            "would copy it; got True. Pass X_val and y_val"
        )


class MemoryData:
    """Checked inputs, encoded targets and weights of a fit.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n, d)
        Inputs.
    y : ndarray of shape (n,) or (n, K)
        Targets.
    weight : ndarray of shape (n,) or None
        Weights of the samples.
    rules : Rules
        How targets are encoded.

    Attributes
    ----------
    examples : ndarray
        Targets that represent all others; here these are all targets.
    identity : dict
        What distinguishes these data from others, for a checkpoint.
    """

    def __init__(self, X: Any, y: Array, weight: Array | None, rules: Rules):
        self.X, self.y, self.weight, self.rules = X, y, weight, rules
        self.n_samples, self.n_features = X.shape
        self.dtype, self.examples = X.dtype, y
        self.identity = {"X": X, "y": y, "sample_weight": weight}
        self._targets: Array | None = None

    @property
    def targets(self) -> Array:
        """Encoded targets of shape (n, K)."""
        if self._targets is None:
            self._targets = self.rules.encode(self.y, self.dtype)
        return self._targets

    @property
    def n_outputs(self) -> int:
        """The number K of outputs of the net."""
        return self.targets.shape[1]

    @property
    def total_weight(self) -> float:
        """The sum of the weights of the samples."""
        return float(self.n_samples if self.weight is None else self.weight.sum(dtype=float))

    @property
    def largest_target(self) -> float:
        """The largest absolute value of an encoded target."""
        return float(np.abs(self.targets).max())

    def class_totals(self, classes: Array) -> Array:
        """Return the total weight of each class, for targets of one label per sample."""
        assert self.rules.codes is not None
        codes = self.rules.codes(self.targets)
        ones = np.ones(len(codes), self.dtype) if self.weight is None else self.weight
        return np.bincount(codes, ones, len(classes))

    def rows(self, indices: Array) -> "MemoryData":
        """Return some of the samples."""
        weight = None if self.weight is None else self.weight[indices]
        return MemoryData(self.X[indices], self.y[indices], weight, self.rules)

    def objective(self, network: Network, alpha: Any, factors: Array | None, *, merges: bool) -> Objective:
        """Return the training objective.

        Parameters
        ----------
        network : Network
            The net.
        alpha : float or ndarray of shape (n_params,)
            L2 penalty.
        factors : ndarray of shape (n_classes,) or None
            Factors on the weights, by class.
        merges : bool
            Whether to merge equal samples, which mini-batches must not do. Samples of a memory map are never merged.
        """
        X, targets = self.X, self.targets
        weight = self.rules.weighted(targets, self.weight, factors)
        if weight is not None and not weight.any():
            raise ValueError("`sample_weight` must be positive for some sample; got zeros only")
        if is_mapped(X):
            return Objective(network, X, targets, weight, alpha, CHUNK_BYTES, input_bytes=0)
        if merges:
            X, targets, weight = distinct_samples(X, targets, weight)
        elif weight is not None and not weight.all():
            rows = np.flatnonzero(weight)  # a batch with only zero weights would have no mean
            X, targets, weight = X[rows], targets[rows], weight[rows]
        return Objective(network, X, targets, weight, alpha)

    def scales(self) -> Array:
        """Return the largest absolute value of each column of X."""
        if sparse.issparse(self.X):
            return abs(self.X).max(axis=0).toarray().ravel()
        return np.max([np.abs(self.X[rows]).max(axis=0) for rows in self._pieces(self.n_features)], axis=0)

    def output_range(self, network: Network, theta: Array) -> tuple[Array, Array]:
        """Return the smallest and the largest raw output, each of shape (K,)."""
        pieces = self._pieces(sum(network.widths))
        raw = [network.raw(self.X[rows], theta) for rows in pieces]
        return np.min([z.min(axis=0) for z in raw], axis=0), np.max([z.max(axis=0) for z in raw], axis=0)

    def _pieces(self, numbers_per_sample: int) -> Any:
        size = max(1, PIECE_BYTES // (self.dtype.itemsize * numbers_per_sample))
        return even_slices(self.n_samples, -(-self.n_samples // size))
