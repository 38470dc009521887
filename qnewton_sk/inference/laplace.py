"""The Laplace approximation at given parameters and penalties: log evidence and effective parameters."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from qnewton_sk.curvature import GaussNewton, curvature_rank, jacobian_factors

from .precision import DensePrecision
from .sample_space import SampleSpace


@dataclass(frozen=True)
class Penalties:
    """Hyperparameters: what the evidence is a function of.

    Parameters
    ----------
    alpha : ndarray of shape (n_groups,)
        Precision of the prior of each group's parameters.
    beta : float
        Precision of the noise, 1 / variance; 1.0 for likelihoods without one.
    """

    alpha: np.ndarray
    beta: float = 1.0


@dataclass(frozen=True)
class Laplace:
    """What the Laplace approximation says at one point.

    Parameters
    ----------
    log_evidence : float
        Logarithm of the probability density of the targets, all parameters integrated out.
    effective : ndarray of shape (n_groups,)
        Effective number of parameters of each group, between zero and its size.
    squares : ndarray of shape (n_groups,)
        Sum of squares of each group's parameters.
    deviance : float
        Twice the sum over the samples of the scaled losses: for squared errors, the sum of the squared residuals.
    flat : int
        Parameters without a prior, all of which count as determined.
    """

    log_evidence: float
    effective: np.ndarray
    squares: np.ndarray
    deviance: float
    flat: int


class Local:
    """Objective and curvature of the data at one theta; penalties and noise may then vary at no other pass.

    The curvature is the Gauss-Newton matrix, or the factors of its rows if there are fewer rows than columns.

    Parameters
    ----------
    objective : Objective
        Data and net; its penalty plays no part.
    theta : ndarray of shape (n_params,)
        Where.
    """

    def __init__(self, objective, theta):
        data = objective.with_alpha(0.0)
        outputs = data.network.widths[-1]
        self.objective, self.theta = objective, theta
        self.scale = data.network.loss.likelihood_scale(outputs)
        self.deviance = 2.0 * self.scale * data.total_weight * float(data.value(theta))
        self._layers = self._entries = None
        if data.n_samples * curvature_rank(data.network) < data.n_params:
            self._layers = jacobian_factors(data, theta)
        else:
            self._entries = GaussNewton().blocks(data, theta)[0].matrix.entries().astype(float, copy=False)

    def laplace(self, groups, penalties):
        """Return the `Laplace` for these penalties."""
        log_determinant, effective = self._factorised(groups, penalties)
        with np.errstate(over="ignore"):  # the evidence of parameters whose squares overflow is not finite
            squares, sizes = groups.sums(self.theta.astype(float) ** 2), groups.sizes
        flat = len(self.theta) - int(sizes.sum())
        log_evidence = (
            log_likelihood(self.objective, self.deviance, penalties.beta)
            - 0.5 * float(penalties.alpha @ squares)
            + 0.5 * float(sizes @ np.log(penalties.alpha))
            - 0.5 * log_determinant
            + 0.5 * flat * np.log(2 * np.pi)
        )
        if not np.isfinite(log_evidence):
            raise linalg.LinAlgError("the evidence is not finite")
        effective = np.clip(effective, 0.0, sizes)
        return Laplace(log_evidence, effective, squares, self.deviance, flat)

    def _factorised(self, groups, penalties):
        """Return log det A and the effective number of parameters of each group."""
        prior, network = groups.spread(penalties.alpha), self.objective.network
        scale = penalties.beta * self.scale * self.objective.total_weight
        if self._layers is None:
            precision = DensePrecision(scale * self._entries, prior)
            return precision.log_determinant, groups.sizes - penalties.alpha * groups.sums(
                precision.variances()
            )
        samples = SampleSpace(self._layers, scale, [W[:, 0].copy() for W in network.layers(prior)])
        effective = np.zeros_like(prior)
        for W, determined in zip(network.layers(effective), samples.effective()):
            W[:, 0] = determined
        return samples.log_determinant, groups.sums(effective)


def laplace(objective, theta, groups, penalties):
    """Return the Laplace approximation of the evidence.

    log p(y) = -lambda D - 1/2 sum_g alpha_g ||theta_g||^2 + 1/2 sum_g k_g log alpha_g - 1/2 log det A
    + n K / 2 log beta + constants, with D the sum of the losses, lambda = beta times the factor that makes the loss a
    likelihood, A = lambda H + diag(alpha) and H the Gauss-Newton matrix of D (MacKay 1992, equations 2.16 to 2.21;
    Foresee and Hagan 1997; Immer et al. 2021, "Scalable marginal likelihood estimation", arXiv:2104.04975).
    Parameters without a group have a prior of constant density one.

    For squared errors the same expression is a lower bound on the evidence of the linearised net at any theta, that of
    the variational posterior N(theta, A^-1); so it also compares points that are no minima.

    Parameters
    ----------
    objective : Objective
        Data and net; its penalty plays no part.
    theta : ndarray of shape (n_params,)
        Where.
    groups : Groups
        Which parameters share a penalty.
    penalties : Penalties
        Precisions of priors and noise.

    Returns
    -------
    Laplace

    Raises
    ------
    scipy.linalg.LinAlgError
        If the curvature is not finite, or not positive semidefinite.
    """
    return Local(objective, theta).laplace(groups, penalties)


def log_likelihood(objective, deviance, beta):
    """Return the log likelihood of the targets; `deviance` as in `Laplace`."""
    loss, y, weight = objective.network.loss, objective.targets, objective.weight
    constants = loss.log_normaliser(np.asarray(y, float))
    constant = float(constants.sum() if weight is None else constants @ weight)
    if loss.is_sum_of_squares:
        constant += 0.5 * objective.total_weight * y.shape[1] * np.log(beta)
    return constant - 0.5 * beta * deviance
