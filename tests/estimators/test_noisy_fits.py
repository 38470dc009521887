"""Newton's method with a noisy quantum solver: fits converge, and the record shows what the noise cost."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import StandardScaler

from qnewton_sk import QNewtonClassifier, Scheduler
from qnewton_sk.scheduling.backends import quantum_backend

TOL = 1e-2


def fitted(load, tol=TOL, **emulator):
    """A fit that the emulated solver alone has solved."""
    X, y = load(return_X_y=True)
    scheduler = Scheduler([quantum_backend("attosecond", **emulator)], tol=tol)
    net = QNewtonClassifier(
        (3,), alpha=1.0, curvature="hessian", scheduler=scheduler, tol=1e-6, max_iter=200, random_state=0
    )
    return net.fit(StandardScaler().fit_transform(X), y)


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fits_converge_under_a_readout_error_of_one_percent(load, seed):
    ideal, noisy = fitted(load), fitted(load, fidelity="noisy", readout_error=1e-2, random_state=seed)
    assert ideal.converged_ and noisy.converged_
    assert set(noisy.schedule_) == {"qlsa"}
    assert noisy.loss_ == pytest.approx(ideal.loss_, rel=1e-4)
    # what the error cost, in steps: little
    assert noisy.n_steps_ <= 1.5 * ideal.n_steps_ + 5


def test_the_record_shows_the_error_of_the_solves():
    runs = {
        "ideal": fitted(load_iris),
        "refined": fitted(load_iris, fidelity="noisy", readout_error=1e-2, refinements=3, random_state=0),
        "noisy": fitted(load_iris, fidelity="noisy", readout_error=1e-2, random_state=0),
    }
    residual = {name: np.nanmedian(net.history_["relative_residual"]) for name, net in runs.items()}
    assert residual["ideal"] < 1e-12 < residual["refined"] < 1e-4 < residual["noisy"] < 1.0


def test_a_readout_error_of_a_fifth_still_finds_the_minimum():
    good, bad = (
        fitted(load_breast_cancer, fidelity="noisy", readout_error=error, random_state=0)
        for error in (1e-3, 0.2)
    )
    assert good.converged_ and bad.converged_
    assert bad.loss_ == pytest.approx(good.loss_, rel=3e-2)  # both may stop 0.5 % short


def test_the_polynomial_fits_a_net():
    ideal, polynomial = fitted(load_iris), fitted(load_iris, fidelity="polynomial")
    assert polynomial.converged_
    assert polynomial.loss_ == pytest.approx(ideal.loss_, rel=1e-4)
