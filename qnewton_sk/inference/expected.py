"""Averages over Gaussian outputs: probabilities, and the curvature of a loss expected under the posterior."""

from functools import lru_cache

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import qmc
from sklearn.utils import gen_batches

from qnewton_sk.nets import Loss

LOG2_POINTS = 9
"""Logarithm of the number of points of an average. With 512, the probabilities of 3 to 60 classes are within 0.003 of
those of 500,000 draws where the outputs have a standard deviation of 1, and within 0.02 where it is 10 or 100; classes
that are equally likely may differ by as much."""

WIDE, WIDE_LOGISTIC = 20.0, 5.0
"""Standard deviations of the outputs from which on the expected curvature of a softmax is taken to fall as their
inverse, since it comes from the neighbourhood of the boundaries between classes, and from which on that of a logistic
output is averaged over logistic quantiles."""

MAX_SIZE = 1e150
"""Maximum standard deviation of outputs that is averaged over; beyond it, all classes are taken as equally likely."""

CHUNK_BYTES = 2**24
"""Memory for the covariances of the samples whose curvatures are averaged at a time."""

PROBABILITY_BYTES = 2**21
"""Memory for the outputs of some samples at all points; a few arrays of that size fit into a cache."""


class OutputCurvature(Loss):
    """A loss of which only the Hessian in the outputs is known: its targets are that matrix, sample by sample.

    With it, every Gauss-Newton matrix can be assembled with another curvature than that at the outputs themselves.

    Parameters
    ----------
    diagonal : bool
        Whether the targets are the diagonal, of shape (n, K), or the matrix, of shape (n, K^2).
    """

    name = "output_curvature"

    def __init__(self, diagonal):
        self.has_diagonal_hessian = diagonal

    def value(self, z, y):
        """Return zeros: nothing but the curvature has a meaning."""
        return np.zeros(len(z), z.dtype)

    def gradient(self, z, y, p=None):
        """Return zeros, as `value`."""
        return np.zeros_like(z)

    def hessian(self, z, y, p=None):
        """Return the targets."""
        return y if self.has_diagonal_hessian else y.reshape(len(y), z.shape[1], z.shape[1])


@lru_cache(maxsize=8)
def normal_points(dimension):
    """Return points of shape (2^`LOG2_POINTS`, dimension) whose averages are close to those over N(0, I).

    A Sobol sequence at the centres of its cells, so that every coordinate has the quantiles of a normal distribution:
    the same points in every process, and more accurate than as many draws (Owen 2003, "Quasi-Monte Carlo sampling").

    Examples
    --------
    >>> from qnewton_sk.inference.expected import normal_points
    >>> normal_points(3).shape
    (512, 3)
    """
    cells = qmc.Sobol(dimension, scramble=False).random_base2(LOG2_POINTS)
    points = ndtri(cells + 0.5 / len(cells))
    points.flags.writeable = False  # it is kept for all callers
    return points


def log_averaged_softmax(mean, covariance):
    """Return the logarithm of softmax(z), averaged over z from N(mean, covariance), shape (n, K).

    Where all the probabilities underflow, it is that of the largest of them over their number: a lower bound.

    Parameters
    ----------
    mean : ndarray of shape (n, K)
        Raw outputs.
    covariance : ndarray of shape (n, K, K)
        Their covariances.
    """
    out = np.empty(mean.shape)
    for rows in gen_batches(len(mean), _batch_size(mean.shape[1] * 2**LOG2_POINTS, PROBABILITY_BYTES)):
        centre, root, _ = _softmax_roots(mean[rows], covariance[rows], MAX_SIZE)
        z, p, total = _softmax_at_points(centre, root)
        average = p.mean(axis=2)
        underflown = average < np.finfo(float).tiny
        largest = (z - np.log(total)).max(axis=2) - np.log(z.shape[2]) if underflown.any() else average
        out[rows] = np.where(underflown, largest, np.log(np.where(underflown, 1.0, average)))
    return out


def expected_softmax_curvature(mean, covariance):
    """Return the Hessian of the softmax's cross-entropy, averaged over N(mean, covariance), shape (n, K, K)."""
    out = np.empty(covariance.shape)
    for rows in gen_batches(len(mean), _batch_size(mean.shape[1] * 2**LOG2_POINTS, PROBABILITY_BYTES)):
        centre, root, size = _softmax_roots(mean[rows], covariance[rows], WIDE)
        _, p, _ = _softmax_at_points(centre, root)
        H = -(p @ p.swapaxes(1, 2)) / p.shape[2]
        np.einsum("nkk->nk", H)[...] = 0.0
        np.einsum("nkk->nk", H)[...] = -H.sum(axis=1)  # p (1 - p) without cancellation: rows sum to zero
        out[rows] = H * (WIDE / np.maximum(size, WIDE))[:, None, None]
    return out


