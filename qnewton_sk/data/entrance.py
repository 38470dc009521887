"""The entry point for a user's data: arrays in memory, memory maps and dask arrays get one interface."""

from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .dask_arrays import check_settings, checked_array, is_dask, refuse_dask
from .dask_data import DaskData, read_dask
from .memory import MemoryData, check_mapped
from .rules import Rules

DATA_CHECKS: dict[str, Any] = {"accept_sparse": "csr", "dtype": (np.float64, np.float32)}
"""Arguments of scikit-learn's checks of X."""


def checked_data(estimator: Any, *data: Any, **checks: Any) -> Any:
    """Return what `validate_data` of scikit-learn returns for X, or for X and y.

    Its test for finite entries sums them all, which may overflow; that warning is suppressed.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return validate_data(estimator, *data, **{**DATA_CHECKS, **checks})


def read(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    rules: Rules,
    *,
    reset: bool,
    splits: bool | None = None,
) -> MemoryData | DaskData:
    """Return the checked data of a fit, in an interface that does not depend on where they lie.

    Parameters
    ----------
    estimator : estimator
        Estimator whose number and names of features are set or compared.
    X : array-like, sparse matrix, memory map or dask array of shape (n, d)
        Inputs.
    y : array-like or dask array of shape (n,) or (n, K)
        Targets.
    sample_weight : array-like or dask array of shape (n,), a number or None
        Weights.
    rules : Rules
        How the data are checked and encoded.
    reset : bool
        Whether the features are those of a new fit.
    splits : bool, default=None
        Whether the samples are to be split for early stopping; None if they are not to be fitted.

    Raises
    ------
    ValueError
        If the data fail a check, or a setting cannot be used with them.
    """
    if is_dask(X):
        if splits is not None:
            check_settings(vars(estimator), splits=splits)
        validate_data(estimator, checked_array("X", X, (2,)), reset=reset, skip_check_array=True)
        return read_dask(X, y, sample_weight, rules, hashes=estimator.checkpoint is not None)
    refuse_dask("y", y, "Pass X as a dask array too, or y.compute()")
    refuse_dask("sample_weight", sample_weight, "Pass X as a dask array too, or sample_weight.compute()")
    check_mapped(X, bool(splits))
    X, y = checked_data(estimator, X, y, multi_output=True, reset=reset, **rules.checks)
    y = rules.check_targets(y)
    weight = rules.check_weight(sample_weight, X.shape[0], X.dtype)
    if weight is not None and not weight.any():
        raise ValueError("`sample_weight` must be positive for some sample; got zeros only")
    return MemoryData(X, y, weight, rules)
