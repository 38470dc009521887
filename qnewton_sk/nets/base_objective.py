"""What every objective offers: value, gradient, penalty, and sums over the parts that the data lie in."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import gen_even_slices

from .network import Network

Array = NDArray[Any]

MOMENT_BYTES = 2**24
"""Temporary memory for the moments of the data."""


class BaseObjective(ABC):
    """J(theta), a sum over samples plus the L2 penalty.

    The samples lie in one part or in several. `over_parts` and `rows_of_parts` are the only ways in which the loop and
    the curvatures reach them: work goes to where a part lies, and what comes back is added up. An `Objective` is its
    own single part.

    Attributes
    ----------
    network : Network
        The net and its loss.
    n_samples, n_params : int
        Number of samples and of parameters.
    total_weight : float
        The sum of the weights of the samples.
    alpha : float or ndarray of shape (n_params,)
        L2 penalty on the weights of the layers, or of each parameter.
    penalties : ndarray of shape (n_params,)
        What multiplies theta^2 / 2 in J.
    dtype : dtype
        The precision of everything.
    """

    network: Network
    n_samples: int
    n_params: int
    total_weight: float
    alpha: Any
    penalties: Array
    dtype: np.dtype[Any]
    _single: Any
    is_faster_in_single = False
    """Whether gradients take clearly less time in single precision, by the number of operations."""
    shares_penalty = False
    """Whether a batch has its share of the penalty, so that its step minimises the same sum; else it has all of it, as
    in scikit-learn."""

    @abstractmethod
    def over_parts(self, work: Callable[..., float], out: Array | None = None, *arguments: Any) -> float:
        """Call ``work(part, out, *arguments)`` for every part of the data.

        Parameters
        ----------
        work : callable
            ``work(part, out, *arguments) -> float``, a function of a module, since it may run in another process;
            `part` is an `Objective` without penalty, `out` an array like the one given, for the part to add to.
        out : ndarray, default=None
            The array that receives the sum over the parts; None if there is none.
        *arguments : object
            What else `work` takes.

        Returns
        -------
        float
            The sum of what `work` has returned.
        """

    @abstractmethod
    def rows_of_parts(self, make: Callable[..., Array], *arguments: Any) -> Array:
        """Return the arrays ``make(part, *arguments)`` of all parts, one below the other."""

    @abstractmethod
    def batch(self, indices: Array) -> "BaseObjective":
        """Return the objective on some of the samples, normalised by their weights."""

    @abstractmethod
    def single(self) -> "BaseObjective":
        """Return the same objective in single precision, made once."""

    def value(self, theta: Array) -> float:
        """Return J(theta)."""
        with np.errstate(over="ignore", invalid="ignore"):
            penalty = 0.5 * float(theta.dot(self.penalties * theta))
            return self.over_parts(_add_value, None, theta) + penalty

    def value_and_grad(self, theta: Array) -> tuple[float, Array]:
        """Return J(theta) and its gradient of shape (n_params,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = self.penalties * theta
            penalty = 0.5 * float(theta.dot(gradient))
            return self.over_parts(_add_gradient, gradient, theta) + penalty, gradient

    def with_alpha(self, alpha: Any) -> "BaseObjective":
        """Return the objective with another penalty, which shares the data and the passes over them."""
        other = copy.copy(self)
        other.alpha, other._single = alpha, None
        other.penalties = self._penalties_of(alpha)
        return other

    def variances(self) -> tuple[float, float, int]:
        """Return the mean weighted variances of inputs and of targets, and the number of weights above zero."""
        d, K = self.network.widths[0], self.network.widths[-1]
        sums, squares = np.zeros(d + K + 1), np.zeros(d + K)
        self.over_parts(_add_means, sums)
        self.over_parts(_add_squares, squares, sums[:-1])
        return float(squares[:d].mean()), float(squares[d:].mean()), int(sums[-1])

    def _penalties_of(self, alpha: Any) -> Array:
        """Return what multiplies theta^2 / 2 in J, of shape (n_params,)."""
        each = alpha * self.network.penalised if np.ndim(alpha) == 0 else np.asarray(alpha)
        with np.errstate(over="ignore"):  # of a batch of tiny weights, whose objective is then infinite
            return (each / self.total_weight).astype(self.dtype, copy=False)


def _add_value(part: Any, out: None, theta: Array) -> float:
    return part.over_chunks(theta, _value, transient=True)


def _add_gradient(part: Any, out: Array, theta: Array) -> float:
    return part.add_gradient(theta, out)


def _value(p: Any, _: Any) -> float:
    return p.value()


def _add_means(part: Any, means: Array) -> float:
    for X, y, share in _moment_chunks(part):
        means += np.concatenate([X.T @ share, y.T @ share, [np.count_nonzero(share)]])
    return 0.0


def _add_squares(part: Any, squares: Array, means: Array) -> float:
    d = part.network.widths[0]
    for X, y, share in _moment_chunks(part):
        of = _squares_of_sparse if sparse.issparse(X) else _squares_of_dense
        squares += np.concatenate([of(X, share, means[:d]), share @ (y - means[d:]) ** 2])
    return 0.0


def _squares_of_dense(X: Array, share: Array, means: Array) -> Array:
    return share @ (X - means) ** 2


def _squares_of_sparse(X: Any, share: Array, means: Array) -> Array:
    """Return the squares of stored entries and of zeros apart; the difference of two sums could become negative."""
    entries = sparse.coo_array(X)
    distances = share[entries.row] * (entries.data - means[entries.col]) ** 2
    stored = np.bincount(entries.col, distances, minlength=len(means))
    weights = np.bincount(entries.col, share[entries.row], minlength=len(means))
    return stored + np.maximum(share.sum() - weights, 0.0) * means**2


def _moment_chunks(part: Any) -> Iterator[tuple[Any, Array, Array]]:
    """Yield inputs and targets in double precision, with each sample's share of the total weight."""
    n = part.n_samples
    count = -(-n * 8 * part.network.widths[0] // MOMENT_BYTES)
    for rows in gen_even_slices(n, min(max(count, 1), n)):
        size = rows.stop - rows.start
        weight = np.ones(size) if part.weight is None else np.asarray(part.weight[rows], float)
        X = part.X[rows].astype(float) if sparse.issparse(part.X) else np.asarray(part.X[rows], float)
        yield X, np.asarray(part.targets[rows], float), weight / part.total_weight
