"""The sides of a comparison.  Each is a generator function of a case: it yields the losses of its
first steps, to be checked against the other side's, then runs one iteration whenever it is asked.

python -m benchmarks.sides NAME CASE  speaks with `benchmarks.pairs.Side` over stdin and stdout.
"""

import itertools
import json
import sys
import time

import numpy as np

CHECKED_STEPS = 5
BATCHES = 64


def tensors(case):
    """The same weights, pixels and noise for every side, in float32  ->  VAE, [(x, eps), ...]

    64 batches, for a network that sees one batch again and again kills units, and then Adam's
    moments fade into numbers below float32's normal range, which are slow.
    """
    import tinyvae
    from tinyvae import data

    rng = np.random.default_rng(0)
    vae = tinyvae.VAE.create(784, (case["hidden"],), 20, rng=rng, activation="relu")
    images = np.asarray(data.load("mnist5k").x_train)
    batches = []
    for _ in range(BATCHES):
        x = data.binarize(images[rng.integers(len(images), size=case["batch"])], rng)
        batches.append((x, rng.standard_normal((len(x), 20), dtype=np.float32)))
    return vae, batches


def step_tinyvae(case):
    """Forward, backward, Adam: what `fit` does for one batch."""
    from tinyvae.optim import Adam

    vae, batches = tensors(case)
    batches = itertools.cycle(batches)
    adam = Adam(vae.params)

    def step():
        loss, _, _, grads = vae.loss_and_grads(*next(batches))
        adam.step(grads)
        return float(loss)

    return step


def step_products(case):
    """The limit: the fourteen matrix products of a step alone, in NumPy, into buffers."""
    vae, [(x, z), *_] = tensors(case)
    W = {name.removesuffix(".W"): p for name, p in vae.params.items() if name.endswith("W")}
    h, logits = np.ones((len(x), case["hidden"]), np.float32), np.ones_like(x)
    to_h, to_z, to_x = np.empty_like(h), np.empty_like(z), np.empty_like(x)
    products = [
        (x, W["encoder.0"], to_h), (h, W["mu"], to_z), (h, W["logvar"], to_z),
        (z, W["decoder.0"], to_h), (h, W["logits"], to_x),
        (h.T, logits, np.empty_like(W["logits"])), (logits, W["logits"].T, to_h),
        (z.T, h, np.empty_like(W["decoder.0"])), (h, W["decoder.0"].T, to_z),
        (h.T, z, np.empty_like(W["mu"])), (h.T, z, np.empty_like(W["logvar"])),
        (z, W["mu"].T, to_h), (z, W["logvar"].T, to_h),
        (x.T, h, np.empty_like(W["encoder.0"])),
    ]  # fmt: skip

    def step():
        for left, right, out in products:
            np.matmul(left, right, out=out)

    return step


def torch_twin(case):
    """The twin in PyTorch, with tinyvae's weights  ->  torch, parameters, batches, loss function"""
    import torch
    from torch.nn import functional as F

    vae, batches = tensors(case)
    params = {n: torch.tensor(v, requires_grad=True) for n, v in vae.params.items()}
    batches = itertools.cycle([(torch.tensor(x), torch.tensor(eps)) for x, eps in batches])

    def layer(name, h):
        return F.linear(h, params[f"{name}.W"], params[f"{name}.b"])

    for name in params:  # as nn.Linear keeps them: (outputs, inputs)
        if name.endswith("W"):
            params[name] = torch.tensor(vae.params[name].T.copy(), requires_grad=True)

    def loss(x, eps):
        h = F.relu(layer("encoder.0", x))
        mu, logvar = layer("mu", h), layer("logvar", h)
        z = mu + torch.exp(0.5 * logvar) * eps
        logits = layer("logits", F.relu(layer("decoder.0", z)))
        recon = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu * mu - logvar.exp())
        return (recon + kl) / len(x)

    return torch, list(params.values()), batches, loss


def step_torch(case, fused=False, compiled=False):
    torch, params, batches, loss = torch_twin(case)
    adam = torch.optim.Adam(params, 1e-3, fused=fused)
    loss = torch.compile(loss) if compiled else loss

    def step():
        value = loss(*next(batches))
        adam.zero_grad()
        value.backward()
        adam.step()
        return float(value.detach())

    return step


def step_torch_fused(case):
    return step_torch(case, fused=True)


def step_torch_compiled(case):
    return step_torch(case, fused=True, compiled=True)


