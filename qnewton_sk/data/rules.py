"""How the data of a fit are checked and encoded, as an estimator says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_X_y

Array = NDArray[Any]


@dataclass(frozen=True)
class Rules:
    """What is asked of inputs, targets and weights, whether they lie in one array or in many.

    Parameters
    ----------
    checks : mapping of str to object
        Arguments of scikit-learn's `check_X_y`.
    check_targets : callable
        ``check_targets(y) -> y``, dense and of one or two axes.
    check_weight : callable
        ``check_weight(weight, n_samples, dtype) -> ndarray or None``; weights that are all zero pass.
    encode : callable
        ``encode(y, dtype) -> targets`` of shape (n, K).
    codes : callable or None
        ``codes(targets) -> class numbers`` if the targets are one label per sample; None otherwise.
    has_labels : bool
        Whether targets of one axis are labels.
    """

    checks: Mapping[str, Any]
    check_targets: Callable[[Any], Array]
    check_weight: Callable[[Any, int, Any], Array | None]
    encode: Callable[[Array, Any], Array]
    codes: Callable[[Array], Array] | None
    has_labels: bool

    def checked(self, X: Any, y: Any, weight: Any, *, is_known: bool = False) -> tuple[Any, Array, Any]:
        """Return inputs, targets and weights of some samples, checked; finite already if they are known."""
        finite = {"ensure_all_finite": False} if is_known else {}
        with np.errstate(over="ignore", invalid="ignore"):  # of the sum by which scikit-learn looks for NaN
            X, y = check_X_y(X, y, multi_output=True, **self.checks, **finite)
        y = self.check_targets(y)
        return X, y, self.check_weight(weight, X.shape[0], X.dtype)

    def weighted(self, targets: Array, weight: Array | None, factors: Array | None) -> Array | None:
        """Return the weights of some samples, each times the factor of its class."""
        if factors is None or self.codes is None:
            return weight
        codes = self.codes(targets)
        ones = np.ones(len(codes), targets.dtype) if weight is None else weight
        return self.check_weight(ones * factors[codes], len(codes), targets.dtype)
