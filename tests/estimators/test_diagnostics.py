"""The diagnostics of a fit describe the Hessian without damping, and every default fit ends with a Newton step."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_friedman1, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.curvature.products import CurvatureProduct
from qnewton_sk.estimators.diagnostics import GRADIENTS_PER_PRODUCT

SETS = {
    "iris": (QNewtonClassifier, *load_iris(return_X_y=True)),
    "wine": (QNewtonClassifier, *load_wine(return_X_y=True)),
    "breast cancer": (QNewtonClassifier, *load_breast_cancer(return_X_y=True)),
    "digits": (QNewtonClassifier, *load_digits(return_X_y=True)),
    "moons": (QNewtonClassifier, *make_moons(200, noise=0.2, random_state=0)),
    "friedman1": (QNewtonRegressor, *make_friedman1(200, random_state=0)),
}


def fitted(name, **settings):
    kind, X, y = SETS[name]
    X = StandardScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(random_state=0, **settings).fit(X, y), X, y


@pytest.mark.parametrize("name", SETS)
def test_every_default_fit_ends_with_a_newton_step_and_a_summary(name):
    model, X, y = fitted(name)
    assert model.schedule_ and model.condition_number_ >= 1 and model.history_["phase"][-1] == "newton"
    assert model.oracle_sparsity_ <= model.hessian_summary_["n"]
    truth, summary = np.linalg.eigvalsh(model.hessian(X, y)), model.hessian_summary_
    assert summary["largest_eigenvalue"] <= truth[-1] * (1 + 1e-6)
    assert summary["smallest_eigenvalue"] >= truth[0] - 1e-6 * truth[-1]
    assert summary["n_negative"] <= (truth < 0).sum()
    assert model.converged_ == (model.stop_reason_ == "converged")


@pytest.mark.parametrize("max_iter", [10, 50, 200])
def test_closing_step_and_summary_of_a_large_net_cost_a_fifth_of_the_gradients(max_iter, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((500, 200)), rng.integers(0, 3, 500)
    products = []
    product = CurvatureProduct.__call__
    monkeypatch.setattr(CurvatureProduct, "__call__", lambda self, v: products.append(0) or product(self, v))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = QNewtonClassifier((100, 100), alpha=1e-4, tol=1e-12, max_iter=max_iter, random_state=0)
        model = net.fit(X, y)
    assert list(model.history_["phase"]) == ["first_order"] * (max_iter - 1) + ["newton"]
    # a pass over the data comes before either one's first product
    cost = 2 + GRADIENTS_PER_PRODUCT * len(products)
    # three products each at least; the norm comes from those of the closing step
    assert len(products) == 6 if max_iter == 10 else cost <= 0.22 * max_iter


def test_closing_steps_by_products_count_as_their_products():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 100)), 1000 * rng.standard_normal(200)
    counts = []
    product = CurvatureProduct.__call__
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", ConvergenceWarning)
        patch.setattr(CurvatureProduct, "__call__", lambda self, v: counts.append(0) or product(self, v))
        for diagnostics in (False, "auto"):
            counts.clear()
            net = QNewtonRegressor(
                (60, 60), tol=1e-2, n_iter_no_change=3, random_state=0, diagnostics=diagnostics
            )
            net.set_params(alpha=1.0).fit(X, y)
            if diagnostics is False:
                taken = len(counts)
    assert net.stop_reason_ == "no_improvement" and {"", "cg"} <= set(net.history_["backend"])
    fit = net.n_iter_ + GRADIENTS_PER_PRODUCT * taken + 80  # the steps by Woodbury's identity are cheap
    assert 3 <= len(counts) - taken <= max(3, 0.15 * fit)


def test_a_summary_on_request_is_exact():
    model, X, y = fitted("iris", diagnostics=True, curvature="hessian")
    truth, summary = np.linalg.eigvalsh(model.hessian(X, y)), model.hessian_summary_
    assert set(summary["how"].values()) - {"not measured"} == {"exact"}
    assert summary["condition_number"] == pytest.approx(np.abs(truth).max() / np.abs(truth).min(), rel=1e-4)
    assert summary["smallest_eigenvalue"] == pytest.approx(truth[0], abs=1e-9)


def test_no_summary_if_none_is_wanted():
    model, _, _ = fitted("iris", diagnostics=False, max_iter=3)
    assert model.hessian_summary_ is None


@pytest.mark.parametrize("max_iter", [1, 5])
def test_the_last_epoch_is_a_newton_step(max_iter):
    model, _, _ = fitted("moons", max_iter=max_iter)
    assert model.n_iter_ == max_iter and model.history_["phase"][-1] == "newton"


def test_a_known_negative_eigenvalue_is_no_minimum():
    X, y = np.array([[-1.0], [1.0]]), np.array([1.0, -1.0])
    model = QNewtonRegressor((1,), activation="tanh", alpha=0.0, warm_start=True, random_state=0, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    model.coefs_, model.intercepts_ = (
        [np.zeros((1, 1))] * 2,
        [np.zeros(1)] * 2,
    )  # a saddle: the output is zero
    model.set_params(curvature="gauss_newton", diagnostics=True, tol=1e-6)
    with pytest.warns(ConvergenceWarning, match="saddle or a flat direction"):
        model.fit(X, y)
    assert (model.stop_reason_, model.converged_) == ("saddle", False)
