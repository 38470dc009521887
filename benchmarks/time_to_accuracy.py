"""How long until a net of 100 000 parameters classifies MNIST as well as wanted?

    python benchmarks/time_to_accuracy.py                       # 784-100-100-10, to 97.5 % of 10,000 images
    python benchmarks/time_to_accuracy.py --hidden 300          # one hidden layer
    python benchmarks/time_to_accuracy.py --quick               # 5000 images, to 90 %

Sides: the estimator with its default penalty, in full batches and in batches of 5000 (Gauss-Newton by products), and
with the penalty of MLPClassifier; MLPClassifier by Adam; torch, if it is installed, by Adam, in batches of 200 as
MLPClassifier takes them, and by L-BFGS with a strong Wolfe search, whose epochs here are 20 iterations. All are nets of
relus in float32, trained on 50,000 images of the training set, with the other 10,000 for validation. The clock stands
still while a net is validated, which happens after every epoch. Each side runs until it has reached the accuracy, or
for `--patience` seconds. MNIST comes from the file that QNEWTON_MNIST names, or else from OpenML.
"""

import math
import time

import numpy as np
from _common import limit_threads, mnist, parser, print_table, quiet, write_csv
from sklearn.neural_network import MLPClassifier

from qnewton_sk import QNewtonClassifier

BATCH = 200
"""Samples per step of Adam, the default of MLPClassifier."""


class Race:
    """The clock of one side, its validation, and the best accuracy.

    Parameters
    ----------
    validation : (X, y)
        Images and digits.
    wanted, patience : float
        Accuracy and seconds at which the side ends.
    """

    def __init__(self, validation, wanted, patience):
        self.X, self.y = validation
        self.wanted, self.patience = wanted, patience
        self.seconds, self.epochs, self.best = 0.0, 0, 0.0
        self._since = time.perf_counter()

    def epoch(self, predict):
        """Validate after an epoch, off the clock; return whether the side has ended."""
        self.seconds += time.perf_counter() - self._since
        self.epochs += 1
        self.best = max(self.best, float((predict(self.X) == self.y).mean()))
        self._since = time.perf_counter()
        return self.best >= self.wanted or self.seconds > self.patience

    def row(self, side):
        """Return the row of the table: the seconds are NaN if the accuracy was not reached."""
        reached = self.best >= self.wanted
        return {
            "side": side,
            "seconds": self.seconds if reached else math.nan,
            "epochs": self.epochs,
            "accuracy": self.best,
        }


class _Watch:
    """Callback of scikit-learn that hands every epoch's net to a race."""

    def __init__(self, race):
        self.race = race

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return context.task_name == "epoch" and self.race.epoch(fitted_estimator.predict)


def ours(race, X, y, hidden, **settings):
    """Fit the estimator until the race ends."""
    net = QNewtonClassifier(hidden, max_iter=10_000, tol=0.0, random_state=0, **settings)
    net.set_callbacks(_Watch(race)).fit(X, y)


def mlp_adam(race, X, y, hidden):
    """Train MLPClassifier by Adam, an epoch a call."""
    net = MLPClassifier(hidden, batch_size=BATCH, random_state=0)
    order, random = np.arange(len(X)), np.random.default_rng(0)
    while True:
        random.shuffle(order)
        net.partial_fit(X[order], y[order], classes=np.arange(10))
        if race.epoch(net.predict):
            return


def torch_net(torch, widths):
    """Return the layers with Glorot's uniform weights, as scikit-learn draws them."""
    torch.manual_seed(0)
    layers = []
    for a, b in zip(widths, widths[1:]):
        layer = torch.nn.Linear(a, b)
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def torch_side(race, X, y, hidden, method):
    """Train with torch: `method` is "adam" or "lbfgs"."""
    import torch

    net = torch_net(torch, [X.shape[1], *hidden, 10])
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y.astype(np.int64))
    loss_of = torch.nn.CrossEntropyLoss()

    def predict(images):
        with torch.no_grad():
            return net(torch.from_numpy(images)).argmax(dim=1).numpy()

    if method == "adam":
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
        while True:
            for rows in torch.randperm(len(X)).split(BATCH):
                optimiser.zero_grad()
                loss_of(net(inputs[rows]), targets[rows]).backward()
                optimiser.step()
            if race.epoch(predict):
                return
    optimiser = torch.optim.LBFGS(net.parameters(), history_size=20, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = loss_of(net(inputs), targets)
        loss.backward()
        return loss

    while True:
        optimiser.step(closure)  # 20 iterations
        if race.epoch(predict):
            return


def sides(threads):
    """Name -> function of (race, X, y, hidden)."""
    found = {
        "QNewtonClassifier": ours,
        "QNewtonClassifier, batches": lambda *args: ours(*args, batch_size=5000),
        "QNewtonClassifier, alpha=1e-4": lambda *args: ours(*args, alpha=1e-4),
        "MLPClassifier, Adam": mlp_adam,
    }
    try:
        import torch
    except ImportError:
        print("torch is not installed: pip install torch")
        return found
    torch.set_num_threads(threads)
    found["torch, Adam"] = lambda *args: torch_side(*args, "adam")
    found["torch, L-BFGS"] = lambda *args: torch_side(*args, "lbfgs")
    return found


def compare(X, y, hidden, wanted, patience, threads, n_validation):
    """Return one row per side."""
    order = np.random.default_rng(0).permutation(len(X))
    train, held = order[n_validation:], order[:n_validation]
    rows = []
    for side, run in sides(threads).items():
        race = Race((X[held], y[held]), wanted, patience)
        with quiet():
            run(race, X[train], y[train], hidden)
        rows.append(race.row(side))
        print(rows[-1], flush=True)
    return rows


def main():
    """Run every side and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--hidden", type=int, nargs="+", default=[100, 100], help="widths (100 100)")
    arguments.add_argument("--accuracy", type=float, default=0.975, help="of the validation (0.975)")
    arguments.add_argument("--patience", type=float, default=300.0, help="seconds of a side at most (300)")
    options = arguments.parse_args()
    limit_threads(options.threads)
    X, y = mnist()
    X = X.astype(np.float32)
    n_validation = 10_000
    if options.quick:
        X, y, n_validation, options.accuracy = X[:6000], y[:6000], 1000, 0.9
    hidden = tuple(options.hidden)
    rows = compare(X, y, hidden, options.accuracy, options.patience, options.threads, n_validation)
    header = ["side", f"s to {100 * options.accuracy:g} %", "epochs", "best accuracy"]
    title = f"MNIST, {len(X) - n_validation} images, hidden {hidden}, {options.threads} thread(s)"
    print_table(title, header, [list(row.values()) for row in rows])
    write_csv(options.csv, rows)


if __name__ == "__main__":
    main()
