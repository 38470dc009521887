"""Trade-offs as tables: the accuracy that regularisation and pruning lose, and the conditioning that they gain."""

import copy
import warnings
from collections.abc import Iterable

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk.systems import must


def regularization_tradeoff(estimator, X, y, X_test, y_test, regularizations, condition_number=None):
    """Fit once for each regularisation: accuracy, condition number and steps (Figure 8 of the paper).

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameter `regularization`. It is cloned, and its other parameters are kept.
    X, y : array-like
        Training data.
    X_test, y_test : array-like
        Test data.
    regularizations : sequence of float
        Values of the parameter.
    condition_number : callable, default=None
        ``condition_number(fitted, X, y) -> float`` for the column of that name; by default
        `fitted.condition_number_`, that of the last system solved.

    Returns
    -------
    dict of str to list
        Columns regularization, score, train_score, condition_number, n_steps, converged and loss, as
        `pandas.DataFrame` accepts them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from qnewton_sk import QNewtonClassifier
    >>> from qnewton_sk.reports.tradeoffs import regularization_tradeoff
    >>> X, y = load_iris(return_X_y=True)
    >>> net = QNewtonClassifier((4,), curvature="gauss_newton", max_iter=3, random_state=0)
    >>> table = regularization_tradeoff(net, X / 4 - 1, y, X / 4 - 1, y, [0.1, 10.0])
    >>> table["condition_number"][0] > table["condition_number"][1]
    True
    """
    values = _values("regularizations", regularizations)
    return _sweep(estimator, "regularization", values, (X, y), (X_test, y_test), condition_number)


def sparsity_tradeoff(estimator, X, y, X_test, y_test, sparsities, condition_number=None):
    """Fit once for each oracle sparsity: accuracy, condition number and steps (Figure 1, left, of the paper).

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameter `oracle_sparsity`. It is cloned, and its other parameters are kept.
    X, y : array-like
        Training data.
    X_test, y_test : array-like
        Test data.
    sparsities : sequence of int, float or None
        Nonzeros per row, fractions of n, or None for no pruning.
    condition_number : callable, default=None
        See `regularization_tradeoff`.

    Returns
    -------
    dict of str to list
        Columns oracle_sparsity, score, train_score, condition_number, n_steps, converged, loss.
    """
    values = _values("sparsities", sparsities)
    return _sweep(estimator, "oracle_sparsity", values, (X, y), (X_test, y_test), condition_number)


def _values(name, values):
    """Return a sequence of settings as a list."""
    found = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else []
    if not found:
        raise must(name, "be a sequence of at least one value", values)
    return found


def _sweep(estimator, parameter, values, train, test, measure):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # every row reports it in the column "converged"
        fitted = [
            clone(estimator).set_params(**{parameter: copy.copy(value)}).fit(*train) for value in values
        ]
    return {
        parameter: values,
        "score": [float(net.score(*test)) for net in fitted],
        "train_score": [float(net.score(*train)) for net in fitted],
        "condition_number": [_kappa(net, measure, train) for net in fitted],
        "n_steps": [int(net.n_steps_) for net in fitted],
        "converged": [bool(net.converged_) for net in fitted],
        "loss": [float(net.loss_) for net in fitted],
    }


def _kappa(net, measure, train):
    kappa = net.condition_number_ if measure is None else measure(net, *train)
    return float("nan") if kappa is None else float(kappa)


def matrix_tradeoff(H, d=(), shifts=(0.0,), *, prune, condition_number):
    """Prune and shift one matrix, and tabulate what is kept of it and its condition number.

    Parameters
    ----------
    H : ndarray of shape (n, n)
        Symmetric matrix.
    d : sequence of int or float
        Settings of the pruning.
    shifts : sequence of float, default=(0.0,)
        Multiples of the identity added to the pruned matrix.
    prune : callable
        ``prune(H, d) -> H'``, such as `qnewton_sk.prune_symmetric`.
    condition_number : callable
        ``condition_number(A) -> float``, such as `qnewton_sk.condition_number`.

    Returns
    -------
    dict of str to list
        Columns d, shift, kept (share of the Frobenius norm) and condition_number, with one row per pair of settings.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import condition_number, prune_symmetric
    >>> from qnewton_sk.reports.tradeoffs import matrix_tradeoff
    >>> H = np.array([[4.0, 3.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    >>> table = matrix_tradeoff(H, [1, 3], [0.0, 1.0], prune=prune_symmetric,
    ...                         condition_number=condition_number)
    >>> [round(kappa, 2) for kappa in table["condition_number"]]
    [4.0, 2.5, 7.0, 4.0]
    """
    table = {"d": [], "shift": [], "kept": [], "condition_number": []}
    whole = _size(H)
    for limit in d:
        pruned = prune(H, limit)
        kept = _size(pruned) / whole if whole else 1.0
        for shift in shifts:
            row = (limit, float(shift), kept, float(condition_number(_shifted(pruned, shift))))
            for column, value in zip(table.values(), row):
                column.append(value)
    return table


def _size(H):
    return float((H**2).sum()) ** 0.5


def _shifted(H, shift):
    if sparse.issparse(H):
        return (H + shift * sparse.eye_array(H.shape[0], format="csr")).tocsr()
    A = np.array(H, dtype=float)
    np.fill_diagonal(A, A.diagonal() + shift)
    return A
