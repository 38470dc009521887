"""Random fits for the fuzzer: a `Case` is data and settings of any kind, drawn from a seed and printable as a call."""

from collections import namedtuple
from dataclasses import dataclass, field, fields, replace

import autograd.numpy as anp
import numpy as np
import pandas as pd
from scipy import sparse

from qnewton_sk import (
    QLSA,
    AutoCurvature,
    Backend,
    ConditionNumber,
    CostEstimate,
    Curvature,
    EmpiricalFisher,
    FixedStep,
    GaussNewton,
    Hessian,
    LineSearch,
    QNewtonClassifier,
    QNewtonRegressor,
    QuantumAssumptions,
    QuantumCost,
    QuantumHardware,
    Scheduler,
    Solver,
    TrustRegion,
    classical_backends,
    default_backends,
    quantum_backend,
    solution_of,
)

Data = namedtuple("Data", "X y sample_weight X_val y_val")
CLASSIFICATION = ("binary", "multiclass", "multilabel")


# -- parts as a user would write them ------------------------------------------------------------------------


def bump(z):
    """An activation that is not monotone."""
    return z * anp.exp(-0.5 * z**2)


def log_cosh(y, z):
    """A smooth loss that is linear for large residuals."""
    return anp.mean(anp.logaddexp(z - y, y - z) - anp.log(2.0), axis=1)


def ten_kappa(kappa, tol, alpha):
    """A query count."""
    return 10.0 * kappa * alpha


def one_microsecond(facts, tol):
    """A cost."""
    return CostEstimate(1e-6)


class NumpySolve(Solver):
    """A solver of dense systems."""

    def solve(self, system):
        try:
            return solution_of(system, np.linalg.solve(system.matrix.dense(), system.rhs))
        except np.linalg.LinAlgError:
            return solution_of(system, np.full(system.rhs.shape, np.nan))


class TwiceGaussNewton(Curvature):
    """A curvature that wraps another one, on another partition than the estimator's."""

    def blocks(self, objective, theta):
        return GaussNewton("layer").blocks(objective, theta)


class HundredTimesFrobenius:
    """A rough estimator of the condition number."""

    def estimate(self, matrix):
        return ConditionNumber(100.0, "estimate", "constant")


PARTS = {
    part.__name__: part
    for part in (
        QLSA,
        AutoCurvature,
        Backend,
        EmpiricalFisher,
        FixedStep,
        GaussNewton,
        Hessian,
        HundredTimesFrobenius,
        LineSearch,
        NumpySolve,
        QuantumAssumptions,
        QuantumCost,
        QuantumHardware,
        Scheduler,
        TrustRegion,
        TwiceGaussNewton,
        bump,
        classical_backends,
        default_backends,
        one_microsecond,
        log_cosh,
        quantum_backend,
        ten_kappa,
    )
} | {"np": np}
"""Names that the settings of a case may use."""

CLASSICAL = [f"Scheduler([classical_backends()[{i}]])" for i in range(10)]
QUERY_MODELS = ("jennings2025", "dalzell2024", "costa2023", "costa2026", "childs2017", "hhl2009")
NOISY = "fidelity='noisy', readout_error={}, random_state=0"

