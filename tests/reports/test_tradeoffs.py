"""Trade-off tables: every row is a fit of its own, and the columns say what they should."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, condition_number, prune_symmetric
from qnewton_sk.reports.tradeoffs import matrix_tradeoff, regularization_tradeoff, sparsity_tradeoff


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.fixture
def net():
    return QNewtonClassifier(
        (3,), curvature="gauss_newton", step_control="fixed", max_iter=15, random_state=0
    )


def test_regularization_lowers_kappa(iris, net):
    table = regularization_tradeoff(net, *iris, [1e-2, 1.0, 100.0])
    assert len({len(column) for column in table.values()}) == 1
    kappa = table["condition_number"]
    assert kappa[0] > kappa[1] > kappa[2] >= 1
    assert max(table["score"]) > 0.8
    assert all(0 <= score <= 1 for score in table["score"] + table["train_score"])
    assert table["n_steps"] == [15, 15, 15] and table["converged"] == [False] * 3
    assert not hasattr(net, "coefs_")


def test_the_sparsity_tradeoff_has_one_row_per_sparsity(iris, net):
    table = sparsity_tradeoff(net, *iris, [None, 1.0, 0.5, 1])
    assert table["oracle_sparsity"] == [None, 1.0, 0.5, 1]
    assert table["loss"][0] == pytest.approx(table["loss"][1], rel=1e-6)
    assert table["loss"][0] != table["loss"][3]
    assert all(math.isfinite(loss) for loss in table["loss"])


def test_a_users_measure_fills_the_column_of_the_condition_number(iris, net):
    seen = []

    def measure(fitted, X, y):
        seen.append(fitted)
        H = fitted.hessian(X, y)
        return condition_number(H + fitted.regularization * np.eye(len(H)), "exact")

    table = regularization_tradeoff(net, *iris, [1.0, 10.0], condition_number=measure)
    assert [fitted.regularization for fitted in seen] == [1.0, 10.0]
    assert table["condition_number"][0] > table["condition_number"][1] > 1


def test_an_empty_sweep_is_refused(iris, net):
    with pytest.raises(ValueError, match="`regularizations` must be a sequence of at least one value; got"):
        regularization_tradeoff(net, *iris, [])


@pytest.mark.parametrize("sparse_too", [False, True])
def test_the_matrix_tradeoff_is_that_of_pruning_and_shifting(sparse_too):
    B = np.random.default_rng(0).standard_normal((20, 20))
    H = B @ B.T

    def prune(H, d):
        return prune_symmetric(H, d, output="csr" if sparse_too else "dense")

    table = matrix_tradeoff(H, [3, 10, 20], [0.0, 5.0], prune=prune, condition_number=condition_number)
    assert table["d"] == [3, 3, 10, 10, 20, 20] and table["shift"] == [0.0, 5.0] * 3
    assert table["kept"] == sorted(table["kept"]) and table["kept"][-1] == pytest.approx(1.0)
    values = np.linalg.eigvalsh(H)
    assert table["condition_number"][-2] == pytest.approx(values[-1] / values[0], rel=0.05)
    assert table["condition_number"][-1] == pytest.approx((values[-1] + 5) / (values[0] + 5), rel=0.05)
