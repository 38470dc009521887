"""Averages over Gaussian outputs: probabilities, and the curvature of a loss expected under the posterior."""

from functools import lru_cache

import numpy as np
from scipy.special import ndtri, softmax
from scipy.stats import qmc

from qnewton_sk.nets import Loss, Network, Objective

LOG2_POINTS = 8
"""Logarithm of the number of points of an average. With 256, the probabilities of 2 to 60 classes are within 0.004 of
those of 100,000 draws where the outputs have a standard deviation of 1, and within 0.03 where it is 100; 256 draws are
two to six times as far off."""


MAX_VARIANCE = 1e150
"""Maximum covariance of outputs. Beyond it, as for inputs of 1e200, they are taken as independent with this variance,
from which every class is as likely."""


class OutputCurvature(Loss):
    """A loss of which only the Hessian in the outputs is known: its targets are that matrix, sample by sample.

    With it, every Gauss-Newton matrix can be assembled with another curvature than that at the outputs themselves.
    """

    name, has_diagonal_hessian = "output_curvature", False

    def value(self, z, y):
        """Return zeros: nothing but the curvature has a meaning."""
        return np.zeros(len(z), z.dtype)

    def gradient(self, z, y, p=None):
        """Return zeros, as `value`."""
        return np.zeros_like(z)

    def hessian(self, z, y, p=None):
        """Return the targets, of shape (n, K^2), as matrices of shape (n, K, K)."""
        return y.reshape(len(y), z.shape[1], z.shape[1])


@lru_cache(maxsize=8)
def normal_points(dimension):
    """Return points of shape (2^`LOG2_POINTS`, dimension) whose averages are close to those over N(0, I).

    A Sobol sequence, moved to the centres of its cells so that every coordinate has the quantiles of a normal
    distribution: the same points in every process, and more accurate than as many draws (Owen 2003, "Quasi-Monte
    Carlo sampling").
    """
    cells = qmc.Sobol(dimension, scramble=False).random_base2(LOG2_POINTS)
    points = ndtri(cells + 0.5 / len(cells))
    points.flags.writeable = False  # it is kept for all callers
    return points


def gaussian_points(mean, covariance):
    """Yield arrays of shape (n, K), equally weighted, whose averages are close to those over N(mean, covariance).

    The symmetric root of each covariance is taken, since it is unique and exists for singular ones.
    """
    values, vectors = np.linalg.eigh(_bounded(covariance))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.swapaxes(1, 2)
    for point in normal_points(mean.shape[1]):
        yield mean + root @ point


def _bounded(covariance):
    """Return the covariances without those that exceed `MAX_VARIANCE` or are not finite."""
    extreme = ~(np.abs(covariance).max(axis=(1, 2)) <= MAX_VARIANCE)
    if not extreme.any():
        return covariance
    limit = MAX_VARIANCE * np.eye(covariance.shape[1])
    return np.where(extreme[:, None, None], limit, covariance)


def without_shifts(mean, covariance):
    """Return mean and covariance of the outputs less their mean: what a softmax depends on."""
    covariance = _bounded(covariance)
    of_rows = covariance - covariance.mean(axis=1, keepdims=True)
    centred = of_rows - of_rows.mean(axis=2, keepdims=True)
    return mean - mean.mean(axis=1, keepdims=True), centred


def averaged_softmax(mean, covariance):
    """Return softmax(z), averaged over z from N(mean, covariance), shape (n, K)."""
    total = np.zeros_like(mean)
    for z in gaussian_points(*without_shifts(mean, covariance)):
        total += softmax(z, axis=1)
    return total / 2**LOG2_POINTS


def expected_curvature(loss, mean, covariance):
    """Return the loss's Hessian in the outputs, averaged over N(mean, covariance), shape (n, K, K).

    The Hessian must not depend on the targets.
    """
    total, targets = np.zeros_like(covariance), np.zeros_like(mean)
    if loss.is_shift_invariant:
        mean, covariance = without_shifts(mean, covariance)
    for z in gaussian_points(mean, covariance):
        total += loss.full_hessian(z, targets)
    return total / 2**LOG2_POINTS


def expected_objective(part, posterior):
    """Return an objective whose Gauss-Newton matrix is that of `part` expected under a posterior.

    Parameters
    ----------
    part : Objective
        The data, or a part of them, whose loss has a Hessian that does not depend on its targets.
    posterior : Posterior
        What the outputs are distributed by.

    Returns
    -------
    Objective
        Of the same net and data; only its curvature has a meaning.
    """
    network = part.network
    curvature = expected_curvature(network.loss, *posterior.covariances(network, part.X))
    net = Network(network.widths, network.activations, OutputCurvature())
    targets = curvature.reshape(len(curvature), -1).astype(part.dtype)
    same = dict(chunk_bytes=part.chunk_bytes, dtype=part.dtype, total_weight=part.total_weight)
    return Objective(net, part.X, targets, part.weight, **same)