VALUES = {
    "activation": "'identity' 'logistic' 'relu' 'softplus' 'silu' 'gelu' bump".split(),
    "alpha": "0.0 0 1e-12 1e-4 1.0 1e6 1e300 1e-300 'evidence' 'evidence_per_input'".split(),
    "curvature": [
        *"'hessian' 'gauss_newton' 'empirical_fisher' Hessian('layer') TwiceGaussNewton()".split(),
        *"GaussNewton() EmpiricalFisher('layer') AutoCurvature('full')".split(),
    ],
    "partition": ["'layer'"],
    "regularization": "0.0 0 1e-12 1.0 1e6 1e100 1e-300".split(),
    "oracle_sparsity": "1 2 5 0.01 0.5 1.0 np.float32(0.3) np.int64(3)".split(),
    "condition_number": [
        *"'exact' 'determinant' 'lanczos' 'one_norm' 'shift' 'products'".split(),
        "HundredTimesFrobenius()",
    ],
    "scheduler": [
        *"'classical' 'quantum' 'paper'".split(),
        "Scheduler(hardware='attosecond')",
        "Scheduler(hardware=QuantumHardware('mine', 1e-12))",
        "Scheduler(tol=1e-3)",
        "Scheduler(tol=1e-15)",
        "Scheduler(assumptions='end_to_end')",
        "Scheduler(assumptions={'loading': 'qrom', 'readout': 'sampling'}, hardware='attosecond')",
        "Scheduler(assumptions=QuantumAssumptions(loading='qrom_dense', norm='amplitude_estimation'))",
        "Scheduler(queries=ten_kappa, hardware='attosecond')",
        *(f"Scheduler(queries={name!r}, hardware='attosecond')" for name in QUERY_MODELS),
        *(
            f"Scheduler([quantum_backend('attosecond', {NOISY.format(error)})], tol=1e-2)"
            for error in (1e-3, 0.3)
        ),
        "Scheduler([quantum_backend('attosecond', fidelity='polynomial')], tol=1e-2)",
        "Scheduler([Backend('q', QLSA(refinements=2), QuantumCost(), 'quantum'), classical_backends()[0]])",
        "Scheduler([Backend('mine', NumpySolve(), one_microsecond)])",
        "Scheduler(default_backends() + [Backend('mine', NumpySolve(), one_microsecond)])",
        *CLASSICAL,
    ],
    "step_control": [
        *"'line_search' 'fixed' FixedStep(relative=True) FixedStep(damping=0.0,clip=1e300)".split(),
        *"LineSearch(damping=0.0) LineSearch(max_trials=1) TrustRegion(damping=0.0)".split(),
        *"TrustRegion(radius=1e-3) TrustRegion(radius=1e12) TrustRegion(learning_rate=0.1)".split(),
    ],
    "learning_rate_init": "0.01 0.5 3.0 1e-10 1e10 1".split(),
    "first_order_steps": "1 3 100".split(),
    "batch_size": "1 2 5 7 1000".split(),
    "tol": "0.0 0 1e-300 1e-10 1e-2 1.0 1e9".split(),
    "n_iter_no_change": "1 2 np.inf".split(),
    "early_stopping": ["True"],
    "validation_fraction": "0.3 0.5".split(),
    "warm_start": ["True"],
    "diagnostics": "True False".split(),
    "posterior": "'full' 'layer' 'last_layer'".split(),
    "shuffle": ["False"],
    "verbose": "True 1".split(),
    "n_jobs": "1 2".split(),
    "class_weight": [
        "'balanced'",
        "{labels[0]: 0.5}",
        "{labels[0]: 1e-300}",
        "{labels[0]: 0.0, labels[1]: 1.0}",
    ],
    "loss": ["'poisson'", "'huber'", "log_cosh"],
}
"""Source text of the values of each setting, besides its default."""

ALWAYS = {
    "hidden_layer_sizes": "() () (1,) (3,) (6,) 5 (2,2) (3,1,3) (2,2,2,2) [4,3]".split(),
    "max_iter": "1 2 3 5 8 12 12 40".split(),
    "random_state": "0 1 2 3 np.random.RandomState(4)".split(),
}
"""The same for settings that every case has."""

SHARE_OF_CHANGED = {
    "verbose": 0.02,
    "n_jobs": 0.03,
    "posterior": 0.05,
    "diagnostics": 0.1,
    "loss": 0.5,
    "warm_start": 0.02,
}
"""How often a setting is not its default; the others are so in one of seven cases."""

KINDS = {
    "X": ("normal", "mixed scales", "collinear", "constant column", "zeros", "duplicates", "counts"),
    "y": ("rule", "noise", "constant", "outlier"),
    "labels": ("int", "str", "negative", "float", "bool"),
    "dtype": ("float32", "int64", "int8", "uint8", "bool"),
    "container": ("fortran", "sliced", "readonly", "list", "pandas", "csr", "csc", "column y"),
    "weights": ("ones", "zeros", "huge", "tiny", "wide", "one positive", "int", "scalar"),
    "call": ("reused", "warm", "partial", "checkpoint"),
}
"""Values of the fields of a case; the first of X, y and labels is the default."""


