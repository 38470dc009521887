"""The contract with scikit-learn: common checks, composition, cloning, pickling, callbacks, records as tables."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from qnewton_sk import QNewtonClassifier, QNewtonRegressor


@parametrize_with_checks([QNewtonClassifier(), QNewtonRegressor()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_common_checks(estimator, check):
    check(estimator)