def _softmax_at_points(centre, root):
    """Return outputs less the largest of each point, their softmax, both (n, K, points), and the exponentials' sums."""
    z = root @ normal_points(centre.shape[1]).T
    z += centre[:, :, None]
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    return z, p, total


def expected_logistic_curvature(mean, variance):
    """Return p (1 - p) for logistic outputs, averaged over N(mean, variance); all of shape (n, K).

    p (1 - p) is the density of a logistic distribution, so that the average is also that of a normal density over
    logistic quantiles, which is accurate where the variance is large.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.inference.expected import expected_logistic_curvature
    >>> expected_logistic_curvature(np.array([[0.0]]), np.array([[0.0]]))
    array([[0.25]])
    """
    quantiles = (np.arange(2**LOG2_POINTS) + 0.5) / 2**LOG2_POINTS
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.sqrt(np.clip(np.nan_to_num(variance, nan=MAX_SIZE), 0.0, MAX_SIZE))
    wide = deviation > WIDE_LOGISTIC
    narrow_deviation, wide_deviation = np.where(wide, 0.0, deviation), np.where(wide, deviation, 1.0)
    narrow, broad = np.zeros(mean.shape), np.zeros(mean.shape)
    for normal, logistic in zip(ndtri(quantiles), logit(quantiles)):
        z = mean + narrow_deviation * normal
        narrow += expit(z) * expit(-z)
        broad += np.exp(-0.5 * ((logistic - mean) / wide_deviation) ** 2)
    broad /= np.sqrt(2 * np.pi) * wide_deviation
    return np.where(wide, broad, narrow) / len(quantiles)


def expected_objective(part, posterior):
    """Return an objective whose Gauss-Newton matrix is that of `part` expected under a posterior.

    Parameters
    ----------
    part : Objective
        The data, or a part of them, with a loss of probabilities.
    posterior : Posterior
        The distribution of the outputs.

    Returns
    -------
    Objective
        Of the same net and data; only its curvature has a meaning.
    """
    K, diagonal = part.network.widths[-1], part.network.loss.has_diagonal_hessian
    targets = np.empty((part.n_samples, K if diagonal else K * K), part.dtype)
    for rows in gen_batches(part.n_samples, _batch_size(K * K, CHUNK_BYTES)):
        mean, covariance = posterior.covariances(part.network, part.X[rows])
        mean = mean.astype(float)
        if diagonal:
            targets[rows] = expected_logistic_curvature(mean, np.einsum("nkk->nk", covariance))
        else:
            targets[rows] = expected_softmax_curvature(mean, covariance).reshape(-1, K * K)
    return part.with_loss(OutputCurvature(diagonal), targets)


def _softmax_roots(mean, covariance, limit):
    """Return mean and symmetric root of the covariance of the outputs less their mean, and their size.

    A softmax depends on these alone. The root is the symmetric one, since it is unique and exists for singular
    matrices. The size is the largest standard deviation; mean and root are scaled down to `limit` if it is larger, or
    zero where it is not finite, so that all classes are equally likely.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        covariance, mean = covariance.astype(float), mean.astype(float)
        of_rows = covariance - covariance.mean(axis=1, keepdims=True)
        centred = of_rows - of_rows.mean(axis=2, keepdims=True)
        centre = mean - mean.mean(axis=1, keepdims=True)
        variances = np.einsum("nkk->nk", centred)
        size = np.sqrt(np.maximum(variances.max(axis=1), 0.0))
        known = (size <= MAX_SIZE) & np.isfinite(centred).all(axis=(1, 2))
        scale = np.where(known, limit / np.maximum(size, limit), 0.0)
        centred = np.where(known[:, None, None], centred, 0.0) * (scale**2)[:, None, None]
        centre = np.where((scale > 0)[:, None], centre, 0.0) * scale[:, None]
    values, vectors = np.linalg.eigh(centred)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.swapaxes(1, 2)
    return centre, root, np.where(known, size, MAX_SIZE)


def _batch_size(numbers, limit):
    """Return how many samples of so many numbers fit into so many bytes."""
    return max(limit // (8 * numbers), 1)