def step_jax(case):
    """jit of loss, gradient and Adam in one function, with donated buffers."""
    import jax
    import jax.numpy as jnp

    vae, batches = tensors(case)
    batches = itertools.cycle([(jnp.asarray(x), jnp.asarray(eps)) for x, eps in batches])
    params = {n: jnp.asarray(v) for n, v in vae.params.items()}
    zeros = {n: jnp.zeros_like(v) for n, v in params.items()}
    state = [params, zeros, {n: jnp.zeros_like(v) for n, v in params.items()}, jnp.float32(0)]

    def loss(p, x, eps):
        h = jax.nn.relu(x @ p["encoder.0.W"] + p["encoder.0.b"])
        mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
        z = mu + jnp.exp(0.5 * logvar) * eps
        g = jax.nn.relu(z @ p["decoder.0.W"] + p["decoder.0.b"])
        logits = g @ p["logits.W"] + p["logits.b"]
        recon = jnp.sum(jax.nn.softplus(logits) - x * logits)
        kl = -0.5 * jnp.sum(1 + logvar - mu * mu - jnp.exp(logvar))
        return (recon + kl) / len(x)

    def update(params, m, v, t, x, eps):
        value, grads = jax.value_and_grad(loss)(params, x, eps)
        t = t + 1
        m = {n: 0.9 * m[n] + 0.1 * grads[n] for n in m}
        v = {n: 0.999 * v[n] + 0.001 * grads[n] ** 2 for n in v}
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        tiny = 1e-8 * jnp.sqrt(1 - 0.999**t)
        params = {n: params[n] - rate * m[n] / (jnp.sqrt(v[n]) + tiny) for n in params}
        return value, params, m, v, t

    update = jax.jit(update, donate_argnums=(0, 1, 2))

    def step():
        value, *state[:] = update(*state, *next(batches))
        return float(value)

    return step


def likelihood_tinyvae(case):
    from tinyvae import evaluate

    vae, [(x, _), *_] = tensors(case)
    rng = np.random.default_rng(1)
    return lambda: float(evaluate.log_likelihood(vae, x, rng, case["samples"]).mean())


def likelihood_products(case):
    """The limit: the decoder's matrix products alone, in chunks of the same size."""
    vae, [(x, _), *_] = tensors(case)
    z = np.ones((case["chunk"], 20), np.float32)
    g, logits = (np.empty((len(z), n), np.float32) for n in (case["hidden"], 784))

    def run():
        for _ in range(len(x) * case["samples"] // len(z)):
            np.matmul(z, vae.params["decoder.0.W"], out=g)
            np.matmul(g, vae.params["logits.W"], out=logits)

    return run


def likelihood_torch(case):
    import torch
    from torch.nn import functional as F

    vae, [(x, _), *_] = tensors(case)
    p = {n: torch.tensor(v) for n, v in vae.params.items()}
    x = torch.tensor(x)

    @torch.inference_mode()
    def run():
        estimates = []
        h = F.relu(x @ p["encoder.0.W"] + p["encoder.0.b"])
        mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
        for n in range(len(x)):
            log_w = []
            for _ in range(case["samples"] // case["chunk"]):
                eps = torch.randn(case["chunk"], 20)
                z = mu[n] + torch.exp(0.5 * logvar[n]) * eps
                g = F.relu(z @ p["decoder.0.W"] + p["decoder.0.b"])
                logits = g @ p["logits.W"] + p["logits.b"]
                recon = F.binary_cross_entropy_with_logits(
                    logits, x[n].expand_as(logits), reduction="none"
                ).sum(1)
                log_w.append(-recon + 0.5 * (eps**2 - z**2 + logvar[n]).sum(1))
            log_w = torch.cat(log_w)
            estimates.append(torch.logsumexp(log_w, 0) - np.log(len(log_w)))
        return float(torch.stack(estimates).mean())

    return run


SIDES = {
    "step tinyvae": step_tinyvae,
    "step products": step_products,
    "step torch": step_torch,
    "step torch fused": step_torch_fused,
    "step torch compiled": step_torch_compiled,
    "step jax": step_jax,
    "likelihood tinyvae": likelihood_tinyvae,
    "likelihood products": likelihood_products,
    "likelihood torch": likelihood_torch,
}


def main(name, case):
    iterate = SIDES[name](case)
    checked = [iterate() for _ in range(case.get("checked", CHECKED_STEPS))]
    print(json.dumps(None if checked[0] is None else checked), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            iterate()
        print(json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
