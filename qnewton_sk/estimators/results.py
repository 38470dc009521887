"""What stays of a fit: fitted attributes, warnings, and the lines that `verbose` prints."""

import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from qnewton_sk.machine import one_blas_thread
from qnewton_sk.optimize import COLUMNS, SADDLE_ADVICE, extend, history_table

from .bayes import Inference, fitted_penalty
from .diagnostics import Spent, summarise

BRIEF_TABLE = {
    "step": ("step", 4, "d"),
    "phase": ("phase", 11, "s"),
    "loss": ("loss", 11, ".5g"),
    "gradient_norm": ("gradient", 9, ".2e"),
    "condition_number": ("kappa", 9, ".2e"),
    "backend": ("backend", 20, "s"),
    "classical_cost": ("classical_s", 11, ".2e"),
    "quantum_cost": ("quantum_s", 9, ".2e"),
}
"""What ``verbose=1`` prints, 98 columns wide: heading, width and format by the column of the history."""

_FORMATS = {"step": "d", "loss": ".8g", "oracle_sparsity": ".0f"}
_WIDTHS = {"phase": 11, "loss": 14, "backend": 20, "solve_status": 21}
FULL_TABLE = {
    name: (
        name,
        max(len(name), _WIDTHS.get(name, 9)),
        _FORMATS.get(name, "s" if name in ("phase", "accepted", "backend", "solve_status") else ".2e"),
    )
    for name in COLUMNS
}
"""What ``verbose=2`` prints: every column of the history under its name."""

SETTINGS_OF_A_FIT = ("activation", "alpha", "batch_size", "class_weight", "loss", "posterior")
"""Settings that prediction, its error messages and the Hessian depend on; a fit keeps them, since parameters may change
later."""

SETTINGS_OF_A_RUN = (
    "curvature",
    "partition",
    "step_control",
    "regularization",
    "learning_rate_init",
    "batch_size",
)
"""Settings with which the state of a run cannot be continued if they have changed."""

SATURATED = 10.0
"""Spread of the outputs over the samples, relative to their size and in units of `tol`, up to which they count as the
same. With all units of the first layer beyond 0.999, raw breast cancer ends at 0.1 and raw wine at 2 for `tol` = 1e-3,
both at 1 to 2 for 1e-4."""

MAX_SCALE = 1e6
"""Largest input from which on a warning advises to scale X: no weight of the size of one sees anything but its sign."""

MAX_SCALE_RATIO = 1e3
"""Ratio of the scales of two columns of X from which on a warning advises to scale them."""


def loop_settings(estimator):
    """Return the settings that the state of a run belongs to, in a form that can be compared."""
    return tuple(repr(getattr(estimator, name)) for name in SETTINGS_OF_A_RUN)


def print_header(verbose):
    """Print the headings of the columns."""
    print("  ".join(f"{heading:>{width}}" for heading, width, _ in _table(verbose).values()))


def print_steps(verbose, steps):
    """Print one line per step."""
    for step in steps:
        print("  ".join(_cell(getattr(step, name), *rest) for name, (_, *rest) in _table(verbose).items()))


def _table(verbose):
    return FULL_TABLE if verbose > 1 else BRIEF_TABLE


def _cell(value, width, kind):
    """One cell; a long text is cut, so that columns stay below each other."""
    if value == "" or value != value:
        text = "-"
    else:
        text = str(value) if kind == "s" else f"{value:{kind}}"
    return f"{text if len(text) <= width else text[: width - 2] + '..':>{width}}"


def fitted_parameters(estimator, network, theta):
    """Return the fitted attributes that prediction needs."""
    coefs, intercepts = network.unpack(theta)
    settings = {name: getattr(estimator, name) for name in SETTINGS_OF_A_FIT if hasattr(estimator, name)}
    return {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "n_layers_": network.n_layers + 1,
        "n_outputs_": network.widths[-1],
        "out_activation_": network.loss.out_activation,
        "_fit_settings": settings,
    }


