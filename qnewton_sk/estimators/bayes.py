"""What `alpha` and `posterior` mean, and what Bayesian inference leaves behind."""

import numpy as np
from scipy.linalg import LinAlgError

from qnewton_sk.curvature import AutoCurvature, GaussNewton
from qnewton_sk.data import check_penalty
from qnewton_sk.inference import (
    KINDS,
    EvidenceLoop,
    Penalties,
    objective_alpha,
    penalty_groups,
    posterior_bytes,
    posterior_of,
)
from qnewton_sk.machine import available_memory_bytes

AUTO = "auto"
"""Name for penalties that follow from the scales of the data."""

EVIDENCE = "evidence", "evidence_per_input"
"""Names for penalties that are found by the evidence: one per layer, or one per input in the first layer."""

SQUARES_ALPHA, OTHER_ALPHA = 3.0, 1.0
"""Penalties of `AUTO` on standardised data, for squared errors and for all other losses. The second is a standard
normal prior on each weight. Both were chosen on data that no benchmark shows: 21 regressions (candidates 0.1 to 5) and
24 classifications (1e-4 to 3)."""

MIN_SAMPLES = 100
"""Number of samples below which the penalties of `AUTO` shrink in proportion, so that a handful of samples
can still be told apart."""


def is_evidence(alpha):
    """Whether the penalties are to be found by the evidence."""
    return isinstance(alpha, str) and alpha in EVIDENCE


def penalised(objective, alpha):
    """Return the objective with the penalty that a fit starts with: none if the evidence is to find it.

    Parameters
    ----------
    objective : BaseObjective
        Without a penalty.
    alpha : float or str
        The setting.

    Raises
    ------
    ValueError
        If a number is out of the range of the objective's type.
    """
    if is_evidence(alpha):
        return objective
    if isinstance(alpha, str):
        automatic = objective.with_alpha(per_parameter(objective.network, automatic_alpha(objective)))
        automatic.shares_penalty = True
        return automatic
    check_penalty(alpha, objective.total_weight, objective.dtype)
    return objective.with_alpha(alpha)


def automatic_alpha(objective):
    """Return the penalty of each layer under alpha="auto", shape (n_layers,).

    Inputs of less than unit variance need larger weights in the first layer, and targets of less than unit variance
    smaller ones in the last; what a penalty means stays the same if it goes with the variance in one and against it in
    the other (consistency under linear transformations: Bishop 1995, "Neural networks for pattern recognition", section
    9.2.2). As the loss is in units of the targets, their variance then multiplies the penalties of all other layers.
    Larger variances count as one: the initial weights, which are made for standardised data, cannot cope with more.

    Weights above one are taken for repetitions. Weights whose sum is less than the number of samples only say what each
    sample is worth, and the penalty falls with their sum, so that their scale does not matter.
    """
    network, total = objective.network, objective.total_weight
    with np.errstate(over="ignore", invalid="ignore"):
        inputs, targets, count = objective.variances()
    samples = max(count, total)
    strength = SQUARES_ALPHA if network.loss.is_sum_of_squares else OTHER_ALPHA
    alpha = np.full(network.n_layers, strength * min(1.0, samples / MIN_SAMPLES) * (total / samples))
    alpha[0] *= min(1.0, inputs)
    if network.loss.out_activation == "identity":
        alpha[:-1] *= min(1.0, targets)
    # a penalty that the objective's type cannot hold would be zero there, but not here
    alpha[alpha < np.finfo(objective.dtype).tiny * total] = 0.0
    # three digits of ten, so that the order in which the data are added up does not matter
    return np.array([float(f"{float(f'{value:.10g}'):.3g}") for value in alpha])


def per_parameter(network, alpha):
    """Return the penalty of each parameter, shape (n_params,), from one per layer; intercepts have none."""
    each = np.array(network.penalised, float)
    for part, value in zip(network.layer_slices, alpha):
        each[part] *= value
    return each


def fitted_penalty(network, setting, alpha, penalties):
    """Return the `alpha` of the objective of a fit: a number, or the penalty of each parameter.

    It follows from the setting, the penalties of the layers (`alpha_`), and those that the evidence has found.
    """
    if penalties is not None:
        groups = penalty_groups(network, per_input=setting == EVIDENCE[1])
        scale = network.loss.likelihood_scale(network.widths[-1])
        return groups.spread(penalties.alpha) / (penalties.beta * scale)
    if is_evidence(setting):
        return 0.0
    return per_parameter(network, alpha) if isinstance(setting, str) else setting


