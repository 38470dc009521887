"""BERT (Devlin et al. 2018, arXiv:1810.04805) with its masked-token objective, in autograd.numpy."""

from dataclasses import dataclass

import autograd.numpy as anp
import numpy as np
from transformer import at_places, attention, cross_entropy, gelu, heads_of, layer_norm, mean, merged, rows_of

from qnewton_sk.nets import linear_layer

INITIAL_STD = 0.02
"""Standard deviation of the initial weights (arXiv:1810.04805, as in GPT)."""


@dataclass(frozen=True)
class Bert:
    """Sizes of the model; the defaults are those of the paper's BERT 64 x 4.

    All tokens have the type of a first text; the output layer shares the table of token embeddings.
    """

    vocabulary: int = 30_522
    hidden: int = 64
    layers: int = 4
    heads: int = 4
    intermediate: int = 256
    positions: int = 512
    token_types: int = 2

    frozen = ()
    name = "bert"

    def initial(self, rng, embeddings=None, dtype=float):
        """Return parameters: normal weights, zero biases; `embeddings` of shape (vocabulary, hidden) if given."""
        h = self.hidden
        table = _normal(rng, self.vocabulary, h) if embeddings is None else embeddings
        params = {
            "embeddings": {
                "tokens": table,
                "positions": _normal(rng, self.positions, h),
                "types": _normal(rng, self.token_types, h),
                "norm": _norm(h),
            },
            "layers": [self._initial_layer(rng) for _ in range(self.layers)],
            "head": {"transform": _linear(rng, h, h), "norm": _norm(h), "bias": np.zeros(self.vocabulary)},
        }
        return _as(params, dtype)

    def _initial_layer(self, rng):
        h, wide = self.hidden, self.intermediate
        parts = {name: _linear(rng, h, h) for name in ("query", "key", "value", "output")}
        parts |= {"up": _linear(rng, h, wide), "down": _linear(rng, wide, h)}
        return parts | {"attention_norm": _norm(h), "norm": _norm(h)}

    def hidden_states(self, params, tokens):
        """Return the last layer's output, shape (sequences, positions, hidden), of tokens (sequences, positions)."""
        table = params["embeddings"]
        x = rows_of(table["tokens"], tokens) + table["positions"][: tokens.shape[1]] + table["types"][0]
        x = layer_norm(x, table["norm"])
        for layer in params["layers"]:
            x = layer_norm(x + self._attend(layer, x), layer["attention_norm"])
            x = layer_norm(x + _apply(layer["down"], gelu(_apply(layer["up"], x))), layer["norm"])
        return x

    def _attend(self, layer, x):
        q, k, v = (heads_of(_apply(layer[name], x), self.heads) for name in ("query", "key", "value"))
        return _apply(layer["output"], merged(attention(q, k, v)))

    def _predictors(self, params, tokens, places):
        x = at_places(self.hidden_states(params, tokens), places)
        x = layer_norm(gelu(_apply(params["head"]["transform"], x)), params["head"]["norm"])
        return anp.reshape(x, (-1, self.hidden))

    def logits(self, params, tokens, places):
        """Return scores of the vocabulary at `places` (sequences, k): shape (sequences * k, vocabulary)."""
        x = self._predictors(params, tokens, places)
        return anp.dot(x, params["embeddings"]["tokens"].T) + params["head"]["bias"]

    def losses(self, params, tokens, places, targets):
        """Return the mean cross-entropy (nats) over the k `places` of each sequence, shape (sequences,)."""
        x = self._predictors(params, tokens, places)
        losses = cross_entropy(x, params["embeddings"]["tokens"], params["head"]["bias"], np.ravel(targets))
        return mean(anp.reshape(losses, targets.shape))

    def batch(self, rng, sequences, mask_token, share=0.15):
        """Return (tokens, places, targets) of masked sequences.

        A `share` of the positions is to be predicted, equally many in every sequence; of those 80 % are masked, 10 %
        get a random token, and 10 % are unchanged (arXiv:1810.04805, section 3.1).
        """
        places = random_places(rng, sequences.shape, max(1, round(share * sequences.shape[1])))
        rows = np.arange(len(sequences))[:, None]
        targets, tokens = sequences[rows, places], sequences.copy()
        lots = rng.random(places.shape)
        others = rng.integers(self.vocabulary, size=places.shape)
        tokens[rows, places] = np.where(lots < 0.8, mask_token, np.where(lots < 0.9, others, targets))
        return tokens, places, targets


def random_places(rng, shape, count):
    """Return `count` different positions of each sequence, sorted."""
    return np.sort(rng.random(shape).argsort(axis=1)[:, :count], axis=1)


def _apply(layer, x):
    return linear_layer(x, layer["weight"], layer["bias"])


def _normal(rng, *shape):
    return INITIAL_STD * rng.standard_normal(shape)


def _linear(rng, n_in, n_out):
    return {"weight": _normal(rng, n_in, n_out), "bias": np.zeros(n_out)}


def _norm(width):
    return {"scale": np.ones(width), "shift": np.zeros(width)}


def _as(params, dtype):
    if isinstance(params, dict):
        return {key: _as(value, dtype) for key, value in params.items()}
    if isinstance(params, list):
        return [_as(value, dtype) for value in params]
    return np.asarray(params, dtype)