@one_blas_thread()  # eigenvalues and the posterior must not depend on the number of threads either
def set_results(estimator, job):
    """Set the fitted attributes of a job that has run."""
    journal, before = job.journal, estimator if job.keep else None
    vars(estimator).update(fitted_parameters(estimator, job.network, journal.theta))
    failed = journal.stop_reason == "error"  # the objective may raise again
    vars(estimator).update(job.inference.fitted(job.objective, journal.theta, has_posterior=not failed))
    estimator.n_iter_ = len(journal.losses)
    estimator.t_ = getattr(before, "t_", 0) + estimator.n_iter_ * job.n_samples
    estimator.loss_curve_ = getattr(before, "loss_curve_", []) + journal.losses
    estimator.loss_ = _final_loss(estimator, job)
    estimator.best_loss_ = (
        None if estimator.early_stopping else min(estimator.loss_curve_, default=estimator.loss_)
    )
    estimator.validation_scores_ = _joined(before, "validation_scores_", journal.validation_scores)
    estimator.validation_loss_curve_ = _joined(before, "validation_loss_curve_", journal.validation_losses)
    scores = estimator.validation_scores_
    estimator.best_validation_score_ = max(scores) if scores else None
    history = history_table(journal.steps)
    estimator.history_ = extend(before.history_, history) if before else history
    _summarise_history(estimator)
    estimator.hessian_summary_ = _summary(estimator, job)
    _set_sparsity(estimator)
    _check_curvature(estimator, journal)
    _check_saturation(estimator, job)
    estimator.converged_ = bool(journal.converged)
    estimator.stop_reason_ = journal.stop_reason
    if journal.resume is not None and not job.inference.is_evidence:
        continued = estimator.warm_start or job.incremental
        resume = journal.resume if continued else journal.resume.without_pairs()
        estimator._last_run = resume, job.random_state.get_state(), loop_settings(estimator)


def adopt_parameters(estimator, coefs, intercepts):
    """Set the fitted attributes of an estimator whose parameters come from elsewhere: there was no run to tell of.

    A classifier has its classes, `n_outputs_` and `out_activation_` already.

    Parameters
    ----------
    estimator : estimator
        Its settings must be those with which the parameters predict.
    coefs, intercepts : sequence of ndarray
        Weights and intercepts of each layer; they are copied.
    """
    network = estimator._network(coefs[0].shape[0], coefs[-1].shape[1])
    theta = network.pack(coefs, intercepts, coefs[0].dtype)
    inference = Inference({"alpha": estimator.alpha, "posterior": None}, network)
    vars(estimator).update(fitted_parameters(estimator, network, theta))
    vars(estimator).update(inference.fitted(None, theta))
    estimator.history_ = history_table([])
    _summarise_history(estimator)
    estimator.hessian_summary_ = None
    estimator.converged_, estimator.stop_reason_ = False, "from_mlp"
    estimator.n_features_in_ = network.widths[0]


def fitted_like(estimator, mlp):
    """Give a new estimator the parameters and the targets of a fitted net of scikit-learn; return the estimator.

    Parameters
    ----------
    estimator : QNewtonClassifier or QNewtonRegressor
        Its settings must be those with which the parameters predict.
    mlp : MLPClassifier or MLPRegressor
        Fitted.
    """
    for name in ("classes_", "n_outputs_", "out_activation_", "feature_names_in_"):
        if hasattr(mlp, name):
            setattr(estimator, name, getattr(mlp, name))
    adopt_parameters(estimator, mlp.coefs_, mlp.intercepts_)
    estimator.n_iter_, estimator.t_ = int(mlp.n_iter_), int(mlp.t_)
    estimator.loss_curve_ = list(getattr(mlp, "loss_curve_", []))
    estimator.loss_ = float(mlp.loss_)
    estimator.best_loss_ = getattr(mlp, "best_loss_", estimator.loss_)
    scores = getattr(mlp, "validation_scores_", None)
    estimator.validation_scores_ = None if scores is None else list(scores)
    estimator.best_validation_score_ = getattr(mlp, "best_validation_score_", None)
    estimator.validation_loss_curve_ = None
    return estimator


def _final_loss(estimator, job):
    """The objective at the end; a mean over mini-batches, each after a step of its own, would be too low."""
    journal, is_exact = job.journal, isinstance(estimator.batch_size, str) and not _ends_in_single(job)
    if journal.losses and (journal.stop_reason == "error" or estimator.early_stopping or is_exact):
        return journal.losses[-1]
    return job.objective.value(journal.theta)


def _ends_in_single(job):
    """Whether the last step was an early one, in single precision."""
    journal = job.journal
    if job.inference.is_evidence or not journal.steps or journal.steps[-1].phase != "first_order":
        return False
    return journal.resume is not None and bool(journal.resume.state.single)


def _summary(estimator, job):
    """The summary of the Hessian; a single pass or a fit that was cut short has one only on request.

    A fit that was ended by an exception has none: its objective may raise again.
    """
    journal, diagnostics = job.journal, estimator.diagnostics
    if journal.stop_reason == "error":
        return None
    if (job.incremental or journal.stop_reason == "interrupted") and diagnostics is not True:
        return None
    objective = job.objective.with_alpha(
        fitted_penalty(job.network, estimator.alpha, estimator.alpha_, estimator._penalties)
    )
    if job.inference.is_evidence:  # whose steps are those of many short runs
        accepted = sum(step.accepted for step in journal.steps)
        spent = Spent(float(accepted), accepted) if accepted or diagnostics is True else None
    else:
        spent = None if journal.resume is None else journal.resume.state
    return summarise(diagnostics, objective, journal.theta, spent)


