"""The scales of the data: units of the targets, and penalties to start from, so that no search depends on units."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from qnewton_sk.nets import Objective

from .laplace import Penalties

RANGE = 1e8
"""Factor by which a penalty may leave its scale, either way: a group at the end has no parameter left, or none that
is penalised."""

MIN_NOISE = 1e-10
"""Smallest noise variance relative to that of the targets: the residuals of a fit to 1e-5 of their spread, below
which rounding in the curvature decides."""


@dataclass(frozen=True)
class TargetUnits:
    """y = centre + scale y', for squared errors; the outputs of a net follow by its last layer alone.

    Parameters
    ----------
    centre : ndarray of shape (K,)
        Mean of each target.
    scale : float
        Standard deviation of all targets together, since they share one noise level.
    """

    centre: np.ndarray
    scale: float = 1.0

    @classmethod
    def of(cls, objective):
        """Return the units of the targets of an objective; other losses than squared errors keep theirs."""
        y, weight = np.asarray(objective.targets, float), objective.weight
        if not objective.network.loss.is_sum_of_squares:
            return cls(np.zeros(y.shape[1]))
        centre = np.average(y, axis=0, weights=weight)
        variance = float(np.average((y - centre) ** 2, axis=0, weights=weight).mean())
        # rounding leaves a constant a variance of its own
        negligible = (np.finfo(objective.dtype).eps * np.abs(centre).max()) ** 2
        return cls(centre, float(np.sqrt(variance)) if variance > negligible else 1.0)

    def objective(self, objective):
        """Return the objective with targets in these units, without a penalty."""
        y = ((objective.targets - self.centre) / self.scale).astype(objective.dtype)
        same = objective.network, objective.X, y, objective.weight
        return Objective(*same, chunk_bytes=objective.chunk_bytes, dtype=objective.dtype)

    def theta_from_user(self, network, theta):
        """Return the parameters of the net in these units."""
        theta = theta.copy()
        last = network.layers(theta)[-1]
        last[-1] -= self.centre
        last /= self.scale
        return theta

    def theta_to_user(self, network, theta):
        """Return the parameters of the net in the user's units."""
        theta = theta.copy()
        last = network.layers(theta)[-1]
        last *= self.scale
        last[-1] += self.centre
        return theta

    def penalties_from_user(self, groups, penalties):
        """Return penalties in these units."""
        return self._penalties(groups, penalties, self.scale**2)

    def progress_to_user(self, network, progress):
        """Return the progress with parameters and losses in the user's units."""
        steps = tuple(replace(step, loss=step.loss * self.scale**2) for step in progress.steps)
        theta = self.theta_to_user(network, progress.theta)
        return replace(progress, theta=theta, loss=progress.loss * self.scale**2, steps=steps)

    def evidence_to_user(self, objective, evidence):
        """Return the evidence in the user's units: a density of n K targets, and a flat prior of the intercepts."""
        observations = objective.total_weight * objective.targets.shape[1]
        return replace(
            evidence,
            theta=self.theta_to_user(objective.network, evidence.theta),
            penalties=self._penalties(evidence.groups, evidence.penalties, self.scale**-2),
            log_evidence=evidence.log_evidence - (observations - evidence.flat) * float(np.log(self.scale)),
        )

    @staticmethod
    def _penalties(groups, penalties, factor):
        alpha = penalties.alpha.copy()
        alpha[list(groups.layers[-1])] *= factor
        return Penalties(alpha, penalties.beta * factor)


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
