"""The training objective of a fuzzed fit, written anew in extended precision, with bounds of rounding errors.

The range of `numpy.longdouble` (1e4932 on x86) lets nothing overflow that float64 can hold, so that a model is judged
by what it is and not by what its own arithmetic can show.
"""

from collections import namedtuple

import numpy as np
from scipy import sparse
from scipy.special import erf, expit, logsumexp

LONG = np.longdouble
HUBER = LONG(1.35)

Judged = namedtuple("Judged", "value value_error gradient gradient_error raw largest")
"""J and its gradient, what rounding errors in the precision of the fit may add to each, the raw outputs, and the
largest loss of a sample, which a tiny weight may hide."""


def _tanh(z):
    a = np.tanh(z)
    return a, 1 - a * a


def _logistic(z):
    a = expit(z)
    return a, a * (1 - a)


def _silu(z):
    s = expit(z)
    return z * s, s + z * s * (1 - s)


def _gelu(z):
    cdf = (1 + erf((z / np.sqrt(LONG(2))).astype(float))) / 2
    small = np.minimum(np.abs(z), 1e3)
    return z * cdf, cdf + small * np.sign(z) * np.exp(-small * small / 2) / np.sqrt(2 * LONG(np.pi))


def _bump(z):
    small = np.clip(z, -1e3, 1e3)
    bell = np.exp(-small * small / 2)
    return small * bell, (1 - small * small) * bell


ACTIVATIONS = {
    "identity": lambda z: (z, np.ones_like(z)),
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": lambda z: (np.maximum(z, 0), (z > 0).astype(LONG)),
    "softplus": lambda z: (np.logaddexp(LONG(0), z), expit(z)),
    "silu": _silu,
    "gelu": _gelu,
    "bump": _bump,
}
"""Value and slope of each activation."""


def _softmax(z, y):
    value = logsumexp(z, axis=1) - (y * z).sum(axis=1)
    p = np.exp(z - logsumexp(z, axis=1, keepdims=True))
    return value, p - y, np.ones_like(z)


def _logistic_loss(z, y):
    return (np.logaddexp(LONG(0), z) - y * z).sum(axis=1), expit(z) - y, np.ones_like(z)


def _squared(z, y):
    k = z.shape[1]
    return ((z - y) ** 2).sum(axis=1) / (2 * k), (z - y) / k, (np.abs(z) + np.abs(y)) / k


def _poisson(z, y):
    k, mean = z.shape[1], np.exp(z)
    safe = np.where(y > 0, y, 1)
    return (y * np.log(safe) - y * z - y + mean).sum(axis=1) / k, (mean - y) / k, (mean + np.abs(y)) / k


def _huber(z, y):
    k, r = z.shape[1], np.abs(z - y)
    inside = np.minimum(r, HUBER)
    return (inside * (r - inside / 2)).sum(axis=1) / k, np.clip(z - y, -HUBER, HUBER) / k, np.ones_like(z) / k


def _log_cosh(z, y):
    k, r = z.shape[1], z - y
    return (np.logaddexp(r, -r) - np.log(LONG(2))).sum(axis=1) / k, np.tanh(r) / k, np.ones_like(z) / k


LOSSES = {
    "softmax": _softmax,
    "logistic": _logistic_loss,
    "squared_error": _squared,
    "poisson": _poisson,
    "huber": _huber,
    "log_cosh": _log_cosh,
}
"""Value and gradient of each loss in the raw outputs, and the size of the terms of the gradient."""

LOSS_SLOPE = {"poisson": lambda z: np.exp(z) / z.shape[1]}
"""Bound of the second derivative of a loss, where it is not 1."""


LOSS_ROUNDING = {
    "log_cosh": lambda z, y: 1.0,
    "poisson": lambda z, y: (np.exp(z) + y * (1 + np.abs(z))).sum(axis=1) / z.shape[1],
}
"""Size of the terms of a loss, where they cancel near its minimum: log 2 - log 2, or e^z - y - y z + y log y."""


def encoded(case, y, classes):
    """Return the targets as an (n, K) array."""
    if not case.is_classification or case.task == "multilabel":
        return (y[:, None] if y.ndim == 1 else y).astype(LONG)
    if len(classes) == 2:
        return (y == classes[1])[:, None].astype(LONG)
    return (y[:, None] == classes[None, :]).astype(LONG)


