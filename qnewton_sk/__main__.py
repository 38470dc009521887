"""The main job on handwritten digits: one fit step by step, then the schedulers side by side."""

import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from .diagnostics import compare_runs, step_table
from .estimators import QNewtonClassifier

FIRST_ORDER_STEPS = 1500
"""As many as SGD takes in table III of arXiv:2405.00252."""

NOTE = (
    "Quantum solves are emulated. Whether the measured stages hold the assembly of the matrix depends on\n"
    "the classical solver behind the emulation: LU needs it, conjugate gradients do not."
)

NEWTON_STEPS = 30
"""More than enough for the loss at which first-order training arrives."""


def main():
    """Fit digits with the scheduler, print every step, and compare with the baselines."""
    X_train, X_test, y_train, y_test = digits()
    model = QNewtonClassifier(random_state=0).fit(X_train, y_train)
    print(step_table(model.history_))
    print(f"\nstopped: {model.stop_reason_}")
    print(f"test accuracy: {model.score(X_test, y_test):.4f}\n")
    print(compare_runs({name: history(method, X_train, y_train) for name, method in methods().items()}))
    print(f"\n{NOTE}")


def digits():
    """Return standardised training and test pixels, and their labels."""
    X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def methods():
    """Return the methods of table III of arXiv:2405.00252, and a stronger first-order one, by name."""
    schedulers = {"Q-Newton": "paper", "classical only": "classical", "quantum only": "quantum"}
    newton = {
        name: QNewtonClassifier(scheduler=scheduler, max_iter=NEWTON_STEPS, random_state=0)
        for name, scheduler in schedulers.items()
    }
    controls = {"first-order, constant rate": "fixed", "first-order, line search": "line_search"}
    first_order = {
        name: QNewtonClassifier(
            step_control=control,
            first_order_steps=FIRST_ORDER_STEPS,
            max_iter=FIRST_ORDER_STEPS,
            random_state=0,
        )
        for name, control in controls.items()
    }
    return newton | first_order


def history(model, X, y):
    """Return the history of a fit that its budget of steps may end before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y).history_


if __name__ == "__main__":
    main()
