"""Conversion from and to scikit-learn's own multilayer perceptrons: settings and fitted parameters."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from qnewton_sk.estimators import QNewtonClassifier, QNewtonRegressor, fitted_like, fitted_network
from qnewton_sk.nets import resolve_activation

SAME = (
    "activation",
    "alpha",
    "early_stopping",
    "hidden_layer_sizes",
    "loss",
    "max_iter",
    "n_iter_no_change",
    "random_state",
    "shuffle",
    "tol",
    "validation_fraction",
    "verbose",
    "warm_start",
)
"""Parameters that mean the same in scikit-learn and here, and are copied."""

OTHER_MEANING = {
    "batch_size": '"auto" is 200 samples there and all samples here, and a step of Newton\'s method needs many of them',
    "learning_rate_init": "it is the step size of SGD or Adam there, and a factor on Newton's step here",
}
"""Parameters of the same name that are not copied, with the reason."""

MLP_ACTIVATIONS = {resolve_activation(name): name for name in ("identity", "logistic", "tanh", "relu")}
"""Activations that scikit-learn has too, with its names for them."""

HUGE = np.finfo(float).max
"""A tolerance that every gradient meets."""


def from_mlp(
    estimator: MLPClassifier | MLPRegressor, **settings: Any
) -> QNewtonClassifier | QNewtonRegressor:
    """Return the estimator of this package for one of scikit-learn's multilayer perceptrons.

    Settings that mean the same here are copied. If the given estimator is fitted, so is the result: its predictions
    are the same, and `fit` continues from its parameters if `warm_start` is True. The given estimator is not
    changed.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted or not.
    **settings : dict
        Parameters of the result that differ from those of `estimator` or are missing there. They affect later fits,
        not the predictions of a fitted result.

    Returns
    -------
    QNewtonClassifier or QNewtonRegressor

    Raises
    ------
    ValueError
        If `estimator` is something else, or was fitted on a single class.

    Notes
    -----
    `batch_size` and `learning_rate_init` have another meaning here and are not copied; `solver`,
    `learning_rate`, `momentum` and the other parameters of SGD, Adam and L-BFGS do not exist. `history_` of a fitted
    result is empty, `converged_` is False and `stop_reason_` is "from_mlp", since there was no Newton fit.

    See Also
    --------
    to_mlp : The other direction.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from qnewton_sk import from_mlp
    >>> X, y = load_iris(return_X_y=True)
    >>> mlp = MLPClassifier((4,), alpha=0.1, solver="lbfgs", tol=0.1, random_state=0).fit(X, y)
    >>> model = from_mlp(mlp, warm_start=True, tol=1e-4)
    >>> bool((model.predict(X) == mlp.predict(X)).all())
    True
    >>> bool(model.fit(X, y).loss_ < mlp.loss_)
    True
    """
    if isinstance(estimator, MLPClassifier):
        kind: type[QNewtonClassifier] | type[QNewtonRegressor] = QNewtonClassifier
    elif isinstance(estimator, MLPRegressor):
        kind = QNewtonRegressor
    else:
        raise ValueError(f"`estimator` must be an MLPClassifier or MLPRegressor; got {estimator!r}")
    shared = {name: value for name, value in estimator.get_params(deep=False).items() if name in SAME}
    ours = kind(**shared | settings)  # raises for an unknown setting
    if not hasattr(estimator, "coefs_"):
        return ours
    if len(getattr(estimator, "classes_", (0, 1))) < 2:
        raise ValueError(
            f"`estimator` must have at least two classes; got one class, {estimator.classes_[0]!r}"
        )
    shared["hidden_layer_sizes"] = tuple(W.shape[1] for W in estimator.coefs_[:-1])
    return fitted_like(kind(**shared), estimator).set_params(**ours.get_params(deep=False))


def to_mlp(model: QNewtonClassifier | QNewtonRegressor) -> MLPClassifier | MLPRegressor:
    """Return a fitted MLPClassifier or MLPRegressor of scikit-learn with the same parameters and predictions.

    Use it with tools that support these classes. Its `solver` is "lbfgs", which continues from the parameters if
    `warm_start` is True.

    Parameters
    ----------
    model : QNewtonClassifier or QNewtonRegressor
        Fitted.

    Returns
    -------
    MLPClassifier or MLPRegressor

    Raises
    ------
    NotFittedError
        If `model` is not fitted.
    ValueError
        If scikit-learn cannot represent the model: an activation that it does not have, several different
        activations, the Poisson loss before scikit-learn 1.7, or a classifier that averages over its posterior.

    Notes
    -----
    Features that scikit-learn does not have are dropped: `class_weight`, the standard deviations of a regressor with
    `posterior`, and the Huber loss and your own losses, which become the squared error. Penalties that differ from
    layer to layer, as those of "auto" and of the evidence, are dropped too, so that `alpha` is scikit-learn's default.
    None of this changes the predictions; it affects later fits only.

    See Also
    --------
    from_mlp : The other direction.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import QNewtonRegressor, to_mlp
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = QNewtonRegressor((4,), alpha=0.1, random_state=0).fit(X, X[:, 0] ** 2)
    >>> mlp = to_mlp(model)
    >>> mlp
    MLPRegressor(activation='tanh', alpha=0.1, hidden_layer_sizes=(4,), random_state=0, solver='lbfgs')
    >>> bool(np.allclose(mlp.predict(X), model.predict(X)))
    True
    """
    if not isinstance(model, (QNewtonClassifier, QNewtonRegressor)):
        raise ValueError(f"`model` must be a QNewtonClassifier or QNewtonRegressor; got {model!r}")
    network = fitted_network(model)
    settings = _shared_settings(model, network)
    kind = MLPClassifier if isinstance(model, QNewtonClassifier) else MLPRegressor
    mlp = kind(**{**settings, "solver": "lbfgs", "tol": HUGE, "verbose": False, "random_state": 0})
    mlp.fit(
        *_smallest_data(model, network)
    )  # converges before the first step, and only sets shapes and classes
    mlp.set_params(**settings)
    mlp.coefs_ = [W.copy() for W in model.coefs_]
    mlp.intercepts_ = [b.copy() for b in model.intercepts_]
    for name in ("loss_", "n_iter_", "t_", "best_loss_", "best_validation_score_", "feature_names_in_"):
        if hasattr(model, name):
            setattr(mlp, name, getattr(model, name))
    mlp.loss_curve_ = list(model.loss_curve_)
    return mlp


def _shared_settings(model, network):
    """Return the settings of the MLP that makes the same predictions as this net."""
    settings = {name: value for name, value in model.get_params(deep=False).items() if name in SAME}
    settings["activation"] = _single_activation(network)
    settings["hidden_layer_sizes"] = network.widths[1:-1]
    if isinstance(settings["alpha"], str):  # one per layer
        del settings["alpha"]
    if isinstance(model, QNewtonClassifier):
        if model.posterior_ is not None:
            raise ValueError(
                "`posterior` must be None for to_mlp, since an MLPClassifier does not average over a posterior; got "
                f"{model.posterior!r}. Set `posterior_ = None` on a copy for the probabilities at the fitted parameters"
            )
        return settings
    del settings["loss"]
    if network.loss.out_activation == "exp":
        if "loss" not in MLPRegressor().get_params():
            raise ValueError(
                '`loss` must be "squared_error" or "huber" before scikit-learn 1.7; got "poisson"'
            )
        settings["loss"] = "poisson"
    return settings


def _single_activation(network):
    """Return scikit-learn's name of the one activation of all hidden layers."""
    names = {MLP_ACTIVATIONS.get(activation) for activation in network.activations}
    if len(names) > 1 or None in names:
        raise ValueError(
            f"`activation` must be one of {list(MLP_ACTIVATIONS.values())} for all layers, since scikit-learn has no "
            f"other; got {[activation.name for activation in network.activations]}. register_onnx exports more"
        )
    return names.pop() if names else "identity"


def _smallest_data(model, network):
    """Return the smallest X and y that determine the shapes and the classes."""
    K, dtype = network.widths[-1], model.coefs_[0].dtype
    if isinstance(model, QNewtonRegressor):
        y = np.ones(1 if K == 1 else (1, K))
    elif K > 1 and model.out_activation_ == "logistic":
        y = np.eye(K, dtype=int)
    else:
        y = model.classes_
    return np.zeros((len(y), network.widths[0]), dtype), y
