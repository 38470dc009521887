"""The paper's language models at a few hundred parameters: gradients, gradients per sequence, published counts."""

import autograd.numpy as anp
import bert
import mistral
import numpy as np
import pytest
import transformer
from autograd.test_util import check_grads

from qnewton_sk.nets import parameter_leaves, sample_gradients

TINY = {
    "bert": bert.Bert(vocabulary=11, hidden=8, layers=2, heads=2, intermediate=12, positions=6),
    "mistral": mistral.Mistral(vocabulary=11, hidden=8, layers=2, heads=2, intermediate=12, frozen=()),
    "mistral, grouped heads": mistral.Mistral(
        vocabulary=11, hidden=16, layers=1, heads=4, key_value_heads=2, intermediate=12, frozen=()
    ),
}
PUBLISHED = {bert.Bert: (2_221_178, 2_221_178), mistral.Mistral: (4_334_144, 238_144)}


def problem(model, seed=0):
    """Parameters away from the special values of the start, and a batch of three sequences."""
    rng = np.random.default_rng(seed)
    params = model.initial(rng)
    for _, array in parameter_leaves(params):
        array += 0.3 * rng.standard_normal(array.shape)
    sequences = rng.integers(model.vocabulary, size=(3, 7 if model.name == "mistral" else 6))
    return params, model.batch(rng, sequences, mask_token=10, share=0.5)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_parameters_are_as_many_as_published(kind):
    model = kind()
    leaves = list(parameter_leaves(model.initial(np.random.default_rng(0))))
    trained = [array.size for path, array in leaves if path[0] not in model.frozen]
    assert (sum(array.size for _, array in leaves), sum(trained)) == PUBLISHED[kind]


@pytest.mark.parametrize("name", TINY)
def test_gradient_agrees_with_finite_differences(name):
    model = TINY[name]
    params, batch = problem(model)
    check_grads(lambda p: anp.sum(model.losses(p, *batch)), modes=["rev"], order=1)(params)


@pytest.mark.parametrize("name", TINY)
def test_gradients_per_sequence_equal_those_of_single_sequences(name):
    model = TINY[name]
    params, batch = problem(model)
    _, gradient, samples = sample_gradients(model.losses, params, *batch)
    for b in range(3):
        alone = dict(
            parameter_leaves(sample_gradients(model.losses, params, *(part[b : b + 1] for part in batch))[1])
        )
        for path in samples:
            scale = max(np.abs(alone[path]).max(), 1e-3)
            np.testing.assert_allclose(samples[path][b], alone[path].ravel(), rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", TINY)
def test_every_linear_layer_inside_the_blocks_is_recorded(name):
    model = TINY[name]
    params, batch = problem(model)
    samples = sample_gradients(model.losses, params, *batch)[2]
    matrices = [
        path for path, array in parameter_leaves(params) if path[0] in ("layers", "head") and array.ndim == 2
    ]
    assert set(matrices) == {path for path in samples if dict(parameter_leaves(params))[path].ndim == 2}


def test_a_later_token_does_not_change_the_causal_model_before_it():
    model = TINY["mistral"]
    params, (tokens, _, _) = problem(model)
    changed = tokens.copy()
    changed[:, 4] = (changed[:, 4] + 1) % model.vocabulary
    one, other = (model.hidden_states(params, t) for t in (tokens, changed))
    np.testing.assert_array_equal(one[:, :4], other[:, :4])
    assert np.abs(one[:, 4:] - other[:, 4:]).max() > 1e-3


def test_masking_replaces_only_what_is_predicted():
    model, rng = bert.Bert(), np.random.default_rng(0)
    sequences = rng.integers(200, model.vocabulary, size=(400, 20))
    tokens, places, targets = model.batch(rng, sequences, mask_token=103)
    rows = np.arange(400)[:, None]
    assert places.shape == (400, 3) and all(len(set(row)) == 3 for row in places)
    np.testing.assert_array_equal(targets, sequences[rows, places])
    untouched = np.ones(tokens.shape, bool)
    untouched[rows, places] = False
    np.testing.assert_array_equal(tokens[untouched], sequences[untouched])
    assert abs((tokens[rows, places] == 103).mean() - 0.8) < 0.05
    assert abs((tokens[rows, places] == targets).mean() - 0.1) < 0.04


def test_cross_entropy_does_not_depend_on_the_rows_held_at_one_time(monkeypatch):
    rng = np.random.default_rng(0)
    args = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)), rng.standard_normal(5)
    targets = rng.integers(5, size=7)
    logits = args[0] @ args[1].T + args[2]
    wanted = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(7), targets]
    for chunk in (2, 64):
        monkeypatch.setattr(transformer, "CHUNK", chunk)
        np.testing.assert_allclose(transformer.cross_entropy(*args, targets), wanted, rtol=1e-13)
        check_grads(lambda *a: anp.sum(transformer.cross_entropy(*a, targets) ** 2), modes=["rev"], order=1)(
            *args
        )


@pytest.mark.parametrize("name", TINY)
def test_single_precision_stays_single(name):
    model = TINY[name]
    params = model.initial(np.random.default_rng(0), dtype="float32")
    values, gradient, samples = sample_gradients(model.losses, params, *problem(model)[1])
    arrays = [
        values,
        *(array for _, array in parameter_leaves(gradient)),
        *(samples[path] for path in samples),
    ]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
