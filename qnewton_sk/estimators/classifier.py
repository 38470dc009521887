"""The two estimators."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from qnewton_sk.conditioning import ConditionEstimator
from qnewton_sk.curvature import Curvature
from qnewton_sk.data import lazily, scores_dask
from qnewton_sk.inference import averaged_logits
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.nets import LogisticCrossEntropy, SoftmaxCrossEntropy
from qnewton_sk.optimize import StepControl
from qnewton_sk.scheduling import Scheduler
from qnewton_sk.systems import must

from .base import QNewtonBase
from .callbacks import with_callbacks
from .validation import explains_absent_parameters, renamed

Array = NDArray[Any]


class QNewtonClassifier(ClassifierMixin, QNewtonBase):
    """Multilayer perceptron classifier fitted by Newton's method, each step solved by the cheapest backend.

    Minimises the objective of `sklearn.neural_network.MLPClassifier`: mean cross-entropy plus L2 penalty.
    Takes binary, multiclass and multilabel targets.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(16, 16)
        Width of each hidden layer; ``()`` is a linear model.
    activation : str, callable or sequence, default="tanh"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu", "softplus", "silu", "gelu", an
        elementwise function written with autograd.numpy, or a sequence of these, one per hidden layer.
    alpha : float, "auto", "evidence" or "evidence_per_input", default="auto"
        L2 penalty on the weights, divided by the number (or total weight) of the samples. "auto" is 1.0 on
        standardised data, a standard normal prior on every weight as in
        :class:`~sklearn.linear_model.LogisticRegression`; it is less on inputs of smaller variance, and on fewer than
        100 samples. "evidence" finds one penalty per layer during the fit, those of hidden intercepts included, by the
        Laplace approximation of the evidence; "evidence_per_input" one per input in the first layer, which switches
        irrelevant inputs off. See the user guide on uncertainty.
    curvature : {"auto", "hessian", "gauss_newton", "empirical_fisher"} or object, default="auto"
        Matrix of Newton's step. An object must have a method ``blocks(objective, theta)``.
    partition : {"full", "layer"}, default="full"
        One linear system for all parameters, or one per layer.
    regularization : float, default=1e-3
        Multiple of the identity added to the matrix; the starting damping of the trust region.
    oracle_sparsity : int or float, default=None
        Prune the matrix, before the solve, to this number (int) or this share (float in (0, 1]) of entries per
        row. None does not prune.
    condition_number : str or object, default="auto"
        Estimator of the condition number: "auto", "exact", "determinant", "lanczos", "one_norm", "shift",
        "products", or an object with a method ``estimate(matrix)``.
    scheduler : {"auto", "classical", "quantum", "paper"} or Scheduler, default="auto"
        Which backends are available. Each step's system goes to the one with the lowest predicted cost: "auto" has
        every classical solver and the emulated quantum one, "paper" the two of arXiv:2405.00252.
    step_control : {"trust_region", "line_search", "fixed"} or object, default="trust_region"
        How far to go along the direction that the solve returns. The loss can rise only with "fixed".
    learning_rate_init : float, default=1.0
        Factor on Newton's step. The first-order phase finds its own rate.
    first_order_steps : int, default=0
        Number of gradient steps before the first Newton step.
    batch_size : int, default="auto"
        Number of samples per step; "auto" uses all of them, so that one epoch is one step.
    max_iter : int, default=200
        Maximum number of epochs; with the full batch, one epoch is one step.
    tol : float, default=1e-4
        The fit has converged once no entry of the gradient of the whole training objective exceeds `tol`, unless
        the curvature is known to be indefinite there. It also stops, without having converged, once
        `n_iter_no_change` epochs together have lowered the loss by less than `tol` times its value; under early
        stopping, once the validation score has not risen by `tol` for as many epochs.
    n_iter_no_change : int or float, default=10
        See `tol`; ``numpy.inf`` never stops.
    early_stopping : bool, default=False
        Stop when the validation score no longer improves, and keep the parameters with the best score.
    validation_fraction : float, default=0.1
        Share of the samples held out for early stopping if `fit` is given no X_val and y_val.
    warm_start : bool, default=False
        Let `fit` continue from the last fit; on the same data and settings, two fits of 5 epochs take the steps of
        one fit of 10.
    checkpoint : path-like, default=None
        File to which the state of the fit is written after an epoch, at most every two seconds and atomically. The
        same `fit` on the same data and settings goes on from there and ends with the same model, to the last bit, as a
        fit that was not interrupted. Checkpoints are pickles: load only those that you trust.
    diagnostics : bool or "auto", default="auto"
        What `hessian_summary_` may cost: nothing (False), whatever it takes (True), or at most a fifth of the
        gradients that the fit took ("auto"; counted, not timed), but at least three matvecs. partial_fit
        makes a summary only if True.
    shuffle : bool, default=True
        Draw new batches in each epoch. It has an effect only if `batch_size` is an int.
    random_state : int, RandomState instance or None, default=None
        Source of the initial parameters (drawn as MLPClassifier and MLPRegressor draw them), of the split for early
        stopping, and of the batches.
    verbose : bool or int, default=False
        1 or True prints one line per step, at most 100 characters wide: step, phase, loss, norm of the gradient,
        condition number (kappa), backend, and the modelled seconds of the cheapest classical and quantum solve. 2
        prints every column of `history_`.
    class_weight : dict or "balanced", default=None
        Weights of the classes; "balanced" gives all classes the same total weight.
    n_jobs : int, default=None
        Number of threads for predictions of many samples, as joblib counts them. Fits do not use it: they run on as
        many threads as BLAS may use (OPENBLAS_NUM_THREADS, threadpoolctl), or on the workers of dask if X is a dask
        array.
    posterior : {"full", "layer", "last_layer"}, default=None
        Keep the posterior of the parameters: of all of them jointly, of each layer separately, or of the last layer
        only. It holds the square of their number, or their number times that of the samples if that is less; `fit`
        refuses what does not fit into memory. Probabilities and labels are then averaged over it; those of "full" are
        usually the best calibrated.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the numbers of the labels.
    coefs_ : list of ndarray
        Weights of each layer, of shape (n_in, n_out).
    intercepts_ : list of ndarray
        Intercepts of each layer, of shape (n_out,).
    n_layers_ : int
        Number of layers, inputs and outputs included.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : str
        Function from raw output to prediction.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.
    alpha_ : ndarray of shape (n_layers,)
        Penalty on the weights of each layer, in units of `alpha`; under "evidence_per_input" the first one is the
        geometric mean over the inputs.
    alpha_intercepts_ : ndarray of shape (n_layers,)
        Penalty on the intercepts of each layer; only if the evidence was maximised.
    alpha_per_input_ : ndarray of shape (`n_features_in_`,)
        Penalty on the weights of each input; only with "evidence_per_input".
    log_evidence_ : float or None
        Log probability density of the targets, parameters integrated out; None without "evidence".
    effective_parameters_ : float or None
        Number of parameters that the data determine; None without evidence or posterior.
    posterior_ : Posterior or None
        The posterior of the parameters. Its `added` is the multiple of the identity that had to be added to the
        curvature if that was singular, 0.0 otherwise.
    loss_ : float
        Training objective on all the data at the end; under early stopping, after the last epoch.
    best_loss_ : float or None
        Lowest of `loss_curve_`; None under early stopping.
    loss_curve_ : list of float
        Training objective after each epoch, to five digits where the step was taken in single precision; over
        mini-batches, the mean of their objectives after their steps.
    validation_scores_ : list of float or None
        Accuracy on the validation set after each epoch; None without one.
    validation_loss_curve_ : list of float or None
        Mean loss on the validation set after each epoch, penalty not included; None without one.
    best_validation_score_ : float or None
        Highest of `validation_scores_`.
    n_iter_ : int
        Number of epochs of the last call.
    n_steps_ : int
        Number of steps, which is the number of rows of `history_`.
    t_ : int
        Number of samples seen, over all epochs.
    converged_ : bool
        Whether no entry of the gradient on all the data exceeds `tol`, and no indefinite curvature was found there.
    stop_reason_ : str
        Why the last call ended: "converged", "saddle" (a small gradient, but indefinite curvature), "saturated"
        (a small gradient, but unscaled inputs have saturated the hidden units), "no_improvement", "evidence" (which
        fell on the way to the minimum), "max_iter", "early_stopping", "one_pass" (of partial_fit), "callback",
        "interrupted", "stalled" (no step lowers the loss), "diverged", "solver_failed" or "error"; "from_mlp" if
        the parameters are those of a net of scikit-learn.
    condition_number_ : float or None
        Condition number of the last system that was solved; None if there was none.
    oracle_sparsity_ : float or None
        Largest number of nonzeros in a row of the last system that was solved; None if there was none.
    hessian_summary_ : dict or None
        Summary of the Hessian of the training objective at the fitted parameters, without damping: n,
        largest_eigenvalue, smallest_eigenvalue, smallest_magnitude, n_negative, condition_number, trace,
        row_sparsity (entries that make up half of a row, in the row that needs the most), effective_parameters, how
        (entry to "exact", "estimate", "lower bound", "upper bound" or "not measured") and seconds.
    schedule_ : list of str
        Backend of every solve.
    history_ : dict of ndarray
        Columns with one entry per step; ``pandas.DataFrame(est.history_)`` makes a table of them: step, phase, loss,
        gradient_norm, damping, step_size, accepted, condition_number, oracle_sparsity, backend,
        classical_cost, quantum_cost, break_even_gate_time, gradient_seconds, hessian_seconds,
        schedule_seconds, solve_seconds, modelled_seconds, relative_residual, solve_status. Costs and
        modelled_seconds are modelled, the other seconds are measured.

    See Also
    --------
    QNewtonRegressor : The same for regression.
    sklearn.neural_network.MLPClassifier : The same model, fitted by first-order methods or L-BFGS.

    References
    ----------
    Q-Newton: hybrid quantum-classical scheduling for accelerating neural network training with Newton's
    gradient descent, arXiv:2405.00252.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from qnewton_sk import QNewtonClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = QNewtonClassifier((4,), alpha=0.1, random_state=0).fit(X, y)
    >>> f"{model.score(X, y):.1f}"
    '1.0'
    >>> model.predict(X[:2])
    array([0, 0])
    """

    @explains_absent_parameters
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (16, 16),
        *,
        activation: str | Callable[..., Any] | Sequence[Any] = "tanh",
        alpha: float | str = "auto",
        curvature: str | Curvature = "auto",
        partition: str = "full",
        regularization: float = 1e-3,
        oracle_sparsity: int | float | None = None,
        condition_number: str | ConditionEstimator = "auto",
        scheduler: str | Scheduler = "auto",
        step_control: str | StepControl = "trust_region",
        learning_rate_init: float = 1.0,
        first_order_steps: float = 0,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        checkpoint: str | PathLike[str] | None = None,
        diagnostics: bool | str = "auto",
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        class_weight: Mapping[Any, float] | str | None = None,
        n_jobs: int | None = None,
        posterior: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.curvature = curvature
        self.partition = partition
        self.regularization = regularization
        self.oracle_sparsity = oracle_sparsity
        self.condition_number = condition_number
        self.scheduler = scheduler
        self.step_control = step_control
        self.learning_rate_init = learning_rate_init
        self.first_order_steps = first_order_steps
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.diagnostics = diagnostics
        self.shuffle = shuffle
        self.random_state = random_state
        self.verbose = verbose
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.posterior = posterior

    @with_callbacks
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> "QNewtonClassifier":
        """Take one pass over X from where the last call ended, more only until a step is accepted.

        Under ``alpha="auto"`` the samples of a call are taken for all there are: give a number if they are not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Targets.
        classes : array-like of shape (n_classes,), default=None
            All labels that any call will bring; needed in the first call, but for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation set, scored after the pass.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
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
        if isinstance(self.class_weight, str):
            raise ValueError(
                '`class_weight` must be None or a dict for partial_fit, since "balanced" needs all data; got '
                f"{self.class_weight!r}"
            )
        classes = self._checked_classes(classes, y)
        return self._partial_fit(X, y, sample_weight, X_val, y_val, classes)

    @lazily
    def predict(self, X: Any) -> Array:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_labels) of 0 and 1 for multilabel targets
        """
        labels = _labels(self._logits(X), self.out_activation_)
        return labels if self._multilabel else self.classes_[labels]

    @lazily
    def decision_function(self, X: Any) -> Array:
        """Return the raw outputs: log-odds, or scores before the softmax; averaged over the posterior if there is one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
        """
        z = self._logits(X)
        return z[:, 0] if z.shape[1] == 1 else z

    @lazily
    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class; of each label on its own for multilabel targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        z = self._logits(X)
        if self.out_activation_ == "softmax":
            return SoftmaxCrossEntropy().predict(z)
        return _inside(expit(z)) if self._multilabel else np.hstack([expit(-z), expit(z)])

    @lazily
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`, finite where a probability underflows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        z = self._logits(X)
        if self.out_activation_ == "softmax":
            return log_softmax(z, axis=1)
        return log_expit(z) if self._multilabel else np.hstack([log_expit(-z), log_expit(z)])

    score = scores_dask(ClassifierMixin.score)

    def _logits(self, X):
        """Return raw outputs, or those that stand for probabilities averaged over the posterior."""
        if getattr(self, "posterior_", None) is None:
            return self._raw(X)
        mean, covariance = self._posterior_of_raw(X)
        softmax = self.out_activation_ == "softmax"
        spread = covariance if softmax else np.einsum("nkk->nk", covariance)
        with one_blas_thread():
            return averaged_logits(mean, spread).astype(mean.dtype)

    @property
    def _multilabel(self):
        return self.out_activation_ == "logistic" and self.n_outputs_ > 1

    @property
    def _label_binarizer(self):
        """As MLPClassifier keeps it, for converters written for that; built on demand."""
        return LabelBinarizer().fit(np.eye(self.n_outputs_, dtype=int) if self._multilabel else self.classes_)

    def _checked_targets(self, y):
        y = super()._checked_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            check_classification_targets(y)
            raise ValueError(
                f"`y` must be a column of labels, or a matrix of 0 and 1 for multilabel targets; got {kind} "
                "targets (sklearn.multioutput.MultiOutputClassifier fits one estimator a column)"
            )
        return y

    def _checked_classes(self, classes, y):
        """Return the sorted labels of the first call to partial_fit; None where y itself tells."""
        if hasattr(self, "coefs_"):
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(f"`classes` must be those of the first call, {self.classes_}; got {classes}")
            return None
        if np.ndim(y) == 2 and np.shape(y)[1] > 1:
            return None
        if classes is None:
            raise ValueError("`classes` must be passed on the first call to partial_fit; got None")
        if np.ndim(classes) != 1 or len(np.unique(classes)) < 2:
            raise must("classes", "be a sequence of all labels, at least two", classes)
        return np.unique(classes)

    def _learn_targets(self, y):
        self.classes_ = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if y.ndim == 1 and len(self.classes_) < 2:
            raise ValueError(f"`y` must hold at least two classes; got one class, {self.classes_[0]!r}")
        softmax = y.ndim == 1 and len(self.classes_) > 2
        self.out_activation_ = "softmax" if softmax else "logistic"
        self.n_outputs_ = 1 if y.ndim == 1 and not softmax else len(self.classes_)

    def _check_continued(self, y):
        """Refuse other classes than those of the fit that is continued, in the words of scikit-learn's MLP."""
        found = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if not np.array_equal(found, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )

    def _encode(self, y, dtype, name="y"):
        """Return the targets of shape (n_samples, n_outputs): one-hot, or 0 and 1."""
        n_classes = len(self.classes_)
        if y.ndim == 2:
            if y.shape[1] != n_classes:
                raise ValueError(f"`{name}` must have the {n_classes} labels of the fit; got {y.shape[1]}")
            return y.astype(dtype)
        codes = np.minimum(np.searchsorted(self.classes_, y), n_classes - 1)
        unknown = self.classes_[codes] != y
        if np.any(unknown):
            raise ValueError(f"`{name}` must hold only classes {self.classes_}; got {np.unique(y[unknown])}")
        if n_classes == 2:
            return codes[:, None].astype(dtype)
        return np.eye(n_classes, dtype=dtype)[codes]

    def _loss(self, n_outputs, settings=None):
        return SoftmaxCrossEntropy() if self.out_activation_ == "softmax" else LogisticCrossEntropy()

    def _strata(self, targets):
        return None if self._multilabel else _codes(targets)

    _has_labels = True

    @staticmethod
    def _class_codes(targets):
        return _codes(targets)

    def _class_factors(self, data, settings):
        class_weight = settings["class_weight"]
        if class_weight is None:
            return None
        if self._multilabel:
            raise ValueError(
                f"`class_weight` must be None for multilabel targets; got {class_weight!r}. Use sample_weight"
            )
        if not isinstance(class_weight, str):
            with renamed("class_weight", class_weight, "map labels of y to their weights"):
                return compute_class_weight(class_weight, classes=self.classes_, y=self.classes_)
        totals = data.class_totals(self.classes_)
        return totals.sum() / (len(self.classes_) * np.maximum(totals, np.finfo(float).tiny))

    def _score_raw(self, loss, z, targets, weight):
        """Accuracy."""
        right = _labels(z, loss.out_activation) == (targets if self._multilabel else _codes(targets))
        return np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weight)

    def __sklearn_tags__(self):
        """Say that multilabel targets are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _labels(z, out_activation):
    """Return the class numbers of shape (n,), or 0 and 1 of shape (n, K), for raw outputs z."""
    if out_activation == "softmax":
        return z.argmax(axis=1)
    positive = (z > 0).astype(int)
    return positive[:, 0] if z.shape[1] == 1 else positive


def _inside(p):
    """Keep probabilities inside the open unit interval, since a result that rounds to 0 or 1 is not certain."""
    return np.clip(p, np.finfo(p.dtype).tiny, np.nextafter(p.dtype.type(1), p.dtype.type(0)))


def _codes(targets):
    """Return the class numbers of encoded targets."""
    return targets[:, 0].astype(int) if targets.shape[1] == 1 else targets.argmax(axis=1)
