"""The posterior of the parameters around a fit, and what it says of the outputs."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import gen_batches

from qnewton_sk.curvature import GaussNewton, jacobian_rows
from qnewton_sk.nets import Network, Objective, resolve_loss

from .expected import expected_objective
from .precision import DensePrecision, LowRankPrecision
from .search import MIN_FREEDOM

KINDS = "full", "layer", "last_layer"
"""Which parameters are taken as uncertain, and which as correlated."""

CHUNK_BYTES = 2**26
"""Jacobians of this size are held at once in a prediction."""

MATRICES = 3.5
"""Arrays of the size of the largest block that are alive while it is factorised: curvature, sum, factor, inverse."""


@dataclass(frozen=True)
class Posterior:
    """Gaussian posterior N(theta, covariance) of a net whose outputs are taken as linear in the parameters.

    It holds numbers alone, so that it can be pickled; the net itself is passed to the methods.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        Its parameters, the mean.
    blocks : tuple of (layer or None, DensePrecision or LowRankPrecision)
        Independent blocks of the precision: None is the whole net.
    covariance_scale : float
        Factor on the inverses of the precisions.
    noise_variance : float or None
        Of the targets around the outputs; None for likelihoods without such a parameter.
    effective : float
        Effective number of parameters in the blocks.
    """

    theta: np.ndarray
    blocks: tuple
    covariance_scale: float = 1.0
    noise_variance: float | None = None
    effective: float = np.nan

    @property
    def added(self):
        """Largest multiple of the identity that had to be added to a singular block; 0.0 if none."""
        return max(precision.added for _, precision in self.blocks)

    def covariances(self, network, X):
        """Return the raw outputs and their covariances: arrays of shape (n, K) and (n, K, K).

        J A^-1 J^T for each sample, with J the Jacobian of its outputs (MacKay 1992, equation 3.7).
        """
        K = network.widths[-1]
        mean = network.raw(X, self.theta)
        out = np.zeros((X.shape[0], K, K))
        for rows in _chunks(network, X):
            for layer, precision in self.blocks:
                J = output_jacobian(network, X[rows], self.theta, layer)
                out[rows] += precision.covariances(J)
        return mean, self.covariance_scale * out

    def draws(self, network, X, count, random_state):
        """Return raw outputs of parameters drawn from the posterior, shape (n, K, count); linear in the parameters."""
        K = network.widths[-1]
        out = np.repeat(network.raw(X, self.theta)[:, :, None].astype(float), count, axis=2)
        deltas = [precision.draw(random_state, count) for _, precision in self.blocks]
        for rows in _chunks(network, X):
            for (layer, _), delta in zip(self.blocks, deltas):
                J = output_jacobian(network, X[rows], self.theta, layer)
                for k in range(K):
                    out[rows, k] += np.sqrt(self.covariance_scale) * (J[k] @ delta)
        return out


def _chunks(network, X):
    """Return slices of samples whose Jacobians fit `CHUNK_BYTES`."""
    size = CHUNK_BYTES // (8 * network.widths[-1] * network.n_params)
    return gen_batches(X.shape[0], max(int(size), 1))


def output_jacobian(network, X, theta, layer=None):
    """Return the derivatives of the raw outputs in the parameters, shape (K, n, n_params) or of the layer's size.

    Those are Gauss-Newton's rows for squared errors, whose Hessian in the outputs is the same everywhere.
    """
    K, n = network.widths[-1], X.shape[0]
    squares = Network(network.widths, network.activations, resolve_loss("squared_error"))
    objective = Objective(squares, X, np.zeros((n, K), theta.dtype))
    rows = jacobian_rows(objective, theta, layer)
    return (np.sqrt(n * K) * rows.astype(float)).reshape(K, n, -1)


def posterior_of(objective, theta, prior, kind, beta=None):
    """Return the posterior of a fit.

    Its precision is that of the Laplace approximation: the curvature of the data at theta plus the prior (MacKay 1992,
    equation 3.7). Where classes are separated, the curvature at theta vanishes, although it does not nearby, and the
    approximation knows nothing of the parameters that separate them. So for classes the curvature is the one that is
    expected under the Laplace posterior: one step of the fixed point of the covariance of the Gaussian that is closest
    to the posterior in the sense of Kullback and Leibler (Opper and Archambeau 2009, "The variational Gaussian
    approximation revisited"). Further steps go back and forth around a wider one, without a lower log loss. For
    "last_layer" the curvature stays that at theta, whose excess stands for the uncertainty of the other layers.

    Parameters
    ----------
    objective : Objective
        Data and net; its penalty plays no part.
    theta : ndarray of shape (n_params,)
        The fitted parameters.
    prior : ndarray of shape (n_params,)
        Penalty of each parameter in units of the objective, whose `alpha` it is: precisions relative to the noise.
    kind : {"full", "layer", "last_layer"}
        One block for all parameters, one per layer, or the last layer's alone.
    beta : float, default=None
        Precision of the noise for squared errors; estimated as (n K - gamma) / residual squares if it is None.

    Returns
    -------
    Posterior

    Raises
    ------
    scipy.linalg.LinAlgError
        If the curvature is not finite, or not positive semidefinite.
    """
    network, loss = objective.network, objective.network.loss
    L, total = network.n_layers, objective.total_weight
    scale = loss.likelihood_scale(network.widths[-1])
    layers = {"full": [None], "layer": range(L), "last_layer": [L - 1]}[kind]
    parts = [slice(None) if layer is None else network.layer_slices[layer] for layer in layers]
    data = objective.with_alpha(0.0)

    def precisions(around=None):
        return [_precision(data, theta, k, scale * prior[part], around) for k, part in zip(layers, parts)]

    found = precisions()
    if loss.saturates and kind != "last_layer":
        found = precisions(around=Posterior(theta, tuple(zip(layers, found))))
    effective = sum(
        len(precision.prior) - float(precision.prior @ precision.variances()) for precision in found
    )
    variance = 1.0
    if loss.is_sum_of_squares:
        squares = 2.0 * scale * total * float(data.value(theta))
        observations = total * network.widths[-1]
        freedom = max(observations - effective, MIN_FREEDOM * observations)
        variance = squares / freedom if beta is None else 1 / beta
    blocks = tuple(zip(layers, found))
    noise_variance = variance if loss.is_sum_of_squares else None
    return Posterior(theta, blocks, variance, noise_variance, float(effective))


def _precision(data, theta, layer, prior, around=None):
    """Return the precision of one block, in units of noise of variance one.

    Its curvature is that at theta, or the one that is expected under the posterior `around`.
    """
    scale = data.network.loss.likelihood_scale(data.network.widths[-1]) * data.total_weight
    if data.n_samples * data.network.widths[-1] < np.count_nonzero(prior):
        rows = data.rows_of_parts(_rows, theta, layer, around).astype(float)
        return LowRankPrecision(np.sqrt(scale) * rows, prior.astype(float))
    H = np.zeros((len(prior), len(prior)), data.dtype)
    data.over_parts(_add_curvature, H, theta, layer, around)
    return DensePrecision(scale * H.astype(float), prior.astype(float))


def _rows(part, theta, layer, around):
    return jacobian_rows(part if around is None else expected_objective(part, around), theta, layer)


def _add_curvature(part, out, theta, layer, around):
    objective = part if around is None else expected_objective(part, around)
    blocks = GaussNewton("full" if layer is None else "layer").blocks(objective, theta)
    out += blocks[layer or 0].matrix.entries()
    return 0.0


def posterior_bytes(network, n_samples, kind):
    """Return the memory that a posterior takes while it is computed, in bytes.

    Examples
    --------
    >>> from qnewton_sk.inference.posterior import posterior_bytes
    >>> from qnewton_sk.nets import Network, resolve_activation, resolve_loss
    >>> net = Network([99, 50, 1], [resolve_activation("tanh")], resolve_loss("squared_error"))
    >>> posterior_bytes(net, 10**5, "full") / posterior_bytes(net, 10**5, "last_layer") > 1000
    True
    """
    sizes = [part.stop - part.start for part in network.layer_slices]
    orders = {"full": [sum(sizes)], "layer": sizes, "last_layer": sizes[-1:]}[kind]
    outputs = network.widths[-1]
    rank = n_samples * outputs
    averages = 2 * rank * outputs if network.loss.saturates and kind != "last_layer" else 0
    kept = sum(_entries(n, rank) for n in orders)
    return int(8 * (averages + kept + (MATRICES - 1) * max(_entries(n, rank) for n in orders)))


def _entries(n, rank):
    return n * n if n <= rank else rank * (n + rank)
