"""What the two estimators share: fit, the hand-over to the loop, prediction, and what stays of a fit."""

import warnings
from functools import partial

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d, gen_even_slices
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from qnewton_sk.conditioning import as_estimator, prepare
from qnewton_sk.curvature import AutoCurvature, resolve_curvature
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.nets import CHUNK_BYTES, Network, Objective, distinct_samples, resolve_activation
from qnewton_sk.optimize import Newton, Stopping, drive, extend, history_table, resolve_step_control
from qnewton_sk.scheduling import resolve_scheduler
from qnewton_sk.versions import __version__

from .callbacks import CallbackSupportMixin, with_callbacks
from .validation import (
    check_activation,
    check_hidden_layer_sizes,
    check_memory,
    check_parameters,
    check_sample_weight,
)

DATA_CHECKS = dict(accept_sparse="csr", dtype=(np.float64, np.float32))

ROWS_A_THREAD = 2048
"""Fewer rows are predicted sooner than a thread is started for them."""

_TABLE = {
    "step": (4, "d"),
    "phase": (11, "s"),
    "loss": (11, ".5g"),
    "gradient_norm": (13, ".2e"),
    "damping": (9, ".1e"),
    "condition_number": (16, ".2e"),
    "oracle_sparsity": (15, ".0f"),
    "backend": (10, "s"),
    "classical_cost": (14, ".2e"),
    "quantum_cost": (12, ".2e"),
    "solve_status": (12, "s"),
}
"""Columns of the lines that `verbose` writes, with width and format."""


