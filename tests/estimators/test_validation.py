"""Bad input: a ValueError that names the parameter, what it got and the way out, before any work."""

import re
import warnings

import autograd.numpy as anp
import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, minres
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import (
    Backend,
    CostEstimate,
    QNewtonClassifier,
    QNewtonRegressor,
    Scheduler,
    Solver,
    solution_of,
)
from qnewton_sk.data import check_sample_weight
from qnewton_sk.estimators import validation
from qnewton_sk.estimators.validation import (
    check_hidden_layer_sizes,
    check_memory,
    check_parameters,
    probe_loss,
)
from qnewton_sk.machine.memory import available_memory_bytes
from qnewton_sk.nets.losses import resolve_loss
from qnewton_sk.solvers import CG, LU

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.arange(12) % 3

BAD = {
    "hidden_layer_sizes": [(4, 0), -1, (2.5,), "wide", (True,)],
    "activation": ["softmax", 3, ("tanh",), ndtr, lambda z: z.sum()],
    "alpha": [-1e-4, np.nan, np.inf, "small", None, True],
    "curvature": ["newton", 1, object()],
    "partition": ["block", None],
    "regularization": [-1.0, np.inf],
    "oracle_sparsity": [0, -3, 0.0, 1.5, "half", True],
    "condition_number": ["kappa", 10.0],
    "scheduler": ["fastest", 1, Scheduler],
    "step_control": ["wolfe", 0.5],
    "learning_rate_init": [0.0, -1.0, np.nan],
    "first_order_steps": [-1, 1.5],
    "batch_size": [0, 2.5, "full", None],
    "max_iter": [0, 10.5, None],
    "tol": [-1e-4, np.nan],
    "n_iter_no_change": [0, -np.inf],
    "checkpoint": [1.5, "/no/such/folder/fit.ckpt"],
    "early_stopping": ["yes", 1, None],
    "diagnostics": ["full", 1, None],
    "posterior": ["half", 1, True],
    "validation_fraction": [0.0, 1.0, 2],
    "warm_start": ["no"],
    "shuffle": [None],
    "verbose": [-1, "loud"],
    "class_weight": ["equal", 2.0, {0: -1.0, 1: 1.0, 2: 1.0}, {0: 0.0, 1: 0.0, 2: 0.0}, {7: 1.0}],
    "n_jobs": [0, 1.5],
    "random_state": ["seed", -1, 2**32, np.random.default_rng(0)],
}
CASES = [(name, value) for name, values in BAD.items() for value in values]


@pytest.fixture
def no_work(monkeypatch):
    """Make any use of the loop an error that is not a ValueError."""

    def run(*args, **kwargs):
        raise AssertionError("the loop was started")

    monkeypatch.setattr("qnewton_sk.optimize.newton.Newton.run", run)


def test_every_parameter_has_its_bad_values():
    assert set(BAD) == set(QNewtonClassifier().get_params())


@pytest.mark.parametrize("name, value", CASES, ids=lambda v: str(v)[:20])
def test_a_bad_parameter_is_named_before_any_work(no_work, name, value):
    own = {"class_weight": "class_weight"}.get(name, f"`{name}` must ")
    model = QNewtonClassifier((4, 4)).set_params(**{name: value})
    with pytest.raises(ValueError, match=own):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "name, value", [c for c in CASES if c[0] in ("alpha", "tol", "max_iter", "oracle_sparsity")]
)
def test_the_message_says_what_it_got(name, value):
    with pytest.raises(ValueError, match=re.escape(f"got {value!r}")):
        check_parameters({name: value})


@pytest.mark.parametrize(
    "loss", ["absolute_error", 2, lambda y, z: anp.sum((y - z) ** 2), lambda y, z: np.float64("x")]
)
def test_a_bad_loss_is_named(no_work, loss):
    with pytest.raises(ValueError, match="`loss` must"):
        QNewtonRegressor(loss=loss).fit(X, Y.astype(float))


def test_a_good_loss_passes():
    def own(y, z):
        return anp.sum(anp.log(anp.cosh(y - z)), axis=1)

    probe_loss(own, resolve_loss(own))