def check_inference(settings, network, data, *, incremental=False):
    """Refuse what the evidence or the posterior cannot be computed for.

    Parameters
    ----------
    settings : mapping of str to object
        Settings of the estimator by name.
    network : Network
        The net.
    data : MemoryData or DaskData
        The checked data.
    incremental : bool, default=False
        Whether this is a call of partial_fit.

    Raises
    ------
    ValueError
        Naming the parameter, with the way out.
    """
    alpha, kind = settings["alpha"], settings["posterior"]
    if is_evidence(alpha):
        _check_evidence(settings, incremental)
    asked = [f"alpha={alpha!r}"] if is_evidence(alpha) else []
    asked += [f"posterior={kind!r}"] if kind is not None else []
    if not asked:
        return
    if network.loss.likelihood_scale(network.widths[-1]) is None:
        raise ValueError(
            f'`loss` must be "squared_error" or "poisson" for {" and ".join(asked)}, since no other one is known to be '
            f"the logarithm of a likelihood; got {settings['loss']!r}. Use a number for alpha and posterior=None"
        )
    _check_sizes(" and ".join(asked), network, data)
    needs = {f"alpha={alpha!r}": "full"} if is_evidence(alpha) else {}
    needs |= {f"posterior={kind!r}": kind} if kind is not None else {}
    for setting, which in needs.items():
        _check_memory(setting, which, network, data.n_samples)


def _check_evidence(settings, incremental):
    alpha = settings["alpha"]
    if incremental:
        raise ValueError(
            f'`alpha` must be a number or "auto" for partial_fit, since the evidence is that of all the data; got '
            f"{alpha!r}"
        )
    if not isinstance(settings["batch_size"], str):
        raise ValueError(
            f'`batch_size` must be "auto" for alpha={alpha!r}, which needs the curvature of all the data; got '
            f"{settings['batch_size']!r}. Use a number for alpha with mini-batches"
        )
    if settings["early_stopping"]:
        raise ValueError(
            f"`early_stopping` must be False for alpha={alpha!r}, which takes the place of a validation set; got True"
        )


MIN_SIZE, MAX_SIZE = 1e-60, 1e60
"""Sizes of inputs, targets and sums of weights between which their fourth powers, which the posterior and the evidence
take, stay within the range of float64."""


def _check_sizes(asked, network, data):
    """Refuse numbers whose powers in the posterior or the evidence would leave the range of their type."""
    sizes = {"X": float(data.scales().max(initial=0.0)), "sample_weight": data.total_weight}
    if network.loss.is_sum_of_squares:
        sizes["y"] = data.largest_target
    largest = float(np.finfo(data.dtype).max)
    limits = {"X": largest**0.25, "y": largest**0.4}  # squares of y are added up in the type of X
    for name, size in sizes.items():
        high = min(MAX_SIZE, limits.get(name, MAX_SIZE))
        if size and not MIN_SIZE <= size <= high:
            raise ValueError(
                f"`{name}` must be between {MIN_SIZE:g} and {high:.2g} in size for {asked}; got {size:g}. Scale it"
            )


def _check_memory(setting, kind, network, n_samples):
    needed = posterior_bytes(network, n_samples, kind)
    available = float("inf") if needed < 2**28 else available_memory_bytes()
    if needed <= available:
        return
    name = setting.split("=")[0]
    way_out = "a number for alpha"
    if name == "posterior":
        way_out = {"full": 'posterior="layer"', "layer": 'posterior="last_layer"'}.get(kind, "posterior=None")
    raise ValueError(
        f"`{name}` must fit into memory; got {setting}, which for {network.n_params:,} parameters and {n_samples:,} "
        f"samples needs {needed / 2**30:,.1f} GiB of {available / 2**30:,.1f} GiB available. Use {way_out}, or smaller "
        "layers"
    )


