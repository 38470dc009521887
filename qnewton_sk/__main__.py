"""The main job on handwritten digits: one fit step by step, then the schedulers side by side."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from .diagnostics import compare_runs, step_table
from .estimators import QNewtonClassifier

FIRST_ORDER_STEPS = 1500  # as many as SGD takes in table III of arXiv:2405.00252


def main():
    """Fit digits with the scheduler, print every step, and compare with the baselines."""
    X_train, X_test, y_train, y_test = digits()
    hybrid = QNewtonClassifier(random_state=0).fit(X_train, y_train)
    print(step_table(hybrid.history_))
    print(f"\nstopped: {hybrid.stop_reason_}")
    print(f"test accuracy: {hybrid.score(X_test, y_test):.4f}\n")
    print(compare_runs({name: model.fit(X_train, y_train).history_ for name, model in contestants().items()}))


def digits():
    """Return standardised training and test pixels, and their labels."""
    X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def contestants():
    """Return the methods of table III of arXiv:2405.00252, by name."""
    schedulers = {"Q-Newton": "paper", "classical only": "classical", "quantum only": "quantum"}
    newton = {
        name: QNewtonClassifier(scheduler=scheduler, random_state=0) for name, scheduler in schedulers.items()
    }
    first_order = QNewtonClassifier(
        first_order_steps=FIRST_ORDER_STEPS, max_iter=FIRST_ORDER_STEPS, random_state=0
    )
    return newton | {"first-order": first_order}


if __name__ == "__main__":
    main()
