"""The main job on handwritten digits: a fit step by step, the schedulers side by side, the default fit."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from qnewton_sk.estimators import QNewtonClassifier
from qnewton_sk.machine import calibrate
from qnewton_sk.quantum import QuantumHardware
from qnewton_sk.reports import compare_runs, step_table
from qnewton_sk.scheduling import Scheduler, classical_backends, quantum_backend

FIRST_ORDER_STEPS = 1500
"""Number of steps that SGD takes in table III of arXiv:2405.00252."""

NEWTON_STEPS = 20
"""Number of Newton steps that suffices for the final loss of first-order training."""

EARLY_STEPS = 5
"""Number of first-order steps in the early phase of section IV-B."""

PAPER_TOL = 1e-12
"""Error tolerance of the quantum solver in section IV-C."""

PAPER_ALPHA = 1e-4
"""A penalty that hardly changes the curvature; the paper has none."""

SLOWER_GATE_SECONDS = 2e-10
"""Gate time at which the two solvers about break even on this net, so that the choice differs from step to step."""

CLASSICAL = "classical only (LU)"

NOTE = """\
Measured: gradient, curvature and condition number; every Newton step counts with the times of the classical run.
Modelled: the solve, with LU at the rates of this machine, which were measured just now. Quantum solves are emulated,
and neither loading the matrix nor reading the solution out is charged (the paper's assumptions;
Scheduler(assumptions="end_to_end") charges both)."""


def main():
    """Fit digits with the scheduler, print every step, compare with the baselines, and fit with defaults."""
    X_train, X_test, y_train, y_test = digits()
    fits = {name: fit(model, X_train, y_train) for name, model in methods().items()}
    default = fit(QNewtonClassifier(random_state=0), X_train, y_train)
    hybrid = fits["Q-Newton"].history_
    print(f"Handwritten digits, net 64-16-16-10, {sum(W.size for W in weights(default))} parameters.\n")
    print("Q-Newton: Gauss-Newton, LU against a quantum solver with gates of 1e-18 s; costs in seconds")
    print(step_table(hybrid))
    print(f"\n{break_even(hybrid)}\n")
    stages_of = dict.fromkeys([name for name in fits if "only" in name or "Q-Newton" in name], CLASSICAL)
    print(compare_runs({name: model.history_ for name, model in fits.items()}, stages_of=stages_of))
    print(f"\n{NOTE}\n")
    print(f"Q-Newton: test accuracy {fits['Q-Newton'].score(X_test, y_test):.4f}")
    print(
        f"default settings, with a larger penalty: test accuracy {default.score(X_test, y_test):.4f} after "
        f"{default.n_steps_} steps, {default.stop_reason_}"
    )


def digits():
    """Return standardised training and test pixels (1437 and 360 digits), and their labels."""
    X_train, X_test, y_train, y_test = train_test_split(
        *load_digits(return_X_y=True), test_size=0.2, random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def methods():
    """Return by name the methods of table III of arXiv:2405.00252, the same with slower gates, and the default."""
    lu, attosecond = classical_backends(calibrate())[0], quantum_backend("attosecond")
    slower = quantum_backend(
        QuantumHardware("slower", gate_seconds=SLOWER_GATE_SECONDS, source="a supposition")
    )
    return {
        "Q-Newton": newton(lu, attosecond),
        CLASSICAL: newton(lu),
        "quantum only": newton(attosecond),
        f"Q-Newton, gates of {SLOWER_GATE_SECONDS} s": newton(lu, slower),
        f"quantum only, gates of {SLOWER_GATE_SECONDS} s": newton(slower),
        "first-order, constant rate": first_order(),
        "default steps": QNewtonClassifier(alpha=PAPER_ALPHA, random_state=0),
    }


def newton(*backends):
    """Return Newton's method with a definite matrix, whose condition number is measured in every step."""
    return QNewtonClassifier(
        curvature="gauss_newton",
        condition_number="lanczos",
        scheduler=Scheduler(list(backends), tol=PAPER_TOL),
        first_order_steps=EARLY_STEPS,
        max_iter=NEWTON_STEPS,
        alpha=PAPER_ALPHA,
        random_state=0,
    )


def first_order():
    """Return gradient descent at a constant rate."""
    steps = FIRST_ORDER_STEPS
    return QNewtonClassifier(
        step_control="fixed", first_order_steps=steps, max_iter=steps, alpha=PAPER_ALPHA, random_state=0
    )


def fit(model, X, y):
    """Return the fitted model, which may use up its steps before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def weights(model):
    """Return all parameters of a fitted net."""
    return [*model.coefs_, *model.intercepts_]


def break_even(history):
    """Return two lines on the gate times at which the quantum solves would cost as much as LU."""
    times = history["break_even_gate_time"][history["phase"] == "newton"]
    return (
        f"The quantum solver is cheaper than LU if a gate takes less than {np.nanmin(times):.1e} s to "
        f"{np.nanmax(times):.1e} s, depending on the step.\nGates of today's machines take 7e-8 s to 7e-7 s."
    )


if __name__ == "__main__":
    main()
