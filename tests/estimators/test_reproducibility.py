"""The model is a function of data, settings and seed: the same to the last bit in every process."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_validate

from qnewton_sk import QNewtonClassifier, machine

SCRIPT = """
import hashlib, warnings
import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1, make_moons
from sklearn.preprocessing import StandardScaler
from qnewton_sk import QNewtonClassifier, QNewtonRegressor

warnings.simplefilter("ignore")
SETS = {
    "friedman1": (QNewtonRegressor, *make_friedman1(400, random_state=0)),
    "diabetes": (QNewtonRegressor, *load_diabetes(return_X_y=True)),
    "digits": (QNewtonClassifier, *load_digits(return_X_y=True)),
    "moons": (QNewtonClassifier, *make_moons(300, noise=0.2, random_state=0)),
}


def show(*labels):
    digest = hashlib.sha256()
    for model in labels:
        if hasattr(model, "coefs_"):
            for W in model.coefs_ + model.intercepts_:
                digest.update(W.tobytes())
            labels += (model.loss_, model.converged_, model.condition_number_, *model.schedule_)
    print(*(label for label in labels if not hasattr(label, "coefs_")), digest.hexdigest())


for name, (kind, X, y) in SETS.items():
    X = StandardScaler().fit_transform(X)
    for curvature in ("auto", "hessian"):
        steps = 2 if (name, curvature) == ("digits", "hessian") else 25
        model = kind(curvature=curvature, random_state=0, max_iter=steps).fit(X, y)
        show(name, curvature, model, repr({k: v for k, v in model.hessian_summary_.items() if k != "seconds"}))
X, y = SETS["diabetes"][1:]
settings = dict(hidden_layer_sizes=(60,), random_state=0, max_iter=25)
model = QNewtonRegressor(posterior="full", diagnostics=True, **settings).fit(StandardScaler().fit_transform(X), y)
show("posterior", model, model.hessian_summary_["smallest_magnitude"], model.effective_parameters_, model.noise_std_)
"""


def test_fits_are_identical_in_fresh_processes_on_one_and_two_threads():
    processes = []
    for threads in ("1", "2", "2"):
        limits = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **limits})
        )
    printed = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(printed[0]) == 9
    assert printed[0] == printed[1] == printed[2]


def test_cross_validation_gives_the_same_models_with_any_number_of_jobs():
    X, y = load_iris(return_X_y=True)
    model = QNewtonClassifier((8,), random_state=0, tol=1e-2, alpha=1.0)
    fits = [
        cross_validate(clone(model), X / 4 - 1, y, cv=3, n_jobs=jobs, return_estimator=True)["estimator"]
        for jobs in (1, 2)
    ]
    for one, other in zip(*fits):
        assert all(np.array_equal(a, b) for a, b in zip(one.coefs_, other.coefs_))


def test_no_fit_measures_the_machine(monkeypatch):
    monkeypatch.setattr(machine.calibration, "measure_rates", lambda *a, **k: pytest.fail("measured"))
    monkeypatch.setattr(machine.calibration, "_MEASURED", {})
    X, y = load_iris(return_X_y=True)
    for scheduler in ("auto", "classical", "quantum", "paper"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            QNewtonClassifier((4,), scheduler=scheduler, random_state=0, max_iter=3).fit(X, y)
