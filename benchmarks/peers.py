"""The VAE of the core beside PyTorch's and JAX's: same weights and noise, same loss and gradients.

    python -m benchmarks.peers           compares, and rewrites docs/pytorch-and-jax.md
    python -m benchmarks.peers --check   compares only

Exit status 1, and no page, where they differ by more than 1e-5.

Needs the extra `bench`.
"""

import inspect
import sys
from pathlib import Path

import numpy as np

from tinyvae import VAE, data

PAGE = Path(__file__).parents[1] / "docs" / "pytorch-and-jax.md"
TOLERANCE = 1e-5


def in_torch(params, x, eps):
    import torch
    from torch.nn import functional as F

    p = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    x, eps = torch.tensor(x), torch.tensor(eps)

    def linear(name, h):
        return h @ p[f"{name}.W"] + p[f"{name}.b"]

    h = torch.tanh(linear("encoder.0", x))
    mu, logvar = linear("mu", h), linear("logvar", h)
    z = mu + torch.exp(0.5 * logvar) * eps
    logits = linear("logits", torch.tanh(linear("decoder.0", z)))
    recon = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(dim=1)
    loss = (recon + kl).mean()
    loss.backward()
    return loss.item(), {name: t.grad.numpy() for name, t in p.items()}


def in_jax(params, x, eps):
    import jax
    import jax.numpy as jnp

    def loss(p):
        def linear(name, h):
            return h @ p[f"{name}.W"] + p[f"{name}.b"]

        h = jnp.tanh(linear("encoder.0", x))
        mu, logvar = linear("mu", h), linear("logvar", h)
        z = mu + jnp.exp(0.5 * logvar) * eps
        logits = linear("logits", jnp.tanh(linear("decoder.0", z)))
        recon = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=1)
        kl = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar), axis=1)
        return jnp.mean(recon + kl)

    with jax.enable_x64(x.dtype == np.float64):
        value, grads = jax.value_and_grad(loss)(params)
    return float(value), {name: np.asarray(g) for name, g in grads.items()}


PEERS = {"PyTorch": in_torch, "JAX": in_jax}


def case(dtype):
    """A new VAE 784-400-20, 128 digits (128, 784), noise (128, 20)"""
    rng = np.random.default_rng(0)
    vae = VAE.create(784, (400,), 20, rng=rng, dtype=dtype)
    x = data.binarize(np.asarray(data.load("mnist5k").x_train[:128], dtype), rng)
    return vae, x, rng.standard_normal((128, 20)).astype(dtype)


def differences(dtype, peers=PEERS):
    """name of a peer -> relative errors of loss and gradients, {"loss": ..., "encoder.0.W": ...}

    A gradient's error is the largest of its entries' differences over its own largest entry.
    """
    vae, x, eps = case(dtype)
    loss, _, _, grads = vae.loss_and_grads(x, eps)
    found = {}
    for name, peer in peers.items():
        their_loss, theirs = peer(vae.params, x, eps)
        errors = {"loss": abs(their_loss - loss) / abs(loss)}
        for key, grad in grads.items():
            errors[key] = np.abs(theirs[key] - grad).max() / np.abs(grad).max()
        found[name] = {key: float(error) for key, error in errors.items()}
    return float(loss), found


PROSE = """# The same in PyTorch and in JAX

Whoever has read [vae.py](../tinyvae/vae.py) can read every VAE. Here is the same function twice
more: a loss and its gradients, for given weights, pixels and noise. What tinyvae does by hand,
`backward` and `value_and_grad` do by themselves; the mathematics is line by line the same.

"""
SAME = {  # tinyvae: PyTorch, JAX
    '`vae.linear("mu", h)`': (
        "`nn.Linear`, which keeps W turned: (outputs, inputs)",
        "no layers: a dict of arrays",
    ),
    "`gaussian.reparameterize(mu, logvar, eps)`": (
        "`mu + torch.exp(0.5 * logvar) * eps`",
        "the same with `jnp`",
    ),
    "`bernoulli.nll(logits, x)`": (
        '`binary_cross_entropy_with_logits`, reduction "none", summed over pixels',
        "`softplus(logits) - x * logits`, summed over pixels",
    ),
    "`gaussian.kl_to_standard_normal(mu, logvar)`": (
        "`-0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(dim=1)`",
        "the same with `jnp`",
    ),
    "`vae.loss_and_grads(x, eps)`": (
        "`loss.backward()`, then `.grad`",
        "`jax.value_and_grad(loss)(params)`",
    ),
    "`eps` is an argument": (
        "`torch.randn_like(mu)`: a global generator",
        "`jax.random.normal(key, mu.shape)`: a key",
    ),
    "`Adam(vae.params).step(grads)`": (
        "`torch.optim.Adam(model.parameters())`",
        "optax, or five lines",
    ),
}


def markdown_table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def page(results):
    """The page: what maps to what, both functions as they ran, and how far apart the numbers are"""
    same = markdown_table(["tinyvae", "PyTorch", "JAX"], [[a, *b] for a, b in SAME.items()])
    parts = [PROSE + same]
    for name, peer in PEERS.items():
        parts.append(f"## {name}\n\n```python\n{inspect.getsource(peer).rstrip()}\n```\n")
    header = ["", *(f"{name}, {dtype}" for dtype in results for name in PEERS)]
    rows = [
        [
            f"`{key}`",
            *(f"{found[name][key]:.0e}" for _, found in results.values() for name in PEERS),
        ]
        for key in results["float64"][1]["JAX"]
    ]
    parts.append(
        "## How far apart\n\n784-400-20, 128 black and white digits, the same weights and noise. "
        f"The loss is\n{results['float64'][0]:.6f} nats. Relative differences from tinyvae's; of a "
        "gradient, the largest entry's:\n\n"
        + markdown_table(header, rows)
        + "\n`python -m benchmarks.peers` (extra `bench`) computes this table, fails where "
        f"a\nnumber is above {TOLERANCE:g}, and writes this page with the code that it ran.\n"
    )
    return "\n".join(parts)


def main(words):
    if words not in ([], ["--check"]):
        sys.exit("benchmarks.peers: nothing, or --check")
    results = {dtype: differences(np.dtype(dtype)) for dtype in ("float64", "float32")}
    worst = 0.0
    for dtype, (loss, found) in results.items():
        for name, errors in found.items():
            key = max(errors, key=errors.get)
            worst = max(worst, errors[key])
            print(f"{name:8s} {dtype}: loss {loss:.6f}, off by {errors['loss']:.0e}; "
                  f"gradients by at most {errors[key]:.0e} ({key})")  # fmt: skip
    if not worst < TOLERANCE:
        print(f"benchmarks.peers: {worst:.0e} apart, more than {TOLERANCE:g}", file=sys.stderr)
        sys.exit(1)
    if not words:
        PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
