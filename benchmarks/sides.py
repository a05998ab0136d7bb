"""The sides of a comparison.  Each is a generator function of a case: it yields the losses of its
first steps, to be checked against the other side's, then runs one iteration whenever it is asked.

python -m benchmarks.sides NAME CASE  speaks with `benchmarks.pairs.Side` over stdin and stdout.
"""

import itertools
import json
import os
import sys
import time
from contextlib import ExitStack

import numpy as np

from benchmarks.pairs import THREADS

UNTIL_THE_END = ExitStack()
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


def step_readable(case):
    """Forward, backward, Adam: what `fit` does for one batch, with what is to be read."""
    from tinyvae.optim import Adam

    vae, batches = tensors(case)
    return steps(vae, Adam(vae.params), batches)


def step_tinyvae(case):
    """The same as `tinyvae train` does it in one process."""
    from tinyvae import fast
    from tinyvae.optim import Adam

    vae, batches = tensors(case)
    return steps(vae, fast.InBlocks(Adam(vae.params)), batches)


def step_ranks(case):
    """The same as `mpiexec -n N tinyvae train` does it."""
    from tinyvae import distributed
    from tinyvae.optim import Adam

    vae, batches = tensors(case)
    shared_out = distributed.shared_out(distributed.world(), vae, Adam(vae.params))
    return steps(*UNTIL_THE_END.enter_context(shared_out), batches)


def steps(model, optimizer, batches):
    batches = itertools.cycle(batches)

    def step():
        loss, _, _, grads = model.loss_and_grads(*next(batches))
        optimizer.step(grads)
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
    params = {n: torch.nn.Parameter(torch.tensor(v)) for n, v in vae.params.items()}
    batches = itertools.cycle([(torch.tensor(x), torch.tensor(eps)) for x, eps in batches])

    def layer(name, h):
        return F.linear(h, params[f"{name}.W"], params[f"{name}.b"])

    for name in params:  # as nn.Linear keeps them: (outputs, inputs)
        if name.endswith("W"):
            params[name] = torch.nn.Parameter(torch.tensor(vae.params[name].T.copy()))

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


def step_ddp(case):
    """PyTorch's DistributedDataParallel over gloo, each rank with its rows of the batch."""
    from torch import distributed as torch_distributed
    from torch.nn.parallel import DistributedDataParallel

    from tinyvae import distributed

    comm = distributed.world()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(case["port"])}
    torch_distributed.init_process_group("gloo", rank=comm.rank, world_size=comm.size)
    torch, params, batches, loss = torch_twin(case)
    torch.set_num_threads(max(1, THREADS // comm.size))
    rows = distributed.share(case["batch"], comm.rank, comm.size)

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for i, p in enumerate(params):
                self.register_parameter(f"p{i}", p)

        def forward(self, x, eps):
            return loss(x[rows], eps[rows])

    twin = DistributedDataParallel(Twin())
    adam = torch.optim.Adam(twin.parameters(), 1e-3, fused=True)

    def step():
        value = twin(*next(batches))
        adam.zero_grad()
        value.backward()
        adam.step()
        return float(value.detach())

    return step


SIDES = {
    "step tinyvae": step_tinyvae,
    "step readable": step_readable,
    "step ranks": step_ranks,
    "step ddp ranks": step_ddp,
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
    from tinyvae import distributed

    comm = distributed.world() if distributed.rank_among_several() is not None else None
    with UNTIL_THE_END:
        iterate = SIDES[name](case)
        checked = [iterate() for _ in range(case.get("checked", CHECKED_STEPS))]
        if checked[0] is None or name == "step ddp ranks":  # its losses are those of its rows
            checked = None
        answer(comm, checked)
        for count in counts(comm):
            start = time.perf_counter()
            for _ in range(count):
                iterate()
            answer(comm, time.perf_counter() - start)


def answer(comm, value):
    if comm is None or comm.rank == 0:
        print(json.dumps(value), flush=True)


def counts(comm):
    """How many iterations are asked for, time after time, in every rank

    Ranks wait asleep: MPI's own waiting would keep a core busy while the other side is timed.
    """
    count = np.zeros(1, np.int64)
    while True:
        if comm is None or comm.rank == 0:
            count[0] = int(sys.stdin.readline() or 0)
        if comm is not None:
            request = comm.Ibcast(count)
            while not request.Test():
                time.sleep(0.001)
        if not count[0]:
            return
        yield int(count[0])


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
