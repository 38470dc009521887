"""Predictions averaged over Gaussian outputs, and the score of a model by its evidence."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from qnewton_sk.systems import must

from .expected import log_averaged_softmax

MAX_LOG_VARIANCE = 50.0
"""Maximum variance of a log mean that is exponentiated: beyond it the standard deviation overflows."""


def averaged_logits(mean, covariance):
    """Return logits whose logistic function, or softmax, is close to the average over N(mean, covariance).

    One output per label: mean / sqrt(1 + pi / 8 variance) (MacKay 1992, "The evidence framework applied to
    classification networks", equation 10). For the softmax, the logarithm of the average over the points of
    `qnewton_sk.inference.expected.normal_points`.

    Parameters
    ----------
    mean : ndarray of shape (n, K)
        Raw outputs.
    covariance : ndarray of shape (n, K, K) or (n, K)
        Their covariances for the softmax; their variances for independent labels.

    Returns
    -------
    ndarray of shape (n, K)

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.inference.predictive import averaged_logits
    >>> averaged_logits(np.array([[2.0]]), np.array([[8 / np.pi]]))
    array([[1.41421356]])
    """
    if covariance.ndim == 2:
        return mean / np.sqrt(1 + np.pi / 8 * covariance)
    return log_averaged_softmax(mean, covariance)


def standard_deviation(loss, mean, variance, noise_variance, *, of_mean=False):
    """Return the standard deviation of a new observation, or of the predicted mean, shape (n, K).

    Parameters
    ----------
    loss : Loss
        Squared error, or Poisson, whose mean is then log-normal.
    mean, variance : ndarray of shape (n, K)
        Of the raw outputs.
    noise_variance : float or None
        Of observations around the outputs; None for Poisson, whose variance is the mean.
    of_mean : bool, default=False
        Leave out the noise of the observation.
    """
    if noise_variance is not None:
        return np.sqrt(variance + (0.0 if of_mean else noise_variance))
    spread = np.minimum(variance, MAX_LOG_VARIANCE)
    with np.errstate(
        over="ignore"
    ):  # of a mean beyond the largest number, which is infinite as its deviation
        expected = np.exp(mean + spread / 2)
        of_expected = np.sqrt(np.expm1(spread)) * expected
        return of_expected if of_mean else np.hypot(of_expected, np.sqrt(expected))


def sampled(loss, draws, noise_variance, random_state):
    """Return new observations for draws of the raw outputs, of the same shape."""
    if noise_variance is None:
        return random_state.poisson(loss.predict(np.minimum(draws, MAX_LOG_VARIANCE / 2))).astype(float)
    return draws + np.sqrt(noise_variance) * random_state.standard_normal(draws.shape)


def evidence_score(estimator: Any, X: Any = None, y: Any = None) -> float:
    """Return the log evidence of a fitted estimator: a scorer that needs no held-out data.

    Use it with the whole of the data as the one split: ``GridSearchCV(QNewtonRegressor(alpha="evidence"), {...},
    scoring=evidence_score, cv=[(range(len(X)), range(len(X)))])``.

    Parameters
    ----------
    estimator : QNewtonClassifier or QNewtonRegressor
        Fitted with ``alpha="evidence"`` or "evidence_per_input".
    X, y : ignored
        As a scorer takes them.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it was fitted with a number for `alpha`.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import QNewtonRegressor, evidence_score
    >>> X = np.linspace(-1, 1, 30)[:, None]
    >>> y = 2 * X[:, 0] + np.random.default_rng(0).normal(0, 0.1, 30)
    >>> fits = {h: QNewtonRegressor(h, alpha="evidence", random_state=0).fit(X, y) for h in ((), (8,))}
    >>> max(fits, key=lambda h: evidence_score(fits[h]))
    ()
    """
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise must("estimator", "be a fitted QNewtonClassifier or QNewtonRegressor", estimator)
    check_is_fitted(estimator)
    score = getattr(estimator, "log_evidence_", None)
    if score is None:
        raise ValueError(
            f'`alpha` must be "evidence" or "evidence_per_input" for a score by evidence; got {estimator.alpha!r}'
        )
    return float(score)
