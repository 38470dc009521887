"""The forward pass of both language models against torch's own modules holding the same weights."""

import bert
import mistral
import numpy as np
import pytest

from qnewton_sk.nets import parameter_leaves

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def filled(model):
    """Double-precision parameters without special values, by path and nested, and four sequences."""
    rng = np.random.default_rng(0)
    params = model.initial(rng)
    for _, array in parameter_leaves(params):
        array += 0.2 * rng.standard_normal(array.shape)
    tensors = {path: torch.from_numpy(array) for path, array in parameter_leaves(params)}
    return params, tensors, rng.integers(model.vocabulary, size=(4, 9))


def encoder_layer(model, t, l):
    """`torch.nn.TransformerEncoderLayer` with the weights of layer l."""
    h, wide = model.hidden, model.intermediate
    layer = torch.nn.TransformerEncoderLayer(
        h, model.heads, wide, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True, dtype=torch.float64
    )
    own = {
        name: {kind: t["layers", l, name, kind] for kind in ("weight", "bias")}
        for name in ("query", "key", "value", "output", "up", "down")
    }
    joined = [own[name] for name in ("query", "key", "value")]
    state = {
        "self_attn.in_proj_weight": torch.cat([part["weight"].T for part in joined]),
        "self_attn.in_proj_bias": torch.cat([part["bias"] for part in joined]),
    }
    for theirs, ours in {"self_attn.out_proj": "output", "linear1": "up", "linear2": "down"}.items():
        state |= {f"{theirs}.weight": own[ours]["weight"].T, f"{theirs}.bias": own[ours]["bias"]}
    for theirs, ours in {"norm1": "attention_norm", "norm2": "norm"}.items():
        state |= {
            f"{theirs}.weight": t["layers", l, ours, "scale"],
            f"{theirs}.bias": t["layers", l, ours, "shift"],
        }
    layer.load_state_dict(state)
    return layer.train()  # in evaluation torch takes a fused path


def test_bert_equals_torch_encoder_layers():
    model = bert.Bert(vocabulary=30, hidden=16, layers=2, intermediate=24, positions=12)
    params, t, tokens = filled(model)
    e = {name: t["embeddings", name] for name in ("tokens", "positions", "types")}
    ids = torch.from_numpy(tokens)
    x = functional.embedding(ids, e["tokens"]) + e["positions"][: ids.shape[1]] + e["types"][0]
    x = functional.layer_norm(
        x, (16,), t["embeddings", "norm", "scale"], t["embeddings", "norm", "shift"], 1e-12
    )
    for l in range(model.layers):
        x = encoder_layer(model, t, l)(x)
    np.testing.assert_allclose(
        model.hidden_states(params, tokens), x.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    places = np.tile([1, 5], (4, 1))
    x = functional.linear(x[:, [1, 5]], t["head", "transform", "weight"].T, t["head", "transform", "bias"])
    x = functional.layer_norm(
        functional.gelu(x), (16,), t["head", "norm", "scale"], t["head", "norm", "shift"], 1e-12
    )
    logits = functional.linear(x, e["tokens"], t["head", "bias"]).reshape(-1, 30)
    np.testing.assert_allclose(
        model.logits(params, tokens, places), logits.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    targets = np.random.default_rng(1).integers(30, size=(4, 2))
    losses = functional.cross_entropy(logits, torch.from_numpy(targets.ravel()), reduction="none")
    wanted = losses.reshape(4, 2).mean(dim=1).detach().numpy()
    np.testing.assert_allclose(model.losses(params, tokens, places, targets), wanted, rtol=1e-10)


def rotated(x):
    """Rotary positions as a product of complex numbers: pair i of position t times exp(i t base^(-2i/width))."""
    t, half = x.shape[-2], x.shape[-1] // 2
    angles = torch.outer(torch.arange(t).double(), 10_000.0 ** (-torch.arange(half).double() / half))
    z = torch.view_as_complex(x.reshape(*x.shape[:-1], half, 2).contiguous())
    return torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles)).reshape(x.shape)


def test_mistral_equals_torch_modules():
    model = mistral.Mistral(vocabulary=30, hidden=16, layers=2, intermediate=24)
    params, t, tokens = filled(model)

    def norm(x, scale):
        module = torch.nn.RMSNorm(16, eps=1e-5, dtype=torch.float64)
        module.load_state_dict({"weight": scale})
        return module(x)

    def heads(x, count):
        return x.reshape(4, 9, count, -1).transpose(1, 2)

    x = functional.embedding(torch.from_numpy(tokens), t["embeddings",])
    for l in range(model.layers):
        w = {path[2]: tensor for path, tensor in t.items() if path[:2] == ("layers", l)}
        y = norm(x, w["attention_norm"])
        q, k = rotated(heads(y @ w["query"], 4)), rotated(heads(y @ w["key"], 1))
        y = functional.scaled_dot_product_attention(
            q, k, heads(y @ w["value"], 1), is_causal=True, enable_gqa=True
        )
        x = x + y.transpose(1, 2).reshape(4, 9, 16) @ w["output"]
        y = norm(x, w["norm"])
        x = x + (functional.silu(y @ w["gate"]) * (y @ w["up"])) @ w["down"]
    x = norm(x, t["norm",])
    np.testing.assert_allclose(
        model.hidden_states(params, tokens), x.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    logits = functional.linear(x[:, [2, 7]], t["output",]).reshape(-1, 30).detach().numpy()
    places = np.tile([2, 7], (4, 1))
    np.testing.assert_allclose(model.logits(params, tokens, places), logits, rtol=1e-10, atol=1e-12)
