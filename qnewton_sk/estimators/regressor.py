"""The regressor."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from qnewton_sk.conditioning import ConditionEstimator
from qnewton_sk.curvature import Curvature
from qnewton_sk.data import checked_data, lazily, refuse_dask, scores_dask
from qnewton_sk.inference import sampled, standard_deviation
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.nets import resolve_loss
from qnewton_sk.optimize import StepControl
from qnewton_sk.scheduling import Scheduler
from qnewton_sk.systems import must, scale_of

from .base import QNewtonBase
from .bayes import check_posterior
from .callbacks import with_callbacks
from .validation import explains_absent_parameters, probe_loss

Array = NDArray[Any]


class QNewtonRegressor(RegressorMixin, QNewtonBase):
    """Multilayer perceptron regressor fitted by Newton's method, each step solved by the cheapest backend.

    Minimises the objective of `sklearn.neural_network.MLPRegressor`: mean loss plus L2 penalty, averaged over
    the outputs where there are several.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(16, 16)
        Width of each hidden layer; ``()`` is a linear model.
    activation : str, callable or sequence, default="tanh"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu", "softplus", "silu", "gelu", an
        elementwise function written with autograd.numpy, or a sequence of these, one per hidden layer.
    loss : {"squared_error", "poisson", "huber"} or callable, default="squared_error"
        Half the squared error, half the Poisson deviance of exp(output), or the Huber loss (linear beyond a
        residual of 1.35); or ``loss(y, raw_prediction) -> (n_samples,)`` written with autograd.numpy.
    alpha : float, "auto", "evidence" or "evidence_per_input", default="auto"
        L2 penalty on the weights, divided by the number (or total weight) of the samples. "auto" is 3.0 on
        standardised data (1.0 for losses other than the squared error), which suits targets with noise; if there is
        hardly any, 0.1 or less fits closer. It is less on inputs or targets of smaller variance, and on fewer than 100
        samples. "evidence" finds one penalty per layer during the fit, those of hidden intercepts included, by the
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
    n_jobs : int, default=None
        Number of threads for predictions of many samples, as joblib counts them. Fits do not use it: they run on as
        many threads as BLAS may use (OPENBLAS_NUM_THREADS, threadpoolctl), or on the workers of dask if X is a dask
        array.
    posterior : {"full", "layer", "last_layer"}, default=None
        Keep the posterior of the parameters: of all of them jointly, of each layer separately, or of the last layer
        only. It holds the square of their number, or their number times that of the samples if that is less; `fit`
        refuses what does not fit into memory. `predict` then returns standard deviations, and `sample_y` draws.

    Attributes
    ----------
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
    noise_std_ : float or None
        Standard deviation of the targets around the outputs, in units of y; None without evidence or posterior, and
        for other losses than the squared error.
    loss_ : float
        Training objective on all the data at the end; under early stopping, after the last epoch.
    best_loss_ : float or None
        Lowest of `loss_curve_`; None under early stopping.
    loss_curve_ : list of float
        Training objective after each epoch, to five digits where the step was taken in single precision; over
        mini-batches, the mean of their objectives after their steps.
    validation_scores_ : list of float or None
        R^2 on the validation set after each epoch; None without one.
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
    QNewtonClassifier : The same for classification.
    sklearn.neural_network.MLPRegressor : The same model, fitted by first-order methods or L-BFGS.

    References
    ----------
    Q-Newton: hybrid quantum-classical scheduling for accelerating neural network training with Newton's
    gradient descent, arXiv:2405.00252.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import QNewtonRegressor
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = QNewtonRegressor((8,), alpha=0.001, random_state=0).fit(X, np.sin(3 * X[:, 0]))
    >>> bool(np.abs(model.predict(X) - np.sin(3 * X[:, 0])).max() < 0.1)
    True
    """

    @explains_absent_parameters
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (16, 16),
        *,
        activation: str | Callable[..., Any] | Sequence[Any] = "tanh",
        loss: str | Callable[..., Any] = "squared_error",
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
        n_jobs: int | None = None,
        posterior: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
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
        self.n_jobs = n_jobs
        self.posterior = posterior

    @with_callbacks
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, X_val: Any = None, y_val: Any = None
    ) -> "QNewtonRegressor":
        """Take one pass over X from where the last call ended, more only until a step is accepted.

        Under ``alpha="auto"`` the samples of a call are taken for all there are: give a number if they are not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation set, scored after the pass.
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
        return self._partial_fit(X, y, sample_weight, X_val, y_val)

    @lazily
    def predict(self, X: Any, return_std: bool | str = False) -> Any:
        """Return the predictions, and their standard deviations if asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        return_std : bool or "mean", default=False
            True adds the standard deviation of a new observation, "mean" that of the predicted mean, which leaves out
            the noise. Needs `posterior`.

        Returns
        -------
        prediction : ndarray of shape (n_samples,), or (n_samples, n_outputs) for several outputs
        std : ndarray of the same shape
            Only if `return_std` is not False.

        Raises
        ------
        ValueError
            If the fit has left no posterior.
        """
        if not (isinstance(return_std, (bool, np.bool_)) or return_std == "mean"):
            raise must("return_std", 'be True, False or "mean"', return_std)
        check_is_fitted(self, "coefs_")
        loss = self._loss(None, self._fit_settings)
        if not return_std:
            return _column(loss.predict(self._raw(X)))
        check_posterior(self.posterior_, self._fit_settings.get("posterior"), f"return_std={return_std!r}")
        mean, covariance = self._posterior_of_raw(X)
        variance = np.einsum("nkk->nk", covariance)
        of_mean = isinstance(return_std, str)
        std = standard_deviation(loss, mean, variance, self.posterior_.noise_variance, of_mean=of_mean)
        return _column(loss.predict(mean)), _column(std)

    score = scores_dask(RegressorMixin.score)

    def sample_y(
        self, X: Any, n_samples: int = 1, random_state: int | np.random.RandomState | None = 0
    ) -> Array:
        """Draw new observations from the posterior; those of one draw belong to one net.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState instance or None, default=0
            Of the draws.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples), or (n_samples_X, n_outputs, n_samples) for several outputs

        Raises
        ------
        ValueError
            If the fit has left no posterior.
        """
        check_is_fitted(self, "coefs_")
        check_posterior(self.posterior_, self._fit_settings.get("posterior"), "sample_y")
        refuse_dask("X", X, "Pass X.compute() of the rows to draw for")
        X = checked_data(self, X, reset=False)
        random_state = check_random_state(random_state)
        network = self._fitted_network()
        with one_blas_thread():
            draws = self.posterior_.draws(network, X, n_samples, random_state)
        return _column(sampled(network.loss, draws, self.posterior_.noise_variance, random_state))

    _target_checks = {"y_numeric": True}

    def _loss(self, n_outputs, settings=None):
        return resolve_loss(self.loss if settings is None else settings["loss"])

    def _learn_targets(self, y):
        """Nothing: the loss is the same whatever the targets."""

    def _encode(self, y, dtype, name="y"):
        """Return the targets of shape (n_samples, n_outputs)."""
        loss = resolve_loss(self.loss)
        probe_loss(self.loss, loss)
        if (y < loss.min_target).any():
            raise ValueError(
                f'`{name}` must be >= {loss.min_target:g} for loss="{loss.name}"; got {y.min()}. Use loss="huber"'
            )
        with np.errstate(over="ignore"):
            targets = (y[:, None] if y.ndim == 1 else y).astype(dtype)
        if not np.isfinite(targets).all():
            raise ValueError(
                f"`{name}` must be within the range of {targets.dtype}, the type of X; got {np.abs(y).max():g}. "
                "Scale it, or pass X as float64"
            )
        return targets

    def _score_raw(self, loss, z, targets, weight):
        """R^2, in units in which no square overflows; NaN where a prediction overflows."""
        prediction = loss.predict(z)
        if not np.isfinite(prediction).all():
            return np.nan
        unit = max(scale_of(targets), scale_of(prediction))
        if unit != 1.0:
            targets, prediction = targets / unit, prediction / unit
        # of a share of a variance that is next to nothing: minus infinity, or NaN with weights of such a size
        with np.errstate(over="ignore", invalid="ignore"):
            return r2_score(targets, prediction, sample_weight=weight)

    def _check_validation_size(self, n_samples):
        if n_samples < 2:
            raise must("X_val", "hold at least two samples, since the score is R^2", n_samples)

    def __sklearn_tags__(self):
        """Say that several outputs are taken."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _column(values):
    """Return an array of shape (n, K, ...) without the axis of the outputs if there is one output."""
    return values[:, 0] if values.shape[1] == 1 else values