def _set_sparsity(estimator):
    """Systems without entries leave no sparsity but their order; then rows of the Hessian tell."""
    summary = estimator.hessian_summary_
    if summary is None or summary["how"]["row_sparsity"] == "not measured":
        return
    if estimator.oracle_sparsity_ is None or estimator.oracle_sparsity_ == summary["n"]:
        estimator.oracle_sparsity_ = float(summary["row_sparsity"])


def _check_curvature(estimator, journal):
    """End as "saddle" if an eigenvalue is known to be below -sqrt(tol), however small the gradient.

    This is the second-order condition of Nesterov and Polyak (2006), "Cubic regularization of Newton method".
    """
    summary = estimator.hessian_summary_
    if not journal.converged or summary is None:
        return
    smallest = summary["smallest_eigenvalue"]
    if smallest < -np.sqrt(estimator.tol):
        text = f"step {estimator.n_steps_}: the Hessian has an eigenvalue of at most {smallest:.2g}. {SADDLE_ADVICE}"
        journal.end("saddle", False, text)


def _check_saturation(estimator, job):
    """A small gradient does not show a minimum if inputs of large scale have saturated the hidden units."""
    journal = job.journal
    if not journal.converged or job.network.n_layers < 2 or not advice_on_scales(job.source):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = job.source.output_range(job.network, journal.theta)
        spread, size = (high - low).max(), max(np.abs(low).max(), np.abs(high).max())
    if spread <= SATURATED * estimator.tol * size:
        text = "the outputs are the same for all samples, since inputs of this scale have saturated the hidden units."
        journal.end("saturated", False, f"step {estimator.n_steps_}: {text}")


def _summarise_history(estimator):
    history = estimator.history_
    solved = np.asarray(history["backend"], dtype=str) != ""
    estimator.n_steps_ = len(solved)
    estimator.schedule_ = history["backend"][solved].tolist()
    for name in ("condition_number", "oracle_sparsity"):
        values = history[name][solved]
        setattr(estimator, name + "_", float(values[-1]) if len(values) else None)


def _joined(before, name, more):
    """The list of an earlier fit with `more` appended; None if both are empty."""
    return ((getattr(before, name, None) or []) + more) or None


def warn_of_ending(estimator, job):
    """Warn of a fit that was interrupted or has not converged, with the way out."""
    journal = job.journal
    if journal.stop_reason == "interrupted":
        kept = f"step {estimator.n_steps_}, the last one finished,"
        if job.inference.found is not None:
            kept = "the highest evidence so far"
        warnings.warn(
            f"The fit was interrupted; the model of {kept} is kept. Set warm_start=True and call fit again to go on.",
            stacklevel=_levels_to_the_user(),
        )
    elif journal.message:
        warnings.warn(
            f"{type(estimator).__name__} has not converged: {journal.message}{advice_on_scales(job.source)} The last "
            "good model is kept.",
            ConvergenceWarning,
            stacklevel=_levels_to_the_user(),
        )


def _levels_to_the_user():
    """The `stacklevel`, as seen from the caller, of the first frame outside of this package and of callbacks."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(
        ("qnewton_sk.", "sklearn.callback")
    ):
        frame, level = frame.f_back, level + 1
    return level


def advice_on_scales(source):
    """Return a sentence if X holds numbers above `MAX_SCALE`, or columns that differ by more than `MAX_SCALE_RATIO`."""
    scales = source.scales()
    largest = scales.max(initial=0.0)
    if largest > MAX_SCALE:
        return f" X holds numbers up to {largest:.1g}: scale it (StandardScaler)."
    ratio = scale_ratio(scales)
    if not ratio > MAX_SCALE_RATIO:
        return ""
    return f" The columns of X differ in scale by a factor of {ratio:.1g}: scale them (StandardScaler)."


def scale_ratio(scales):
    """Return the ratio of the largest to the smallest scale of a column; columns of zeros do not count."""
    scales = scales[scales > 0]
    with np.errstate(over="ignore"):
        return float(np.float64(scales.max()) / scales.min()) if scales.size else 1.0


def fitted_network(estimator):
    """Return the net of the last fit.

    Raises
    ------
    NotFittedError
        If there was none.
    """
    check_is_fitted(estimator, "coefs_")
    return estimator._fitted_network()
