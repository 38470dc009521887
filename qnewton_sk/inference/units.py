"""Targets in units of their own spread, so that no step and no tolerance of a search depends on the user's units."""

from dataclasses import dataclass, replace

import numpy as np

from qnewton_sk.nets import Objective

from .laplace import Penalties


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
