"""Penalties that a search for the evidence starts from, on the scale of the data."""

import numpy as np
from scipy import sparse

from .laplace import Penalties

RANGE = 1e8
"""Factor by which a penalty may leave its scale, either way: a group at the end has no parameter left, or none that
is penalised."""

MIN_NOISE = 1e-10
"""Smallest noise variance relative to that of the targets: the residuals of a fit to 1e-5 of their spread, below
which rounding in the curvature decides."""


def natural_penalties(objective, groups):
    """Return the scale of the penalties: where prior and data are of the same strength in one unit of variance.

    Weights of the first layer are measured by the variances of their inputs, those of the last one by that of
    the targets, so that a fit does not depend on the units of either.

    Parameters
    ----------
    objective : Objective
        Data and net.
    groups : Groups
        Which parameters share a penalty.

    Returns
    -------
    Penalties
        `beta` is one over the variance of the targets, all outputs together, for squared errors.
    """
    weight = np.ones(objective.n_samples) if objective.weight is None else objective.weight
    share = np.asarray(weight, float) / np.sum(weight, dtype=float)
    alpha, beta = np.ones(groups.count), 1.0
    spread = _variances(objective.X, share)
    overall = spread.mean() or 1.0
    alpha[list(groups.layers[0])] = np.where(spread > 0, spread, overall) if groups.inputs else overall
    if objective.network.loss.is_sum_of_squares:
        variance = float(_variances(objective.targets, share).mean()) or 1.0
        beta = 1 / variance
        alpha[list(groups.layers[-1])] *= beta
    return Penalties(alpha, beta)


def _variances(X, share):
    """Return the weighted variance of each column."""
    if sparse.issparse(X):
        mean = X.T @ share
        return np.maximum(X.multiply(X).T @ share - mean**2, 0.0)
    X = np.asarray(X, float)
    return share @ (X - share @ X) ** 2
