"""The posterior of the parameters around a fit, and what it says of the outputs."""

import math
from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import gen_batches

from qnewton_sk.curvature import GaussNewton, jacobian_factors, jacobian_rows
from qnewton_sk.nets import Network, Objective, resolve_loss

from .expected import expected_objective
from .precision import DensePrecision, LowRankPrecision, jacobian
from .search import MIN_FREEDOM

KINDS = "full", "layer", "last_layer"
"""Which parameters are taken as uncertain, and which as correlated."""

CHUNK_BYTES = 2**26
"""What Jacobians are made of, and those of draws, of this size are held at once in a prediction."""

SETTLING, MAX_AVERAGES = 1e4, 8
"""The curvature of classes is averaged again while the largest variance of a parameter falls by this factor, at most so
many times. That takes a parameter without a prior that separates the classes, such as the intercept of an output."""

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
        for rows in gen_batches(X.shape[0], _chunk_size(_row_numbers(network))):
            layers = output_rows(network, X[rows], self.theta)
            for layer, precision in self.blocks:
                out[rows] += precision.covariances(layers if layer is None else layers[layer : layer + 1])
        return mean, self.covariance_scale * out

    def draws(self, network, X, count, random_state):
        """Return raw outputs of parameters drawn from the posterior, shape (n, K, count); linear in the parameters."""
        K = network.widths[-1]
        out = np.repeat(network.raw(X, self.theta)[:, :, None].astype(float), count, axis=2)
        deltas = [precision.draw(random_state, count) for _, precision in self.blocks]
        for rows in gen_batches(X.shape[0], _chunk_size(K * network.n_params)):
            layers = output_rows(network, X[rows], self.theta)
            for (layer, _), delta in zip(self.blocks, deltas):
                J = jacobian(layers if layer is None else layers[layer : layer + 1])
                change = (J @ delta).reshape(K, -1, count)
                out[rows] += np.sqrt(self.covariance_scale) * change.swapaxes(0, 1)
        return out


def _chunk_size(numbers):
    """Return the number of samples, of so many numbers each, that fit `CHUNK_BYTES`."""
    return max(CHUNK_BYTES // (8 * numbers), 1)


def _row_numbers(network):
    """Return how many numbers `output_rows` holds for a sample."""
    return sum(h + 1 for h in network.widths[:-1]) + network.widths[-1] * sum(network.widths[1:])


def output_rows(network, X, theta):
    """Return the Jacobians of the raw outputs in the parameters, as one `LayerRows` per layer.

    Those are Gauss-Newton's rows for squared errors, whose Hessian in the outputs is the same everywhere.
    """
    K, n = network.widths[-1], X.shape[0]
    squares = Network(network.widths, network.activations, resolve_loss("squared_error"))
    rows = jacobian_factors(Objective(squares, X, np.zeros((n, K), theta.dtype)), theta)
    return [replace(layer, derivatives=np.sqrt(n * K) * layer.derivatives) for layer in rows]


def posterior_of(objective, theta, prior, kind, beta=None):
    """Return the posterior of a fit.

    Its precision is the curvature of the data plus the prior. The curvature is that at theta, the Laplace approximation
    (MacKay 1992, equation 3.7), except for classes with "full" and "layer". Where classes are separated, the curvature
    at theta vanishes, though not at nearby parameters, and the approximation knows nothing of the parameters that
    separate them. It is then the curvature expected under the Laplace posterior: usually one step of the fixed point
    of the covariance of the Gaussian that is closest to the posterior in the sense of Kullback and Leibler (Opper and
    Archambeau 2009, "The variational Gaussian approximation revisited"). Further steps oscillate around a somewhat
    wider Gaussian without lowering the log loss. "last_layer" keeps the Laplace approximation, whose excess variance
    stands for the uncertainty of the other layers.

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
    layers = {"full": [None], "layer": list(range(L)), "last_layer": [L - 1]}[kind]
    parts = [slice(None) if layer is None else network.layer_slices[layer] for layer in layers]
    data = objective.with_alpha(0.0)

    priors = [scale * prior[part] for part in parts]
    found = _precisions(data, theta, layers, priors)
    if loss.saturates and kind != "last_layer":
        widest = math.inf
        for _ in range(MAX_AVERAGES):
            if _widest(found) >= widest / SETTLING:
                break
            widest = _widest(found)
            around = Posterior(theta, tuple(zip(layers, found)))
            found = _precisions(data, theta, layers, priors, around)
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


def _widest(precisions):
    """Return the largest variance of a parameter."""
    return max(float(precision.variances().max()) for precision in precisions)


def _precisions(data, theta, layers, priors, around=None):
    """Return the precision of each block, in units of noise of variance one.

    The curvature is that at theta, or the one that is expected under the posterior `around`.
    """
    scale = data.network.loss.likelihood_scale(data.network.widths[-1]) * data.total_weight
    n_rows = data.n_samples * data.network.widths[-1]
    has_few_rows = {layer: n_rows < np.count_nonzero(prior) for layer, prior in zip(layers, priors)}
    rows = _rows_of_layers(data, theta, [k for k in layers if has_few_rows[k]], around)
    matrices = _matrices_of_layers(data, theta, [k for k in layers if not has_few_rows[k]], around)
    return [
        LowRankPrecision(np.sqrt(scale) * rows[layer].astype(float), prior.astype(float))
        if has_few_rows[layer]
        else DensePrecision(scale * matrices[layer].astype(float), prior.astype(float))
        for layer, prior in zip(layers, priors)
    ]


def _sizes(network, layers):
    """Return the number of parameters of each layer; the layer None is the whole net."""
    whole = slice(0, network.n_params)
    parts = [whole if layer is None else network.layer_slices[layer] for layer in layers]
    return [part.stop - part.start for part in parts]


def _rows_of_layers(data, theta, layers, around):
    """Return {layer: rows of the factor of its curvature}, from one pass over the data."""
    if not layers:
        return {}
    rows = data.rows_of_parts(_rows, theta, layers, around)
    ends = np.cumsum(_sizes(data.network, layers))[:-1]
    return dict(zip(layers, np.split(rows, ends, axis=1)))


def _matrices_of_layers(data, theta, layers, around):
    """Return {layer: entries of its curvature}, from one pass over the data."""
    if not layers:
        return {}
    sizes = _sizes(data.network, layers)
    flat = np.zeros(sum(n * n for n in sizes), data.dtype)
    data.over_parts(_add_matrices, flat, theta, layers, around)
    entries = np.split(flat, np.cumsum([n * n for n in sizes])[:-1])
    return {layer: H.reshape(n, n) for layer, n, H in zip(layers, sizes, entries)}


def _rows(part, theta, layers, around):
    objective = part if around is None else expected_objective(part, around)
    return np.hstack([jacobian_rows(objective, theta, layer) for layer in layers])


def _add_matrices(part, out, theta, layers, around):
    objective = part if around is None else expected_objective(part, around)
    blocks = GaussNewton("full" if layers == [None] else "layer").blocks(objective, theta)
    start = 0
    for layer in layers:
        H = blocks[layer or 0].matrix.entries()
        out[start : start + H.size] += H.ravel()
        start += H.size
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
    of_a_sample = outputs if network.loss.has_diagonal_hessian else outputs**2
    averages = 2 * n_samples * of_a_sample if network.loss.saturates and kind != "last_layer" else 0
    kept = sum(_entries(n, rank) for n in orders)
    return int(8 * (averages + kept + (MATRICES - 1) * max(_entries(n, rank) for n in orders)))


def _entries(n, rank):
    return n * n if n <= rank else rank * (n + rank)
