"""Fits, predictions and scores on dask arrays are those on numpy arrays, whatever the chunks."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, Scheduler, default_backends
from qnewton_sk.curvature import GaussNewton, Hessian, resolve_curvature
from qnewton_sk.data import DaskData, MemoryData, dask_data
from qnewton_sk.estimators import checkpoint
from qnewton_sk.nets import BaseObjective, Objective
from qnewton_sk.nets import objective as objective_module

cloudpickle = pytest.importorskip("cloudpickle")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

N = 600
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5))
LABELS = np.array(["a", "b", "c"])[(X[:, 0] * X[:, 1] > 0.2).astype(int) + (X[:, 2] > 0.7)]
TARGET = np.sin(X[:, 0]) + 0.3 * X[:, 1] ** 2 + 0.1 * RNG.normal(size=N)
WEIGHT = RNG.uniform(0.5, 2.0, N)
UNEVEN = (150, 250, 200)

IN_DOUBLE = Scheduler([b for b in default_backends() if b.name in ("cholesky", "more_sorensen")])
BY_PRODUCTS = Scheduler([b for b in default_backends() if b.name == "cg"])
STEPS = {
    "first-order": dict(first_order_steps=8),
    "hessian": dict(curvature="hessian", scheduler=IN_DOUBLE),
    "gauss-newton": dict(curvature="gauss_newton", scheduler=IN_DOUBLE),
    "fisher": dict(curvature="empirical_fisher", scheduler=IN_DOUBLE),
    "products": dict(curvature="hessian", scheduler=BY_PRODUCTS),
    "layers": dict(curvature="gauss_newton", partition="layer", scheduler=IN_DOUBLE),
}
all_steps = pytest.mark.parametrize("steps", STEPS)
both = pytest.mark.parametrize("make, y", [(QNewtonClassifier, LABELS), (QNewtonRegressor, TARGET)])


def fitted(make, X, y, sample_weight=None, **settings):
    """An estimator after a few steps; that they are few is no news."""
    settings = {"hidden_layer_sizes": (6, 4), "random_state": 0, "max_iter": 8, "tol": 1e-12, **settings}
    settings.setdefault("regularization", 0.1)  # small steps amplify rounding little
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make(**settings).fit(X, y, sample_weight)


def chunked(array, rows=UNEVEN, columns=None):
    """The array in dask, in chunks of so many rows."""
    chunks = (rows,) if array.ndim == 1 else (rows, array.shape[1] if columns is None else columns)
    return da.from_array(array, chunks=chunks)


@both
@all_steps
def test_the_loss_curve_is_that_of_numpy(make, y, steps):
    alone = fitted(make, X, y, **STEPS[steps])
    together = fitted(make, chunked(X), chunked(y), **STEPS[steps])
    # numpy's early steps are taken in single precision
    assert together.loss_curve_ == pytest.approx(
        alone.loss_curve_, rel=1e-5 if steps == "first-order" else 1e-10
    )
    assert together.schedule_ == alone.schedule_
    assert together.n_features_in_ == 5


class Sum(BaseObjective):
    """Objectives on consecutive rows, added up in their order in this process."""

    def __init__(self, whole, size, in_single=False):
        vars(self).update(
            {name: getattr(whole, name) for name in ("network", "n_samples", "n_params", "alpha")}
        )
        self.total_weight, self.penalties, self.dtype = whole.total_weight, whole.penalties, whole.dtype
        self.whole, self.size, self._single = whole, size, None
        rows = [slice(start, start + size) for start in range(0, whole.n_samples, size)]
        same = dict(total_weight=whole.total_weight, share=size / whole.n_samples, dtype=whole.dtype)
        self.parts = [Objective(whole.network, whole.X[r], whole.targets[r], **same) for r in rows]
        self.memo = {}

    def over_parts(self, work, out=None, *arguments):
        values = []
        for part in self.parts:
            term = None if out is None else np.zeros_like(out)
            # a product keeps what belongs to its only part
            fresh = [{} if isinstance(argument, dict) else argument for argument in arguments]
            values.append(work(part, term, *fresh))
            if out is not None:
                out += term
        return sum(values)

    def rows_of_parts(self, make, *arguments):
        return np.concatenate([make(part, *arguments) for part in self.parts])

    def batch(self, indices):
        raise NotImplementedError

    def single(self):
        if self._single is None:
            self._single = Sum(self.whole.single(), self.size).with_alpha(self.alpha)
        return self._single


@both
@all_steps
def test_the_same_chunks_give_the_same_bits(make, y, steps, monkeypatch):
    settings = {**STEPS[steps], "diagnostics": False}
    together = fitted(make, chunked(X, 200), chunked(y, 200), **settings)
    in_memory = MemoryData.objective
    monkeypatch.setattr(MemoryData, "objective", lambda self, *a, **k: Sum(in_memory(self, *a, **k), 200))
    alone = fitted(make, X, y, **settings)
    assert together.loss_curve_ == alone.loss_curve_
    for a, b in zip(together.coefs_ + together.intercepts_, alone.coefs_ + alone.intercepts_):
        assert np.array_equal(a, b)


@both
@pytest.mark.parametrize("steps", ["first-order", "gauss-newton", "fisher", "layers"])
def test_chunks_as_numpy_cuts_them_give_the_bits_of_numpy(make, y, steps, monkeypatch):
    per_sample = 6 * 8 * (sum((6, 4, 3 if make is QNewtonClassifier else 1)) + 1)
    monkeypatch.setattr(objective_module, "CACHE_BYTES", 200 * per_sample)
    monkeypatch.setattr(objective_module, "MIN_SINGLE_SIZE", np.inf)
    settings = {**STEPS[steps], "diagnostics": False}
    alone = fitted(make, X, y, **settings)
    together = fitted(make, chunked(X, 200), chunked(y, 200), **settings)
    assert together.loss_curve_ == alone.loss_curve_


@both
def test_one_chunk_gives_the_bits_of_numpy(make, y, monkeypatch):
    monkeypatch.setattr(objective_module, "MIN_SINGLE_SIZE", np.inf)
    alone, together = fitted(make, X, y), fitted(make, chunked(X, N), chunked(y, N))
    assert together.loss_curve_ == alone.loss_curve_
    assert together.hessian_summary_["largest_eigenvalue"] == alone.hessian_summary_["largest_eigenvalue"]


def test_weights_and_class_weights_are_those_of_numpy():
    settings = dict(class_weight="balanced", curvature="gauss_newton", scheduler=IN_DOUBLE)
    alone = fitted(QNewtonClassifier, X, LABELS, WEIGHT, **settings)
    together = fitted(QNewtonClassifier, chunked(X), chunked(LABELS), chunked(WEIGHT, 100), **settings)
    assert together.loss_curve_ == pytest.approx(alone.loss_curve_, rel=1e-10)
    by_label = dict(settings, class_weight={"a": 1.0, "b": 0.0, "c": 3.0})
    ordered = np.argsort(LABELS)  # whole chunks of weight zero
    alone = fitted(QNewtonClassifier, X[ordered], LABELS[ordered], **by_label)
    together = fitted(QNewtonClassifier, chunked(X[ordered], 60), chunked(LABELS[ordered], 60), **by_label)
    assert together.loss_curve_ == pytest.approx(alone.loss_curve_, rel=1e-10)


def test_several_outputs_labels_and_sparse_blocks_are_taken():
    inputs, labels = make_multilabel_classification(200, 8, n_classes=3, random_state=0)
    settings = dict(curvature="gauss_newton", scheduler=IN_DOUBLE)
    alone = fitted(QNewtonClassifier, inputs, labels, **settings)
    together = fitted(QNewtonClassifier, chunked(inputs, 70), chunked(labels, 70, 1), **settings)
    assert together.loss_curve_ == pytest.approx(alone.loss_curve_, rel=1e-10)
    two = np.stack([TARGET, -TARGET], axis=1)
    alone = fitted(QNewtonRegressor, X, two, **settings)
    assert fitted(QNewtonRegressor, chunked(X), chunked(two), **settings).loss_curve_ == pytest.approx(
        alone.loss_curve_, rel=1e-10
    )
    of_sparse = chunked(inputs, 70).map_blocks(sparse.csr_array)
    by_blocks = fitted(QNewtonClassifier, of_sparse, chunked(labels, 70), **settings)
    assert by_blocks.loss_curve_ == pytest.approx(together.loss_curve_, rel=1e-10)


def test_unknown_sizes_empty_chunks_columns_and_types_are_taken():
    keep = X[:, 3] > -0.5
    inputs, target = X[keep].astype(np.float32), TARGET[keep]
    settings = dict(curvature="gauss_newton", scheduler=IN_DOUBLE, max_iter=4)
    alone = fitted(QNewtonRegressor, inputs, target, **settings)
    lazy = chunked(X.astype(np.float32), 100, 2)
    unknown = fitted(
        QNewtonRegressor, lazy[chunked(keep, 100)], chunked(TARGET, 100)[chunked(keep, 100)], **settings
    )
    assert unknown.coefs_[0].dtype == np.float32
    assert unknown.loss_curve_ == pytest.approx(alone.loss_curve_, rel=1e-4)
    first = np.arange(N) < 300  # three of the chunks are empty
    some = fitted(
        QNewtonRegressor, lazy[chunked(first, 100)], chunked(TARGET, 100)[chunked(first, 100)], **settings
    )
    assert some.t_ == 4 * 300
    prediction = some.predict(lazy[chunked(first, 100)])
    assert prediction.compute() == pytest.approx(some.predict(X[:300].astype(np.float32)), rel=1e-5)
    integers = (10 * X).astype(np.int16)
    as_float = fitted(QNewtonRegressor, integers, TARGET, **settings)
    assert fitted(QNewtonRegressor, chunked(integers), TARGET, **settings).loss_curve_ == pytest.approx(
        as_float.loss_curve_, rel=1e-10
    )


def test_types_that_differ_from_chunk_to_chunk_become_the_wider_one():
    mixed = da.concatenate([chunked(X[:300].astype(np.float32), 300), chunked(X[300:], 300)])
    model = fitted(QNewtonRegressor, mixed, TARGET)
    assert model.coefs_[0].dtype == np.float64


def test_predictions_are_lazy_and_those_of_numpy():
    model = fitted(QNewtonClassifier, X, LABELS)
    inputs = chunked(X)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        lazy, expected = getattr(model, name)(inputs), getattr(model, name)(X)
        assert isinstance(lazy, da.Array) and lazy.dtype == expected.dtype and lazy.shape == expected.shape
        assert lazy.chunks[0] == UNEVEN
        assert np.array_equal(lazy.compute(), expected) or np.allclose(lazy.compute(), expected, rtol=1e-12)
    before = model.predict(inputs)
    expected = model.predict(X)
    model.set_params(max_iter=1, tol=1e9).fit(X, LABELS[::-1])
    assert np.array_equal(before.compute(), expected)  # of the model as it was


def test_standard_deviations_on_dask_arrays_are_lazy():
    model = fitted(QNewtonRegressor, chunked(X), chunked(TARGET), posterior="full", alpha=1.0)
    alone = fitted(QNewtonRegressor, X, TARGET, posterior="full", alpha=1.0)
    mean, std = model.predict(chunked(X), return_std=True)
    assert isinstance(std, da.Array)
    assert std.compute() == pytest.approx(alone.predict(X, return_std=True)[1], rel=1e-5)
    assert mean.compute() == pytest.approx(model.predict(X), rel=1e-12)


@pytest.mark.parametrize("kind", ["full", "layer"])
def test_averaged_probabilities_of_a_dask_fit_are_those_of_numpy(kind):
    """The curvature expected under the posterior is computed where each part of the data lies."""
    settings = dict(posterior=kind, alpha=0.1)
    model = fitted(QNewtonClassifier, chunked(X), chunked(LABELS), chunked(WEIGHT), **settings)
    alone = fitted(QNewtonClassifier, X, LABELS, WEIGHT, **settings)
    assert model.predict_proba(X) == pytest.approx(alone.predict_proba(X), rel=1e-5)


@both
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_scores_are_those_of_numpy(make, y, weight):
    model = fitted(make, X, y)
    weights = None if weight is None else chunked(weight)
    assert model.score(chunked(X), chunked(y), weights) == pytest.approx(model.score(X, y, weight), rel=1e-12)
    assert model.score(chunked(X), y, weights) == pytest.approx(model.score(X, y, weight), rel=1e-12)


def test_the_score_of_targets_far_from_zero_is_exact():
    model = fitted(QNewtonRegressor, X, TARGET)
    far = 1e7 + TARGET
    assert model.score(chunked(X, 50), chunked(far, 50)) == pytest.approx(model.score(X, far), rel=1e-8)


@both
@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton", "empirical_fisher"])
def test_the_hessian_is_that_of_numpy(make, y, curvature):
    model = fitted(make, X, y)
    H = model.hessian(chunked(X), chunked(y), chunked(WEIGHT), curvature=curvature)
    assert pytest.approx(model.hessian(X, y, WEIGHT, curvature=curvature), rel=1e-9, abs=1e-13) == H


def test_few_samples_give_the_rows_of_a_factor():
    data = {name: {} for name in ("memory", "dask")}
    model = fitted(QNewtonClassifier, X[:9], LABELS[:9])
    for name, (inputs, labels) in {
        "memory": (X[:9], LABELS[:9]),
        "dask": (chunked(X[:9], 4), chunked(LABELS[:9], 4)),
    }.items():
        read = model._read(inputs, labels, None, reset=False)
        assert isinstance(read, DaskData if name == "dask" else MemoryData)
        network = model._fitted_network()
        objective = model._objective(network, read)
        theta = network.pack(model.coefs_, model.intercepts_)
        for kind in ("gauss_newton", "empirical_fisher"):
            matrix = resolve_curvature(kind).blocks(objective, theta)[0].matrix
            G = matrix.factor()
            data[name][kind] = G.T @ G, G.shape
            assert pytest.approx(matrix.entries() - np.diag(matrix.factor_diagonal), abs=1e-12) == G.T @ G
    for kind, (gram, shape) in data["memory"].items():
        assert data["dask"][kind][1] == shape
        assert pytest.approx(gram, abs=1e-12) == data["dask"][kind][0]


def test_single_precision_twins_and_retries_are_those_of_numpy():
    model = fitted(QNewtonRegressor, X, TARGET)
    network = model._fitted_network()
    theta = network.pack(model.coefs_, model.intercepts_)
    v, other = np.cos(np.arange(theta.size)), theta + 0.01
    alone = model._objective(network, model._read(X, TARGET, None, reset=False))
    together = model._objective(network, model._read(chunked(X), chunked(TARGET), None, reset=False))
    for curvature in (Hessian(), GaussNewton(), Hessian("layer")):
        for t in (theta, other, theta):  # what is kept belongs to one theta
            a, b = (curvature.blocks(o, t)[-1].matrix for o in (alone, together))
            w = v[: a.n]
            assert b.product(w) == pytest.approx(a.product(w), rel=1e-9, abs=1e-12)
            single = b.single()
            assert single.dtype == np.float32 and single.entries().dtype == np.float32
            assert single.product(w.astype(np.float32)) == pytest.approx(a.product(w), rel=1e-2, abs=1e-3)
            acceleration = curvature.blocks(together, t)[0].acceleration
            if acceleration is not None:
                expected = curvature.blocks(alone, t)[0].acceleration(v)
                assert acceleration(v) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_partial_fit_takes_dask_arrays():
    alone, together = (QNewtonClassifier((4,), random_state=0, scheduler=IN_DOUBLE) for _ in range(2))
    for start in (0, 300):
        rows = slice(start, start + 300)
        alone.partial_fit(X[rows], LABELS[rows], classes=["a", "b", "c"])
        together.partial_fit(chunked(X[rows], 100), chunked(LABELS[rows], 100), classes=["a", "b", "c"])
    assert together.loss_curve_ == pytest.approx(alone.loss_curve_, rel=1e-8)


def test_a_lost_cluster_is_named_and_the_fit_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "fit.checkpoint"
    settings = dict(curvature="gauss_newton", scheduler=IN_DOUBLE)
    whole = fitted(QNewtonRegressor, chunked(X), chunked(TARGET), **settings)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_WRITES", 0.0)
    model = clone(whole).set_params(checkpoint=path)
    compute, calls = dask.compute, []

    def lost_later(*arguments, **options):
        calls.append(1)
        if len(calls) > 14:
            raise ConnectionResetError("the scheduler is gone")
        return compute(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(dask, "compute", lost_later)
        with pytest.raises(
            RuntimeError,
            match="could not finish a sum .*the scheduler is gone.*`checkpoint` set.* from files",
        ):
            model.fit(chunked(X), chunked(TARGET))
    assert model.stop_reason_ == "error" and 0 < model.n_iter_ < 8
    assert model.loss_curve_ == whole.loss_curve_[: model.n_iter_]
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(ValueError, match="differs in y"):
        clone(model).fit(chunked(X), chunked(-TARGET))
    again = clone(model)
    with pytest.warns(ConvergenceWarning):
        again.fit(chunked(X), chunked(TARGET))
    assert again.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(batch_size=50), "`batch_size` must be .* Call partial_fit"),
        (dict(alpha="evidence"), '`alpha` must be a number or "auto" if X is a dask array'),
        (dict(early_stopping=True), "`early_stopping` must be False .* Pass X_val"),
    ],
)
def test_settings_that_need_the_samples_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        QNewtonRegressor(**settings).fit(chunked(X), chunked(TARGET))
    if "batch_size" in settings:
        again = fitted(QNewtonRegressor, X, TARGET, **settings)
        with pytest.raises(ValueError, match=message):
            again.partial_fit(chunked(X), chunked(TARGET))


def test_a_curvature_that_uses_samples_directly_gets_an_error_with_the_remedy():
    model = fitted(QNewtonRegressor, X, TARGET)
    objective = model._objective(model._fitted_network(), model._read(chunked(X), TARGET, None, reset=False))
    with pytest.raises(AttributeError, match="no `passes`.*`over_parts"):
        _ = objective.passes
    assert not hasattr(objective.single(), "X") and not hasattr(objective.with_alpha(1.0), "targets")


def test_data_that_cannot_be_aligned_are_refused_with_a_remedy():
    model, unknown = QNewtonRegressor(), chunked(X, 100)[chunked(X[:, 0], 100) > 0]
    with pytest.raises(ValueError, match="`X` must be a dask array; .*to_dask_array"):
        model.fit(dask.delayed(X), TARGET)
    with pytest.raises(ValueError, match="`X` must have 2 axes"):
        model.fit(chunked(TARGET), chunked(TARGET))
    with pytest.raises(ValueError, match="one row per row of X; got 599 and 600"):
        model.fit(chunked(X), chunked(TARGET[1:], 100))
    with pytest.raises(ValueError, match="as many chunks as X .* compute_chunk_sizes"):
        model.fit(unknown, chunked(TARGET, 200))
    with pytest.raises(ValueError, match=r"`y` must be a dask array .* X.compute_chunk_sizes"):
        model.fit(unknown, TARGET)
    with pytest.raises(ValueError, match="the same rows in every chunk"):
        model.fit(unknown, chunked(TARGET, 100)[chunked(X[:, 1], 100) > 0])
    with pytest.raises(ValueError, match="`y` must be in memory; .* y.compute"):
        model.fit(X, chunked(TARGET))
    with pytest.raises(ValueError, match="`X_val` must be in memory"):
        model.fit(X, TARGET, X_val=chunked(X), y_val=TARGET)
    with pytest.warns(DataConversionWarning):
        model.set_params(max_iter=1, tol=1e9).fit(chunked(X), chunked(TARGET[:, None]))


def test_faults_of_the_data_are_found_before_any_step():
    bad = X.copy()
    bad[-1, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        QNewtonRegressor().fit(chunked(bad), chunked(TARGET))
    with pytest.raises(ValueError, match="at least two classes"):
        QNewtonClassifier().fit(chunked(X), chunked(np.zeros(N, int)))
    with pytest.raises(ValueError, match="`sample_weight` must be >= 0"):
        QNewtonRegressor().fit(chunked(X), chunked(TARGET), chunked(-WEIGHT))
    with pytest.raises(ValueError, match="positive for some sample"):
        QNewtonRegressor().fit(chunked(X), chunked(TARGET), chunked(0 * WEIGHT))
    with pytest.raises(ValueError, match="must be >= 0 for loss"):
        QNewtonRegressor(loss="poisson").fit(chunked(X), chunked(TARGET))
    model = fitted(QNewtonRegressor, X, TARGET)
    with pytest.raises(ValueError, match="features"):
        model.predict(chunked(X[:, :3]))


def test_a_sum_over_parts_out_of_memory_is_the_same_to_the_last_bit(monkeypatch):
    kept = fitted(QNewtonRegressor, chunked(X), chunked(TARGET))
    monkeypatch.setattr(dask_data, "SHARE_OF_MEMORY", 0.0)
    read_again = fitted(QNewtonRegressor, chunked(X), chunked(TARGET))
    assert read_again.loss_curve_ == kept.loss_curve_


def made_part(X):
    """The part that a worker makes of these inputs as a tenth of all samples, and parameters for it."""
    model = QNewtonRegressor((6, 4), random_state=0)
    data = model._read(chunked(X), chunked(TARGET), None, reset=True)
    network = model._network(X.shape[1], 1)
    making = dask_data.Making(network, data.rules, None, 10.0 * N, 10 * N, X.dtype)
    return dask_data.make_part((X, TARGET, None), making), network.initial(np.random.RandomState(0), X.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_part_holds_its_inputs_once_also_after_a_journey(dtype):
    part, theta = made_part(X.astype(dtype))
    value, gradient = part.value_and_grad(theta)
    journeyed = cloudpickle.loads(cloudpickle.dumps(part))  # as dask does
    for each in (part, journeyed):
        assert np.array_equal(each.X, X.astype(dtype))
        assert all(np.shares_memory(each.X, each._chunk_inputs(index)) for index in range(each.n_chunks))
        assert sys.getsizeof(each) < 1.1 * (N * 6 + N) * each.dtype.itemsize
    assert journeyed.value_and_grad(theta)[0] == value
    assert np.array_equal(journeyed.value_and_grad(theta)[1], gradient)


def test_a_part_in_chunks_has_the_gradient_of_the_same_data_in_memory(monkeypatch):
    monkeypatch.setattr(objective_module, "CACHE_BYTES", 2**14)
    part, theta = made_part(X)
    assert part.n_chunks > 5
    targets = TARGET[:, None]
    alone = Objective(part.network, X, targets, total_weight=10.0 * N)
    value, gradient = alone.value_and_grad(theta)
    assert part.value_and_grad(theta)[0] == pytest.approx(value, rel=1e-14)
    assert np.allclose(part.value_and_grad(theta)[1], gradient, rtol=1e-12, atol=1e-16)


def test_dask_is_not_imported_for_data_in_memory():
    code = """
import sys, numpy as np
from qnewton_sk import QNewtonRegressor
X = np.random.rand(30, 2)
model = QNewtonRegressor((2,), tol=1.0).fit(X, X[:, 0])
model.predict(X), model.score(X, X[:, 0])
print("dask" in sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["False"]