@pytest.mark.parametrize(
    "scheduler, named",
    [(Scheduler(tol=-1), "`tol` of a Scheduler must"), (Scheduler([LU()]), "`backends` must")],
)
def test_a_bad_setting_of_the_scheduler_is_named_before_any_work(no_work, scheduler, named):
    with pytest.raises(ValueError, match=named):
        QNewtonClassifier(scheduler=scheduler).fit(X, Y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_data(no_work, bad):
    spoiled = X.copy()
    spoiled[3, 1] = bad
    with pytest.raises(ValueError, match="X contains"):
        QNewtonClassifier().fit(spoiled, Y)
    with pytest.raises(ValueError, match="y contains"):
        QNewtonRegressor().fit(X, np.where(Y == 1, bad, 0.0))
    with pytest.raises(ValueError, match="`sample_weight` must be finite"):
        QNewtonClassifier().fit(X, Y, sample_weight=np.where(Y == 1, bad, 1.0))


@pytest.mark.parametrize(
    "weight, message",
    [
        (np.ones(5), r"must have shape \(12,\)"),
        (np.ones((12, 1)), r"must have shape \(12,\)"),
        (-np.ones(12), "must be >= 0"),
        (np.zeros(12), "must be positive for some sample"),
    ],
)
def test_bad_weights(no_work, weight, message):
    with pytest.raises(ValueError, match="`sample_weight` " + message):
        QNewtonClassifier().fit(X, Y, sample_weight=weight)


def test_a_scalar_weight_holds_for_all():
    assert np.array_equal(check_sample_weight(2.0, 3, np.float32), np.full(3, 2, np.float32))


@pytest.mark.parametrize(
    "data", [(X[:0], Y[:0]), (X, Y[:5]), (X[0], Y), (X, np.zeros(12, int)), (X, Y + 0.5)]
)
def test_data_of_the_wrong_shape_or_kind(no_work, data):
    with pytest.raises(ValueError, match="class|sample|dim|label|array"):
        QNewtonClassifier().fit(*data)


def test_several_columns_of_labels_name_the_way_out(no_work):
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        QNewtonClassifier().fit(X, np.column_stack([Y, Y]))


def test_negative_counts(no_work):
    with pytest.raises(ValueError, match='must be >= 0 for loss="poisson"; got -1'):
        QNewtonRegressor(loss="poisson").fit(X, Y - 1.0)


@pytest.mark.parametrize("given, missing", [("X_val", "y_val"), ("y_val", "X_val")])
def test_half_a_validation_set(no_work, given, missing):
    with pytest.raises(ValueError, match=f"`{missing}` must be passed together with `{given}`"):
        QNewtonClassifier().fit(X, Y, **{given: X if given == "X_val" else Y})


def test_unknown_class_in_the_validation_set(no_work):
    with pytest.raises(ValueError, match=r"`y_val` must hold only classes \[0 1 2\]; got \[9\]"):
        QNewtonClassifier().fit(X, Y, X_val=X[:2], y_val=[0, 9])


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_a_split_that_leaves_nothing(no_work, fraction):
    with pytest.raises(ValueError, match="`validation_fraction` must leave samples.*X_val and y_val"):
        QNewtonClassifier(early_stopping=True, validation_fraction=fraction).fit(X, Y)


def test_hidden_layer_sizes_may_be_any_sequence_of_integers():
    assert check_hidden_layer_sizes(5) == (5,)
    assert check_hidden_layer_sizes(np.array([3, 4])) == (3, 4)
    assert check_hidden_layer_sizes([]) == ()


# -- memory ------------------------------------------------------------------------------------------------


def test_available_memory_is_a_plausible_number():
    assert 2**26 < available_memory_bytes() <= 2**50


@pytest.fixture
def one_gigabyte(monkeypatch):
    monkeypatch.setattr(validation, "available_memory_bytes", lambda: 2**30)


def test_a_matrix_beyond_memory_names_need_and_ways_out(one_gigabyte):
    with pytest.raises(
        ValueError, match=r'scheduler="paper" needs.*18.6 GiB of 1.0 GiB.*partition="layer" \(5.1 GiB\)'
    ):
        check_memory([15_000, 16_622], 8, "full", 'scheduler="paper"')


def test_layers_that_fit_one_by_one_pass(one_gigabyte):
    check_memory([5000] * 4, 8, "layer", 'scheduler="paper"')
    check_memory([5000] * 4, 8, "full")
    with pytest.raises(ValueError, match="fits into memory"):
        check_memory([5000] * 4, 8, "full", 'scheduler="paper"')


def test_vectors_beyond_memory(one_gigabyte):
    with pytest.raises(ValueError, match="Use smaller layers"):
        check_memory([10**8], 8, "full")


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"scheduler": "paper"}, "scheduler=.paper."),
        ({"scheduler": "quantum"}, "scheduler=.quantum."),
        ({"oracle_sparsity": 0.5}, "oracle_sparsity=0.5"),
        ({"condition_number": "exact"}, "condition_number=.exact."),
    ],
)
def test_settings_that_need_entries_are_refused_for_a_large_net(no_work, one_gigabyte, settings, named):
    with pytest.raises(ValueError, match=named):
        QNewtonClassifier((3000, 10), **settings).fit(X, Y)


@pytest.mark.parametrize("scheduler", ["auto", "classical"])
def test_products_alone_are_not_refused(no_work, one_gigabyte, scheduler):
    with pytest.raises(AssertionError, match="the loop was started"):
        QNewtonClassifier((3000, 10), scheduler=scheduler).fit(X, Y)


def test_hessian_of_a_large_net_is_refused(one_gigabyte):
    model = QNewtonClassifier((3000, 10), max_iter=1)
    with pytest.warns(Warning, match="max_iter"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match="the method `hessian` needs"):
        model.hessian(X, Y)


class Minres(Solver):
    """A user's solver that takes products alone."""

    needs = "products"

    def solve(self, system):
        n = system.matrix.n
        A = LinearOperator((n, n), matvec=system.matrix.product, dtype=system.rhs.dtype)
        return solution_of(system, minres(A, system.rhs, rtol=system.tol)[0])


def free(facts, tol):
    return CostEstimate(1e-9)


@pytest.mark.parametrize("curvature", ["gauss_newton", "empirical_fisher"])
@pytest.mark.parametrize("solver", [Minres(), CG()], ids=lambda s: type(s).__name__)
def test_a_net_too_large_for_its_matrix_is_fitted_by_any_solver_that_takes_products(
    solver, curvature, monkeypatch
):
    X = np.random.default_rng(0).standard_normal((20, 78))
    monkeypatch.setattr(validation, "available_memory_bytes", lambda: 2**28)
    net = QNewtonRegressor((50,), curvature=curvature, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.set_params(scheduler=Scheduler([Backend("mine", solver, free)])).fit(X, X[:, 0])
    assert list(net.schedule_) == ["mine"]
    with pytest.raises(ValueError, match="`hidden_layer_sizes` must give a matrix that fits into memory"):
        net.set_params(scheduler=Scheduler([Backend("lu", LU(), free)])).fit(X, X[:, 0])


def test_a_validation_set_of_named_columns_raises_no_warning():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).standard_normal((8, 2)), columns=["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        QNewtonRegressor((2,), max_iter=2).fit(frame, frame["a"], X_val=frame[:4], y_val=frame["a"][:4])
