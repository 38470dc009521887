"""Parts of transformers in autograd.numpy, from their published descriptions, in any precision.

Arrays of activations have the shape (sequences, positions, width). Nothing here raises to a power or calls
``autograd.numpy.mean``: autograd's rules for them turn single precision into double.
"""

import autograd.numpy as anp
import numpy as np
from autograd.extend import defvjp, defvjp_argnums, primitive
from autograd.scipy.special import erf


@primitive
def rows_of(table, ids):
    """Rows `ids` of an embedding table; the gradient is a dense table, summed by sorted token."""
    return table[ids]


def _rows_vjp(answer, table, ids):
    def backward(g):
        flat, g = np.ravel(ids), np.reshape(g, (-1, table.shape[1]))
        order = np.argsort(flat, kind="stable")
        tokens, starts = np.unique(flat[order], return_index=True)
        total = np.zeros_like(table)
        total[tokens] = np.add.reduceat(g[order], starts, axis=0)
        return total

    return backward


defvjp(rows_of, _rows_vjp, argnums=(0,))


CHUNK = 64
"""Rows of logits that exist at a time: 8 MB in single precision for 32,000 tokens, which fits into a cache."""


@primitive
def cross_entropy(x, table, bias, targets):
    """-log softmax(x table^T + bias)[target] of each row of x; the logits exist a few rows at a time.

    Parameters
    ----------
    x : array of shape (n, width)
    table : array of shape (classes, width)
    bias : array of shape (classes,), or None
    targets : array of int of shape (n,)

    Returns
    -------
    array of shape (n,)
    """
    losses = np.empty(len(x), x.dtype)
    for rows in _chunks(len(x)):
        logits = _logits(x[rows], table, bias)
        chosen = logits[np.arange(len(logits)), targets[rows]]
        logits -= (largest := logits.max(axis=1))[:, None]
        losses[rows] = np.log(np.exp(logits, out=logits).sum(axis=1)) + largest - chosen
    return losses


def _chunks(n):
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def _logits(x, table, bias):
    logits = x @ table.T
    if bias is not None:
        logits += bias
    return logits


def _residuals(losses, x, table, bias, targets, g):
    """Yield (rows, g times softmax minus one-hot); log-sum-exp is the loss plus the logit of the target."""
    for rows in _chunks(len(x)):
        p = _logits(x[rows], table, bias)
        own = np.arange(len(p)), targets[rows]
        p -= (losses[rows] + p[own])[:, None]
        np.exp(p, out=p)
        p[own] -= 1
        p *= g[rows][:, None]
        yield rows, p


def _cross_entropy_vjp(argnums, losses, args, kwargs):
    """Return all gradients that are requested, from one pass over the logits."""
    x, table, _, _ = args

    def backward(g):
        sums = {0: np.empty_like(x), 1: np.zeros_like(table), 2: np.zeros(len(table), table.dtype)}
        for rows, p in _residuals(losses, *args, g):
            if 0 in argnums:
                sums[0][rows] = p @ table
            if 1 in argnums:
                sums[1] += p.T @ x[rows]
            if 2 in argnums:
                sums[2] += p.sum(axis=0)
        return [sums[argnum] for argnum in argnums]

    return backward


defvjp_argnums(cross_entropy, _cross_entropy_vjp)


def gelu(x):
    """x Phi(x), Phi the normal distribution (Hendrycks, Gimpel 2016, arXiv:1606.08415)."""
    return 0.5 * x * (1 + erf(x * 0.5**0.5))


def silu(x):
    """x / (1 + exp(-x)) (Elfwing, Uchibe, Doya 2017, arXiv:1702.03118)."""
    return 0.5 * x * (1 + anp.tanh(0.5 * x))


@primitive
def softmax(scores):
    """exp(scores), normalised along the last axis."""
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def _softmax_vjp(p, scores):
    return lambda g: p * (g - (g * p).sum(axis=-1, keepdims=True))


defvjp(softmax, _softmax_vjp)


def mean(x, axis=-1, keepdims=False):
    """The mean along one axis, in the precision of x."""
    return anp.sum(x, axis=axis, keepdims=keepdims) * (1 / x.shape[axis])


def layer_norm(x, part, eps=1e-12):
    """Normalise to mean 0 and variance 1, then scale and shift (Ba, Kiros, Hinton 2016, arXiv:1607.06450)."""
    centred = x - mean(x, keepdims=True)
    variance = mean(centred * centred, keepdims=True)
    return centred / anp.sqrt(variance + eps) * part["scale"] + part["shift"]


def rms_norm(x, scale, eps=1e-5):
    """Normalise to a mean square of 1, then scale (Zhang, Sennrich 2019, arXiv:1910.07467)."""
    return x / anp.sqrt(mean(x * x, keepdims=True) + eps) * scale


@primitive
def at_places(x, places):
    """Rows x[b, places[b, k]] of (sequences, positions, width); the places of a sequence are different."""
    return x[np.arange(len(x))[:, None], places]


def _places_vjp(answer, x, places):
    def backward(g):
        total = np.zeros_like(x)
        total[np.arange(len(x))[:, None], places] = g
        return total

    return backward


defvjp(at_places, _places_vjp, argnums=(0,))


def heads_of(x, count):
    """Split the width: (sequences, positions, count * width) to (sequences, count, positions, width)."""
    return anp.swapaxes(anp.reshape(x, (*x.shape[:2], count, -1)), 1, 2)


def merged(heads):
    """Undo `heads_of`."""
    x = anp.swapaxes(heads, 1, 2)
    return anp.reshape(x, (*x.shape[:2], -1))


def attention(queries, keys, values, mask=None):
    """softmax(Q K^T / sqrt(width) + mask) V of each head (Vaswani et al. 2017, arXiv:1706.03762).

    All heads of queries may share a single head of keys and values (Shazeer 2019, arXiv:1911.02150).
    """
    scores = anp.matmul(queries, anp.swapaxes(keys, -1, -2)) * queries.shape[-1] ** -0.5
    return anp.matmul(softmax(scores if mask is None else scores + mask), values)


def causal_mask(positions, dtype):
    """0 for a position and those before it, -1e9 for those after it."""
    return np.triu(np.full((positions, positions), -1e9), 1).astype(dtype)


def rotary_angles(positions, width, base=10_000.0):
    """Cosines and sines of shape (positions, width / 2) (Su et al. 2021, arXiv:2104.09864, equation 15)."""
    angles = np.arange(positions)[:, None] * base ** (-np.arange(0, width, 2) / width)
    return np.cos(angles), np.sin(angles)


@primitive
def rotary(heads, cosines, sines):
    """Turn the pair of entries (2i, 2i + 1) of each position by its angle; the gradient is turned back."""
    turned = np.empty_like(heads)
    even, odd = heads[..., ::2], heads[..., 1::2]
    turned[..., ::2] = even * cosines - odd * sines
    turned[..., 1::2] = even * sines + odd * cosines
    return turned


defvjp(rotary, lambda answer, heads, cosines, sines: lambda g: rotary(g, cosines, -sines), argnums=(0,))