class QNewtonBase(CallbackSupportMixin, BaseEstimator):
    """Everything but targets, losses and scores, which are those of a classifier or a regressor.

    A subclass says `_learn_targets(y)`, `_encode(y, dtype, name)`, `_loss(n_outputs)`,
    `_score_raw(z, targets, weight)`, and may say `_with_class_weight(targets, weight)`, `_strata(targets)`.
    """

    _target_checks = {}

    @with_callbacks
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None):
        """Fit the net.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs; float32 is kept, all else becomes float64.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights; a weight of k is the same as k copies of the sample.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Own validation set, scored after every epoch. With ``early_stopping=True`` it takes the place of
            the random split; without, it is only watched.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Its targets.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are not as they must be; before any work.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, keep=self.warm_start and hasattr(self, "coefs_"))

    def _partial_fit(self, X, y, sample_weight, X_val, y_val, classes=None):
        if self.early_stopping:
            raise ValueError(
                "`early_stopping` must be False for partial_fit, which takes a single pass; got True. "
                "Pass X_val and y_val, and stop calling when `validation_scores_` no longer rises"
            )
        keep = hasattr(self, "coefs_")
        return self._fit(X, y, sample_weight, X_val, y_val, keep=keep, incremental=True, classes=classes)

    def _fit(self, X, y, sample_weight, X_val, y_val, *, keep, incremental=False, classes=None):
        check_parameters(vars(self))
        loop = self._loop(keep)
        random_state = check_random_state(self.random_state)
        X, y = validate_data(
            self, X, y, multi_output=True, reset=not keep, **self._target_checks, **DATA_CHECKS
        )
        y = self._checked_targets(y)
        weight = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        if not keep:
            self._learn_targets(y if classes is None else classes)
        targets = self._encode(y, X.dtype)
        network = self._network(X.shape[1], targets.shape[1])
        self._check_sizes(network, X.dtype, loop)
        validation = self._own_validation_set(X_val, y_val)
        theta = self._start(network, random_state, X.dtype, keep)
        train = X, targets, weight
        if self.early_stopping and validation is None:
            train, validation = self._split(train, random_state)
        objective = self._objective(network, *train)
        data = {"X": X, "y": y, "metadata": None if weight is None else {"sample_weight": weight}}
        epochs = loop.run(objective, theta, random_state)
        outcome = self._drive(epochs, theta, network, validation, data, incremental)
        self._finish(outcome, network, objective, len(train[1]), keep)
        return self

    def _loop(self, keep):
        """The `Newton` loop of these settings, every part resolved and so checked.

        A fit that is continued has its first-order steps and its search for a damping behind it.
        """
        auto = isinstance(self.curvature, str) and self.curvature == "auto"
        done, damping = (
            (self.n_steps_, float(self.history_["damping"][-1])) if keep and self.n_steps_ else (0, None)
        )
        condition_number = as_estimator(self.condition_number)
        return Newton(
            AutoCurvature(self.partition) if auto else resolve_curvature(self.curvature, self.partition),
            resolve_scheduler(self.scheduler),
            resolve_step_control(
                self.step_control,
                regularization=self.regularization if damping is None else damping,
                learning_rate_init=self.learning_rate_init,
            ),
            partial(prepare, oracle_sparsity=self.oracle_sparsity, condition_number=condition_number),
            first_order_steps=max(0, self.first_order_steps - done),
            batch_size=None if isinstance(self.batch_size, str) else self.batch_size,
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.max_iter if self.early_stopping else self.n_iter_no_change,
            shuffle=self.shuffle,
        )

    def _network(self, n_features, n_outputs):
        hidden = check_hidden_layer_sizes(self.hidden_layer_sizes)
        activations = check_activation(self.activation, len(hidden), resolve_activation)
        return Network([n_features, *hidden, n_outputs], activations, self._loss(n_outputs))

    def _check_sizes(self, network, dtype, loop):
        sizes = [part.stop - part.start for part in network.layer_slices]
        check_memory(sizes, dtype.itemsize, self.partition, self._needs_entries(loop))

    def _needs_entries(self, loop):
        """The setting that rules out products alone, or None."""
        if self.oracle_sparsity is not None:
            return f"oracle_sparsity={self.oracle_sparsity!r}"
        if isinstance(self.condition_number, str) and self.condition_number not in ("auto", "products"):
            return f"condition_number={self.condition_number!r}"
        has_factor = isinstance(self.curvature, str) and self.curvature == "empirical_fisher"
        enough = {"products", "factor"} if has_factor else {"products"}
        if any(backend.solver.needs in enough for backend in loop.scheduler.available_backends()):
            return None
        return f"scheduler={self.scheduler!r}"

    def _start(self, network, random_state, dtype, keep):
        """Parameters to start from: those of the fit that is continued, else drawn."""
        if not keep:
            return network.initial(random_state, dtype)
        fitted = (self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_))
        if fitted != network.widths:
            raise ValueError(
                f"`hidden_layer_sizes` and y must give the layers of the fit that is continued, {fitted}; "
                f"got {network.widths}. Use a new estimator, or warm_start=False in fit"
            )
        return network.pack(self.coefs_, self.intercepts_, dtype)

    def _objective(self, network, X, targets, weight):
        """The training objective; with the full batch, on distinct samples, else without those of weight zero."""
        weight = self._with_class_weight(targets, weight)
        if isinstance(self.batch_size, str):
            X, targets, weight = distinct_samples(X, targets, weight)
        elif weight is not None and not weight.all():
            rows = np.flatnonzero(weight)  # a batch of them alone would have no mean
            X, targets, weight = X[rows], targets[rows], weight[rows]
        return Objective(network, X, targets, weight, self.alpha)

    def _with_class_weight(self, targets, weight):
        return weight

    def _own_validation_set(self, X_val, y_val):
        """Return (X, targets, weights) of the user's own validation set, or None."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"`{missing}` must be passed together with `{given}`; got None")
        X_val, y_val = validate_data(
            self, X_val, y_val, multi_output=True, reset=False, **self._target_checks, **DATA_CHECKS
        )
        return X_val, self._encode(self._checked_targets(y_val), X_val.dtype, "y_val"), None

    def _split(self, train, random_state):
        """Return the samples to train on and those held out, classes in equal shares."""
        X, targets, weight = train
        try:
            rows = train_test_split(
                np.arange(len(targets)),
                test_size=self.validation_fraction,
                stratify=self._strata(targets),
                random_state=random_state,
            )
        except ValueError as error:
            raise ValueError(self._bad_split(len(targets), str(error))) from error
        if len(rows[1]) < 2:
            raise ValueError(self._bad_split(len(targets), "fewer than 2 samples would be held out"))
        return [(X[r], targets[r], None if weight is None else weight[r]) for r in rows]

    def _bad_split(self, n_samples, reason):
        return (
            "`validation_fraction` must leave samples of every class to train on and to hold out; got "
            f"{self.validation_fraction!r} of {n_samples} samples: {reason.rstrip('.')}. "
            "Change it, or pass X_val and y_val"
        )

    def _strata(self, targets):
        return None

    def _drive(self, epochs, theta, network, validation, data, one_pass):
        """Run the loop with all that watches it; return its `Outcome`."""
        evaluate = stopping = None
        if validation is not None:
            evaluate = partial(self._evaluate, network, *validation)
            stopping = Stopping(self.n_iter_no_change, self.tol) if self.early_stopping else None
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, **data)
        begin_epoch = partial(self._begin_epoch, context, network, data)
        if self.verbose:
            print("  ".join(f"{name:>{width}}" for name, (width, _) in _TABLE.items()))
        watched = dict(evaluate=evaluate, stopping=stopping, begin_epoch=begin_epoch, one_pass=one_pass)
        with one_blas_thread():
            outcome = drive(epochs, theta, **watched)
        fitted = partial(self._parameters, network, outcome.theta)
        context.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes=fitted)
        return outcome

    def _begin_epoch(self, context, network, data):
        epoch = context.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(estimator=self, **data)

        def end_epoch(progress):
            if self.verbose:
                print("\n".join(map(_table_line, progress.steps)))
            fitted = partial(self._parameters, network, progress.theta)
            return epoch.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes=fitted)

        return end_epoch

    def _evaluate(self, network, X, targets, weight, theta):
        """Return loss and score on the validation set."""
        with np.errstate(over="ignore", invalid="ignore"):
            z = network.raw(X, theta)
            loss = float(np.average(network.loss.value(z, targets), weights=weight))
        return loss, float(self._score_raw(network.loss, z, targets, weight))

    def _parameters(self, network, theta):
        """The fitted attributes that prediction needs."""
        coefs, intercepts = network.unpack(theta)
        return {
            "coefs_": coefs,
            "intercepts_": intercepts,
            "n_layers_": network.n_layers + 1,
            "n_outputs_": network.widths[-1],
            "out_activation_": network.loss.out_activation,
        }

    def _finish(self, outcome, network, objective, n_samples, keep):
        """Set the fitted attributes and warn of what went wrong."""
        vars(self).update(self._parameters(network, outcome.theta))
        before = self if keep else None
        self.n_iter_ = len(outcome.losses)
        self.t_ = getattr(before, "t_", 0) + self.n_iter_ * n_samples
        self.loss_curve_ = getattr(before, "loss_curve_", []) + outcome.losses
        self.loss_ = outcome.losses[-1] if outcome.losses else objective.value(outcome.theta)
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_, default=self.loss_)
        self.validation_scores_ = _joined(before, "validation_scores_", outcome.validation_scores)
        self.validation_loss_curve_ = _joined(before, "validation_loss_curve_", outcome.validation_losses)
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None
        history = history_table(outcome.steps)
        self.history_ = extend(before.history_, history) if before else history
        self._summarise_history()
        self.converged_ = bool(outcome.converged)
        self.stop_reason_ = outcome.stop_reason
        self._warn(outcome)

    def _summarise_history(self):
        solved = self.history_["backend"] != ""
        self.n_steps_ = len(solved)
        self.schedule_ = self.history_["backend"][solved].tolist()
        for name in ("condition_number", "oracle_sparsity"):
            values = self.history_[name][solved]
            setattr(self, name + "_", float(values[-1]) if len(values) else None)

    def _warn(self, outcome):
        if outcome.stop_reason == "interrupted":
            warnings.warn(
                f"The fit was interrupted; the model of step {self.n_steps_}, the last one finished, is "
                "kept. Set warm_start=True and call fit again to go on.",
                stacklevel=4,
            )
        elif outcome.message:
            warnings.warn(
                f"{type(self).__name__} has not converged: {outcome.message} The last good model is kept.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _raw(self, X):
        """Return the raw outputs of shape (n_samples, n_outputs_), in bounded memory."""
        check_is_fitted(self, "coefs_")
        X = validate_data(self, X, reset=False, **DATA_CHECKS)
        network = self._network(X.shape[1], self.n_outputs_)
        theta = network.pack(self.coefs_, self.intercepts_, self.coefs_[0].dtype)
        n_samples = X.shape[0]
        needed = n_samples * sum(network.widths[1:]) * X.dtype.itemsize
        jobs = min(effective_n_jobs(self.n_jobs), -(-n_samples // ROWS_A_THREAD))
        pieces = max(jobs, -(-needed // CHUNK_BYTES))
        if pieces == 1:
            return network.raw(X, theta)
        parts = Parallel(n_jobs=jobs, prefer="threads")(
            delayed(network.raw)(X[rows], theta) for rows in gen_even_slices(n_samples, pieces)
        )
        return np.concatenate(parts)

    def hessian(self, X, y, sample_weight=None, curvature="hessian"):
        """Return the Hessian of the training objective at the fitted parameters.

        The penalty is included, the step's regularisation is not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights.
        curvature : {"hessian", "gauss_newton", "empirical_fisher"} or object, default="hessian"
            Which matrix.

        Returns
        -------
        H : ndarray of shape (n_params, n_params)
            Rows and columns layer by layer: the weights (n_in, n_out) in C order, then the intercepts.

        Raises
        ------
        ValueError
            If the data are not as they must be, or the matrix exceeds the memory.
        """
        check_is_fitted(self, "coefs_")
        part = resolve_curvature(curvature, "full")
        X, y = validate_data(self, X, y, multi_output=True, reset=False, **self._target_checks, **DATA_CHECKS)
        targets = self._encode(self._checked_targets(y), X.dtype)
        weight = check_sample_weight(sample_weight, X.shape[0], X.dtype)
        network = self._network(X.shape[1], self.n_outputs_)
        sizes = [part.stop - part.start for part in network.layer_slices]
        check_memory(sizes, X.dtype.itemsize, "full", "the method `hessian`")
        objective = self._objective(network, X, targets, weight)
        theta = network.pack(self.coefs_, self.intercepts_, X.dtype)
        return part.blocks(objective, theta)[0].matrix.dense()

    def _checked_targets(self, y):
        """Return y dense, a column flattened with a warning."""
        y = y.toarray() if sparse.issparse(y) else y
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def __getstate__(self):
        """Return the state with the version that wrote it."""
        return {**super().__getstate__(), "_qnewton_sk_version": __version__}

    def __setstate__(self, state):
        """Restore the state; warn where another version wrote it."""
        state = dict(state)
        written = state.pop("_qnewton_sk_version", "unknown")
        if written != __version__:
            warnings.warn(
                f"{type(self).__name__} was pickled by qnewton_sk {written} and is loaded by "
                f"{__version__}. It may fail or predict something else; fit it again, or install the version "
                "that wrote it.",
                stacklevel=2,
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        """Say that sparse X is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _joined(before, name, more):
    """Return the list of an earlier fit with `more` appended; None where there is nothing."""
    return ((getattr(before, name, None) or []) + more) or None


def _table_line(step):
    return "  ".join(f"{_cell(getattr(step, name), kind):>{width}}" for name, (width, kind) in _TABLE.items())


def _cell(value, kind):
    return "-" if value == "" or value != value else f"{value:{kind}}"