class Inference:
    """What one fit does beyond minimising: its loop under alpha="evidence", and what it leaves. One per fit.

    Parameters
    ----------
    settings : mapping of str to object
        Settings of the estimator by name.
    network : Network
        The net.
    penalties : Penalties, default=None
        Those of the fit that is continued.
    """

    def __init__(self, settings, network, penalties=None):
        self.network, self.kind, self.alpha = network, settings["posterior"], settings["alpha"]
        self.penalties, self.found = penalties, None
        per_input = is_evidence(self.alpha) and self.alpha == EVIDENCE[1]
        self.groups = penalty_groups(network, per_input=per_input)

    @property
    def is_evidence(self):
        """Whether the penalties are to be found by the evidence."""
        return is_evidence(self.alpha)

    def max_epochs(self, loop):
        """Return the maximum number of epochs of the fit."""
        return EvidenceLoop(loop).max_epochs if self.is_evidence else loop.max_iter

    def epochs(self, loop, objective, theta, random_state, resume=None):
        """Return the iterator of Progress of a fit whose penalties are found by the evidence.

        `resume` is that of the last `Progress` of a fit that goes on from its checkpoint.
        """
        if isinstance(loop.curvature, AutoCurvature):
            # the penalties change at every step, which leaves nothing to learn from the steps before
            parameters = loop.get_params(deep=False)
            loop = type(loop)(**{**parameters, "curvature": GaussNewton(loop.curvature.partition)})
        return EvidenceLoop(loop).run(
            objective, theta, self.groups, random_state, self._report, self.penalties, resume
        )

    def restore(self, resume):
        """Take up what a fit that goes on from its checkpoint had found."""
        if self.is_evidence and resume is not None:
            self.found = resume.found

    def _report(self, evidence):
        self.found = evidence

    def kept(self, theta):
        """Return the parameters to keep: those of the highest evidence, also after an interruption."""
        return theta if self.found is None else self.found.theta

    def fitted(self, objective, theta, has_posterior=True):
        """Return the fitted attributes by name; without `has_posterior` no posterior is computed."""
        penalties = (
            Penalties(np.zeros(self.groups.count), 1.0) if self.found is None else self.found.penalties
        )
        attributes = {
            "alpha_": self._per_layer(objective),
            "log_evidence_": None,
            "effective_parameters_": None,
            "posterior_": None,
            "_penalties": None,
        }
        if is_evidence(self.alpha):
            attributes |= self._of_penalties(objective, penalties)
        noise = 1 / np.sqrt(penalties.beta) if self.found is not None else None
        if self.found is not None:
            effective = float(self.found.effective.sum()) + self.found.flat
            attributes |= {"log_evidence_": self.found.log_evidence, "effective_parameters_": effective}
        if self.kind is not None and has_posterior:
            posterior = self._posterior(objective, theta, penalties)
            attributes["posterior_"] = posterior
            if self.found is None:
                attributes["effective_parameters_"] = None if posterior is None else posterior.effective
                variance = None if posterior is None else posterior.noise_variance
                noise = None if variance is None else variance**0.5
        if self.network.loss.out_activation in ("identity", "exp"):
            attributes["noise_std_"] = float(noise) if noise and self.network.loss.is_sum_of_squares else None
        return attributes

    def _per_layer(self, objective):
        """Return the penalty of each layer's weights; without an objective, that of the setting."""
        alpha = self.alpha if objective is None else objective.alpha
        if np.ndim(alpha) == 0:
            return np.full(self.network.n_layers, float(alpha))
        return np.array([W[0, 0] for W in self.network.layers(alpha)])

    def _of_penalties(self, objective, penalties):
        """Return the penalties in units of `alpha`: per layer, per layer of intercepts, per input."""
        each = objective_alpha(objective, self.groups, penalties)
        layers = self.network.layers(each)
        inputs = layers[0][:-1, 0]
        per_layer = np.array([W[0, 0] for W in layers])
        if self.groups.inputs and inputs.all():
            per_layer[0] = np.exp(np.log(inputs).mean())
        attributes = {"alpha_": per_layer, "alpha_intercepts_": np.array([W[-1, 0] for W in layers])}
        if self.groups.inputs:
            attributes["alpha_per_input_"] = inputs.copy()
        return attributes | {"_penalties": penalties if self.found is not None else None}

    def _posterior(self, objective, theta, penalties):
        """Return the posterior; intercepts without a penalty get that of the weights where they need a prior."""
        if self.found is None:
            sizes = [part.stop - part.start for part in self.network.layer_slices]
            weights = np.repeat(self._per_layer(objective), sizes)
            prior, beta = np.where(self.groups.index < 0, 0.0, weights), None
        else:
            prior, beta = objective_alpha(objective, self.groups, penalties), penalties.beta
        try:
            return posterior_of(objective, theta, prior, self.kind, beta)
        except LinAlgError:
            return None


def check_posterior(posterior, kind, asked):
    """Refuse what needs a posterior if the fit has left none.

    Parameters
    ----------
    posterior : Posterior or None
        What the fit has left.
    kind : str or None
        The setting of `posterior` when the estimator was fitted.
    asked : str
        What needs it.

    Raises
    ------
    ValueError
        Saying which setting leaves one, or why the fit could not.
    """
    if posterior is not None:
        return
    if kind is None:
        raise ValueError(
            f"`posterior` must be one of {list(KINDS)} when the estimator is fitted, for {asked}; the last fit has "
            "left no posterior. Set it and call fit again"
        )
    raise ValueError(
        f"{asked} needs a posterior, and the fit with `posterior`={kind!r} could not compute one: it failed, or the "
        "curvature at its parameters is not finite or not positive. Scale X and y (StandardScaler) and fit again"
    )