@dataclass(frozen=True)
class Case:
    """One fit: its data and settings, all in plain values, so that its repr is the call that makes it again.

    Parameters
    ----------
    task : {"regression", "binary", "multiclass", "multilabel"}
        The loss of a regression is a setting.
    n, features, outputs : int
        Samples, columns of X, and columns of y (or classes, or labels).
    X, y, labels, dtype, container, weights : str
        Kind of data, see `KINDS`.
    X_scale, y_scale : float
        Factors on X and on the targets of a regression.
    validation : bool
        Whether a validation set is passed.
    call : {"fit", "reused", "warm", "partial", "checkpoint"}
        How the estimator is fitted.
    settings : dict of str to str
        Parameters of the estimator as source text.
    seed : int
        Of the data.
    """

    task: str = "regression"
    n: int = 20
    features: int = 3
    outputs: int = 1
    X: str = "normal"
    y: str = "rule"
    labels: str = "int"
    dtype: str = "float64"
    container: str = "array"
    weights: str = "none"
    X_scale: float = 1.0
    y_scale: float = 1.0
    validation: bool = False
    call: str = "fit"
    settings: dict = field(default_factory=dict)
    seed: int = 0

    def __repr__(self):
        changed = (f for f in fields(self) if getattr(self, f.name) != getattr(Case(), f.name))
        return f"Case({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"

    @property
    def is_classification(self):
        """Whether the estimator is the classifier."""
        return self.task in CLASSIFICATION

    @property
    def loss(self):
        """The loss of a regression by its name."""
        return self.settings.get("loss", "'squared_error'").strip("'")

    def estimator(self, **settings):
        """A new estimator of these settings."""
        names = PARTS | {"labels": self._label_values()}
        evaluated = {name: eval(text, dict(names)) for name, text in self.settings.items()}
        kind = QNewtonClassifier if self.is_classification else QNewtonRegressor
        return kind(**(evaluated | settings))

    def but(self, **changes):
        """The same case with some fields changed."""
        return replace(self, **changes)

    def but_setting(self, name, text=None):
        """The same case with one setting changed, or back at its default."""
        settings = {key: value for key, value in self.settings.items() if key != name}
        return replace(self, settings=settings if text is None else settings | {name: text})

    # -- data ------------------------------------------------------------------------------------------------

    def data(self):
        """Return X, y, the weights and the validation set as they are passed to `fit`."""
        X, y, weight = self.plain()
        validation = (None, None)
        if self.validation:
            validation = self._contained(X[: self.n // 2 + 1].copy(), y[: self.n // 2 + 1].copy())
        if self.weights == "scalar":
            weight = 2.0
        return Data(*self._contained(X, y), weight, *validation)

    def plain(self):
        """Return X of its dtype, y and the weights as arrays, before they are put into containers."""
        rng = np.random.default_rng(self.seed)
        base = self._inputs(rng)
        with np.errstate(over="ignore", under="ignore"):
            X = _cast(base * self.X_scale, self.dtype)
        return X, self._targets(base, rng), self._weights(rng)

    def _inputs(self, rng):
        X = rng.standard_normal((self.n, self.features))
        if self.X == "mixed scales":
            X *= 10.0 ** rng.uniform(-8, 8, self.features)
        elif self.X == "collinear":
            X[:] = X[:, :1] * rng.standard_normal(self.features)
        elif self.X == "constant column":
            X[:, 0] = 1.0
        elif self.X == "zeros":
            X[:] = 0.0
        elif self.X == "duplicates":
            X = X[rng.integers(max(1, self.n // 5), size=self.n)]
        elif self.X == "counts":
            X = rng.integers(0, 5, X.shape).astype(float)
        return X

    def _targets(self, base, rng):
        signal = np.tanh(base @ rng.standard_normal((self.features, self.outputs)))
        if self.y != "rule":
            signal = rng.standard_normal(signal.shape)
        if self.is_classification:
            return self._labelled(signal, rng)
        if self.y == "constant":
            signal[:] = 1.0
        if self.y == "outlier":
            signal[0] = 1e6
        if self.loss == "poisson":
            signal = np.round(np.exp(2 * np.minimum(signal, 3.0)))
        with np.errstate(over="ignore", under="ignore"):
            y = _cast(signal * self.y_scale, "float64")
        return y[:, 0] if self.outputs == 1 else y

    def _labelled(self, signal, rng):
        if self.task == "multilabel":
            return (signal > 0).astype(int)
        n_classes = 2 if self.task == "binary" else self.outputs
        codes = (np.abs(signal[:, 0]) * 7 + (signal[:, 0] > 0)).astype(int) % n_classes
        if self.y == "rule":
            codes[: min(n_classes, self.n)] = np.arange(n_classes)[: self.n]
        return self._label_values()[codes]

    def _label_values(self):
        values = np.arange(max(self.outputs, 2))
        if self.labels == "str":
            return np.array([f"class {v}" for v in values])
        if self.labels == "bool" and self.task == "binary":
            return np.array([False, True])
        return {"negative": values - 1, "float": values + 1.0}.get(self.labels, values)

    def _weights(self, rng):
        weight = rng.uniform(0.1, 3.0, self.n)
        if self.weights == "zeros":
            weight[::3] = 0.0
        if self.weights == "one positive":
            weight[1:] = 0.0
        scale = {"huge": 1e306, "tiny": 1e-306, "wide": 10.0 ** rng.uniform(-100, 100, self.n)}
        if self.weights in scale:
            return weight * scale[self.weights]
        if self.weights == "int":
            return rng.integers(1, 4, self.n)
        constant = {"none": None, "ones": np.ones(self.n), "scalar": np.full(self.n, 2.0)}
        return constant.get(self.weights, weight)

    def _contained(self, X, y):
        kind = self.container
        if kind == "fortran":
            X = np.asfortranarray(X)
        elif kind == "sliced":
            X = np.repeat(X, 2, axis=1)[:, ::2]
        elif kind == "readonly":
            X.flags.writeable = y.flags.writeable = False
        elif kind == "list":
            X, y = X.tolist(), y.tolist()
        elif kind == "pandas":
            X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
            y = pd.Series(y) if y.ndim == 1 else pd.DataFrame(y)
        elif kind in ("csr", "csc"):
            X = sparse.csr_array(X) if kind == "csr" else sparse.csc_array(X)
        elif kind == "column y" and y.ndim == 1:
            y = y[:, None]
        return X, y


def _cast(values, dtype):
    """The values in another dtype, as many of them as it can hold."""
    if dtype == "bool":
        return values > 0
    info = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    limit = (float(info.min) / 2, float(info.max) / 2)
    return np.clip(values, *limit).astype(dtype)


# -- drawing -------------------------------------------------------------------------------------------------


def draw(seed, index):
    """Return the case of this number: each field its default in most cases, so that few meet at once."""
    rng = np.random.default_rng([seed, index])
    task = str(rng.choice(["binary", "multiclass", "multilabel", "regression", "regression"]))
    chosen = {
        name: str(rng.choice(values)) for name, values in KINDS.items() if rng.random() < _share(name, task)
    }
    dtype = chosen.get("dtype", "float64")
    case = Case(
        task=task,
        n=int(rng.choice([1, 2, 3, 6, 12, 20, 30, 50], p=[0.04, 0.04, 0.05, 0.12, 0.2, 0.25, 0.2, 0.1])),
        features=int(rng.choice([1, 2, 3, 6])),
        outputs=int(rng.choice([1, 1, 2, 3])) if task == "regression" else int(rng.choice([2, 3, 4])),
        validation=bool(rng.random() < 0.08),
        X_scale=_scale(rng, dtype),
        y_scale=_scale(rng, "float32" if dtype == "float32" else "float64"),
        seed=int(rng.integers(1000)),
        **chosen,
    )
    return replace(case, settings=_settings(rng, case))


def _share(name, task):
    if name == "labels" and task == "regression":
        return 0.0
    return {"call": 0.15, "dtype": 0.3, "container": 0.25, "weights": 0.25}.get(name, 0.4)


def _scale(rng, dtype):
    """1 in most cases, else any power of ten that the dtype can hold."""
    if rng.random() < 0.65:
        return 1.0
    width = {"float64": 300, "float32": 36, "int64": 15}.get(dtype, 2)
    if rng.random() < 0.5:
        width = min(width, 8)
    return float(f"1e{int(rng.integers(-width, width + 1))}")


def _settings(rng, case):
    settings = {name: str(rng.choice(values)) for name, values in ALWAYS.items()}
    for name, values in VALUES.items():
        own = {"class_weight": case.is_classification, "loss": not case.is_classification}.get(name, True)
        if own and rng.random() < SHARE_OF_CHANGED.get(name, 1 / 7):
            settings[name] = str(rng.choice(values))
    if case.call == "partial" or case.task == "multilabel":
        settings.pop("class_weight", None)
    if case.call == "partial":
        settings.pop("early_stopping", None)
    if case.call == "reused":
        settings.pop("warm_start", None)
    if case.call == "checkpoint":
        settings["random_state"] = "0"  # a generator that goes on makes the second fit another one
    if "activation" in settings and rng.random() < 0.2:
        hidden = eval(settings["hidden_layer_sizes"])
        depth = 1 if isinstance(hidden, int) else len(hidden)
        settings["activation"] = f"[{', '.join(rng.choice(VALUES['activation'], depth))}]"
    return settings