def total_weights(case, estimator, y, sample_weight):
    """Return the weight of each sample: the user's own times that of its class."""
    s = np.ones(len(y), LONG) if sample_weight is None else np.asarray(sample_weight).astype(LONG)
    class_weight = getattr(estimator, "class_weight", None)
    if class_weight is None:
        return s
    factor = np.ones_like(s)
    for label in estimator.classes_:
        share, n_classes = s[y == label].sum(), len(estimator.classes_)
        if isinstance(class_weight, str):
            factor[y == label] = s.sum() / (n_classes * share) if share else 0
        else:
            factor[y == label] = class_weight.get(label, 1.0)
    return s * factor


def judge(case, estimator, coefs, intercepts, data, dtype):
    """Return the `Judged` objective of a model on the data of a case.

    Parameters
    ----------
    case : Case
        What was fitted.
    estimator : estimator
        Fitted, for its settings and classes.
    coefs, intercepts : list of ndarray
        The model.
    data : tuple
        X, y and sample weights as plain arrays.
    dtype : dtype
        The precision of the fit.
    """
    X, y, weight = data
    X = (X.toarray() if sparse.issparse(X) else np.asarray(X)).astype(LONG)
    targets = encoded(case, y, getattr(estimator, "classes_", None))
    s = total_weights(case, estimator, y, weight)
    w, penalties = s / s.sum(), np.asarray(estimator.alpha_, LONG) / s.sum()
    layers = [(W.astype(LONG), b.astype(LONG)) for W, b in zip(coefs, intercepts)]
    activations = _activations(estimator.activation, len(layers) - 1)
    with np.errstate(all="ignore"):
        return _passes(
            layers, activations, _loss(case, estimator), X, targets, w, penalties, LONG(np.finfo(dtype).eps)
        )


def _loss(case, estimator):
    """The loss by name; more classes than two take the softmax, whatever the case asked for."""
    if case.is_classification:
        return "softmax" if case.task != "multilabel" and len(estimator.classes_) > 2 else "logistic"
    return case.loss


def _activations(activation, depth):
    chosen = activation if isinstance(activation, (list, tuple)) else [activation] * depth
    return [ACTIVATIONS[getattr(f, "__name__", f)] for f in chosen]


def _passes(layers, activations, loss, X, targets, w, penalties, eps):
    """Forward and backward; beside each quantity runs the size of its terms, which bounds its rounding error."""
    inputs, sizes, slopes = [X], [np.abs(X)], []
    for (W, b), f in zip(layers, activations):
        z, size = inputs[-1] @ W + b, sizes[-1] @ np.abs(W) + np.abs(b)
        a, slope = f(z)
        inputs.append(a)
        slopes.append(slope)
        sizes.append(np.abs(a) + np.abs(slope) * size + (f is _tanh))  # tanh is accurate in absolute terms
    W, b = layers[-1]
    z, size = inputs[-1] @ W + b, sizes[-1] @ np.abs(W) + np.abs(b)
    values, delta, terms = LOSSES[loss](z, targets)
    bend = LOSS_SLOPE.get(loss, np.ones_like)(z)
    value = w @ values + sum(penalty / 2 * (W * W).sum() for penalty, (W, _) in zip(penalties, layers))
    values_of_terms = np.abs(values) + LOSS_ROUNDING.get(loss, lambda z, y: 0.0)(z, targets)
    value_error = eps * (w @ (values_of_terms + (terms * size).sum(axis=1))) + 64 * eps * abs(value)
    delta, error = w[:, None] * delta, w[:, None] * (terms + bend * size)
    gradients, errors = [], []
    for l in reversed(range(len(layers))):
        W = layers[l][0]
        gradients += [delta.sum(axis=0), inputs[l].T @ delta + penalties[l] * W]
        errors += [error.sum(axis=0), sizes[l].T @ error + penalties[l] * np.abs(W)]
        if l:
            rounded = np.abs(delta) @ np.abs(W).T  # slopes near zero are differences such as 1 - tanh^2
            delta = delta @ W.T * slopes[l - 1]
            error = error @ np.abs(W).T * np.abs(slopes[l - 1]) + rounded
    flat = np.concatenate([g.ravel() for g in gradients[::-1]])
    return Judged(
        value,
        value_error,
        flat,
        64 * eps * np.concatenate([e.ravel() for e in errors[::-1]]),
        z,
        np.abs(values).max(),
    )
