"""Parts of transformers in autograd.numpy, from their published descriptions, in any precision.

Arrays of activations have the shape (sequences, positions, width). No operation raises to a power: autograd's rule for
it turns single precision into double.
"""

import autograd.numpy as anp
import numpy as np
from autograd.extend import defvjp, primitive
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


@primitive
def cross_entropy(logits, targets):
    """-log softmax(logits)[target] of each row: logits of shape (n, classes), targets of shape (n,)."""
    largest = logits.max(axis=1)
    sums = np.exp(logits - largest[:, None]).sum(axis=1)
    return np.log(sums) + largest - logits[np.arange(len(targets)), targets]


def _cross_entropy_vjp(answer, logits, targets):
    def backward(g):
        rows = np.arange(len(targets))
        chosen = logits[rows, targets]
        p = np.exp(logits - (answer + chosen)[:, None])  # log-sum-exp = loss + logit of the target
        p[rows, targets] -= 1
        p *= g[:, None]
        return p

    return backward


defvjp(cross_entropy, _cross_entropy_vjp, argnums=(0,))


def gelu(x):
    """x Phi(x), Phi the normal distribution (Hendrycks, Gimpel 2016, arXiv:1606.08415)."""
    return 0.5 * x * (1 + erf(x * 0.5**0.5))


def silu(x):
    """x / (1 + exp(-x)) (Elfwing, Uchibe, Doya 2017, arXiv:1702.03118)."""
    return 0.5 * x * (1 + anp.tanh(0.5 * x))


def softmax(scores):
    """exp(scores), normalised along the last axis."""
    p = anp.exp(scores - anp.max(scores, axis=-1, keepdims=True))
    return p / anp.sum(p, axis=-1, keepdims=True)


def layer_norm(x, part, eps=1e-12):
    """Normalise to mean 0 and variance 1, then scale and shift (Ba, Kiros, Hinton 2016, arXiv:1607.06450)."""
    centred = x - anp.mean(x, axis=-1, keepdims=True)
    variance = anp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / anp.sqrt(variance + eps) * part["scale"] + part["shift"]


def rms_norm(x, scale, eps=1e-5):
    """Normalise to a mean square of 1, then scale (Zhang, Sennrich 2019, arXiv:1910.07467)."""
    return x / anp.sqrt(anp.mean(x * x, axis=-1, keepdims=True) + eps) * scale


def heads_of(x, count):
    """Split the width: (sequences, positions, count * width) to (sequences, count, positions, width)."""
    return anp.swapaxes(anp.reshape(x, (*x.shape[:2], count, -1)), 1, 2)


def merged(heads):
    """Undo `heads_of`."""
    x = anp.swapaxes(heads, 1, 2)
    return anp.reshape(x, (*x.shape[:2], -1))


def attention(queries, keys, values, mask=None):
    """softmax(Q K^T / sqrt(width) + mask) V of each head (Vaswani et al. 2017, arXiv:1706.03762).

    A single head of keys and values serves all heads of queries (Shazeer 2019, arXiv:1911.02150).
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


def rotary(heads, cosines, sines):
    """Turn the pair of entries (2i, 2i + 1) of each position by its angle."""
    pairs = anp.reshape(heads, (*heads.shape[:-1], -1, 2))
    even, odd = pairs[..., 0], pairs[..., 1]
    turned = anp.stack([even * cosines - odd * sines, even * sines + odd * cosines], axis=-1)
    return anp.reshape(turned, heads.shape)
