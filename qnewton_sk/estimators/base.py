"""What the two estimators share: fit, the hand-over to the loop, prediction, and what stays of a fit."""

from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d, gen_even_slices
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from qnewton_sk.curvature import resolve_curvature
from qnewton_sk.data import (
    DATA_CHECKS,
    MemoryData,
    Rules,
    check_sample_weight,
    checked_data,
    held_out_rows,
    read,
    refuse_dask,
)
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.nets import CHUNK_BYTES, Network, resolve_activation
from qnewton_sk.scheduling import resolve_scheduler
from qnewton_sk.systems import must
from qnewton_sk.versions import VersionedState, documentation_template

from .bayes import Inference, check_inference, fitted_penalty, penalised
from .callbacks import CallbackSupportMixin, with_callbacks
from .fitting import Job, entries_needed_by, loop_of, run_job
from .results import set_results, warn_of_ending
from .validation import (
    check_activation,
    check_hidden_layer_sizes,
    check_memory,
    check_parameters,
    renamed,
)

Array = NDArray[Any]

ROWS_PER_THREAD = 2048
"""Fewer rows are predicted sooner than a thread is started for them."""


class QNewtonBase(VersionedState, CallbackSupportMixin, BaseEstimator):
    """Everything but targets, losses and scores, which are those of a classifier or a regressor.

    A subclass defines `_learn_targets(y)`, `_encode(y, dtype, name)`, `_loss(n_outputs, settings=None)` and
    `_score_raw(loss, z, targets, weight)`; it may define `_class_factors(data, settings)` and `_strata(targets)`.
    """

    _target_checks: dict[str, Any] = {}
    _has_labels = False
    _class_codes = None

    # scikit-learn's hooks for the links of the HTML view, which shows the descriptions of parameters with them
    _doc_link_module = "qnewton_sk"
    _doc_link_template = documentation_template()

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, X_val: Any = None, y_val: Any = None
    ) -> Any:
        """Fit the net.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            Inputs; float32 is kept, all else becomes float64. Chunks of a dask array stay where they are, and a large
            memory map is worked through in pieces.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights; a weight of k is the same as k copies of the sample. In a dask array, to rounding.
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
        RuntimeError
            If the cluster that holds a dask array is lost. A first fit keeps the model of its last finished epoch.
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
        """Fit, or continue; a fit that fails leaves the estimator as it was."""
        before = dict(vars(self))
        job = None
        try:
            job = self._job(X, y, sample_weight, X_val, y_val, keep, incremental, classes)
            run_job(self, job)
        except BaseException:
            if job is None or keep or "coefs_" in before or not job.journal.losses:
                vars(self).clear()
                vars(self).update(before)
            else:  # the first fit keeps the model of its last finished step
                job.journal.end("error")
                set_results(self, job)
            raise
        set_results(self, job)
        warn_of_ending(self, job)
        return self

    def _job(self, X, y, sample_weight, X_val, y_val, keep, incremental, classes):
        """Check everything that the user has passed, and return the `Job` of the fit."""
        check_parameters(vars(self))
        loop = loop_of(self)
        data = self._read(X, y, sample_weight, reset=not keep, splits=self.early_stopping and X_val is None)
        if not keep:
            self._learn_targets(data.examples if classes is None else classes)
        elif not incremental:
            self._check_continued(data.examples)
        network = self._network(data.n_features, data.n_outputs)
        self._check_sizes(network, data.dtype, loop)
        check_inference(vars(self), network, data, incremental=incremental)
        validation = self._own_validation_set(X_val, y_val, data.n_outputs)
        job = Job(self, loop, network, data, validation, keep, incremental)
        job.inference = Inference(vars(self), network, getattr(self, "_penalties", None) if keep else None)
        theta = self._start(network, job.random_state, data.dtype, keep)
        if self.early_stopping and validation is None:
            data, job.validation = self._held_out(data, job.random_state)
        job.begin(self._objective(network, data), theta, data.n_samples)
        return job

    def _read(self, X, y, sample_weight, *, reset, splits=None):
        return read(self, X, y, sample_weight, self._rules("y"), reset=reset, splits=splits)

    def _rules(self, name):
        """How data are checked and encoded; `name` is that of the targets."""
        checks = {**self._target_checks, **DATA_CHECKS}
        check_weight = partial(check_sample_weight, may_be_zero=True)
        encode = partial(self._encode, name=name)
        return Rules(checks, self._checked_targets, check_weight, encode, self._class_codes, self._has_labels)

    def _held_out(self, data, random_state):
        """The data to train on, and those held out for early stopping."""
        targets = data.targets
        strata = self._strata(targets)
        train, test = held_out_rows(data.weight, len(targets), self.validation_fraction, strata, random_state)
        return data.rows(train), data.rows(test)

    def _network(self, n_features, n_outputs):
        """The net of the present settings."""
        hidden = check_hidden_layer_sizes(self.hidden_layer_sizes)
        activations = check_activation(self.activation, len(hidden), resolve_activation)
        return Network([n_features, *hidden, n_outputs], activations, self._loss(n_outputs))

    def _fitted_network(self):
        """The net of the last fit, whatever the settings have become since."""
        widths = [self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_)]
        fitted = self._fit_settings
        activations = check_activation(fitted["activation"], len(widths) - 2, resolve_activation)
        return Network(widths, activations, self._loss(widths[-1], fitted))

    def _check_sizes(self, network, dtype, loop):
        sizes = [part.stop - part.start for part in network.layer_slices]
        check_memory(sizes, dtype.itemsize, self.partition, entries_needed_by(self, loop))

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

    def _objective(self, network, data, settings=None):
        """The training objective; with the full batch, on distinct samples."""
        settings = vars(self) if settings is None else settings
        factors = self._class_factors(data, settings)
        merges = isinstance(settings["batch_size"], str)
        objective = data.objective(network, 0.0, factors, merges=merges)
        return penalised(objective, settings["alpha"])

    def _class_factors(self, data, settings):
        """The factors on the weights by class, or None."""
        return None

    def _own_validation_set(self, X_val, y_val, n_outputs):
        """Return the user's own validation set, or None."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"`{missing}` must be passed together with `{given}`; got None")
        for name, given in (("X_val", X_val), ("y_val", y_val)):
            refuse_dask(name, given, f"Pass {name}.compute() of a part of the data that fits there")
        with renamed("X_val", X_val, "be inputs as the X of fit"):
            checked_data(self, X_val, reset=False)
        with renamed("y_val", y_val, "be targets as the y of fit, one per sample of `X_val`"):
            X_val, y_val = checked_data(
                self, X_val, y_val, multi_output=True, reset=False, **self._target_checks
            )
            data = MemoryData(X_val, self._checked_targets(y_val), None, self._rules("y_val"))
            found = data.n_outputs
        self._check_validation_size(data.n_samples)
        if found != n_outputs:
            raise must("y_val", f"have as many columns as the y of fit, {n_outputs}", found)
        return data

    def _check_continued(self, y):
        """Check the targets of a fit that is continued: a regression takes any."""

    def _check_validation_size(self, n_samples):
        """Check the number of samples of the validation set: an accuracy needs but one."""

    def _strata(self, targets):
        return None

    def _raw(self, X):
        """Return the raw outputs of shape (n_samples, n_outputs_), in bounded memory."""
        check_is_fitted(self, "coefs_")
        X = checked_data(self, X, reset=False)
        network = self._fitted_network()
        theta = network.pack(self.coefs_, self.intercepts_, self.coefs_[0].dtype)
        n_samples = X.shape[0]
        needed = n_samples * sum(network.widths[1:]) * X.dtype.itemsize
        jobs = min(effective_n_jobs(self.n_jobs), -(-n_samples // ROWS_PER_THREAD))
        pieces = max(jobs, -(-needed // CHUNK_BYTES))
        if pieces == 1:
            return network.raw(X, theta)
        parts = Parallel(n_jobs=jobs, prefer="threads")(
            delayed(network.raw)(X[rows], theta) for rows in gen_even_slices(n_samples, pieces)
        )
        return np.concatenate(parts)

    def _posterior_of_raw(self, X):
        """Return the raw outputs and their covariances, of shapes (n, K) and (n, K, K)."""
        X = checked_data(self, X, reset=False)
        with one_blas_thread():
            return self.posterior_.covariances(self._fitted_network(), X)

    def set_params(self, **params: Any) -> Any:
        """Set parameters, also those of parts: ``scheduler__hardware`` works for a scheduler given by name, too.

        Parameters
        ----------
        **params : dict
            Values by name. A parameter of a scheduler that is given by name, such as "auto", puts the `Scheduler` of
            that name in its place.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no such parameter, or the part is given by name and is no scheduler.
        """
        for name in [name for name in params if "__" in name]:
            part = name.partition("__")[0]
            value = params.get(part, getattr(self, part, None))
            if part == "scheduler" and isinstance(value, str):
                params[part] = resolve_scheduler(value)
            elif isinstance(value, str):
                raise must(part, f"be an object before `{name}` can be set", value)
        return super().set_params(**params)

    def hessian(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, curvature: Any = "hessian"
    ) -> Array:
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
        curvature : {"hessian", "gauss_newton", "empirical_fisher", "auto"} or object, default="hessian"
            The matrix; "auto" means the exact Hessian, with which its fits end.

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
        is_auto = isinstance(curvature, str) and curvature == "auto"
        part = resolve_curvature("hessian" if is_auto else curvature, "full")
        data = self._read(X, y, sample_weight, reset=False)
        network = self._fitted_network()
        sizes = [part.stop - part.start for part in network.layer_slices]
        check_memory(sizes, data.dtype.itemsize, "full", "the method `hessian`")
        objective = self._objective(network, data, self._fit_settings)
        objective = objective.with_alpha(
            fitted_penalty(network, self._fit_settings["alpha"], self.alpha_, self._penalties)
        )
        theta = network.pack(self.coefs_, self.intercepts_, data.dtype)
        return part.blocks(objective, theta)[0].matrix.dense()

    def _checked_targets(self, y):
        """Return y dense, a column flattened with a warning."""
        y = y.toarray() if sparse.issparse(y) else y
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def __sklearn_tags__(self):
        """Say that sparse X is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
