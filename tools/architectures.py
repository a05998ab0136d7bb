"""Try random small architectures: every gradient, the bounds, the KL, and the saved model.

    python -m tools.architectures --rounds 10000
    python -m tools.architectures --seed 4321 --rounds 1      one of them over again

Each seed makes a VAE or an autoencoder with 1 to 3 hidden layers, tanh or relu, all sizes 1 to 6,
in float64.  What must hold:

    every gradient, by name, is the difference quotient of the loss
    recon >= 0 and KL >= 0
    ELBO <= importance-weighted bound, up to 5 standard errors of their difference
    the saved model, loaded, is the same, bit for bit
"""

import argparse
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

from tinyvae import VAE, Autoencoder, checkpoint, evaluate
from tinyvae.oracles import central_difference, estimate, relative_error

TOLERANCE = 1e-6  # of a gradient, relative
COPIES, SAMPLES = 60, 16  # draws of each bound, and draws of z in the higher one


class Failure(AssertionError):
    """What did not hold, in one sentence"""


class Found(NamedTuple):
    """What one round measured"""

    gradients: int  # numbers that were compared
    error: float  # the largest relative one
    kl: float  # the smallest
    gain: float  # the higher bound over the lower, in standard errors; NaN for an autoencoder
    kinks: int  # batches that had a relu too near its kink for a difference quotient


def draw(rng):
    """A random model; weights and biases 0.5 N(0, 1): biases of zero would hide mistakes"""
    cls, activation = rng.choice([VAE, Autoencoder]), str(rng.choice(["tanh", "relu"]))
    data_dim, latent_dim, *hidden_dims = rng.integers(1, 7, 2 + rng.integers(1, 4)).tolist()
    model = cls.create(
        data_dim, hidden_dims, latent_dim, rng=rng, activation=activation, dtype=np.float64
    )
    for p in model.params.values():
        p[...] = 0.5 * rng.standard_normal(p.shape)
    return model


def draw_batch(model, rng):
    """x (B, D) in {0, 1}, eps (B, Z), and how often a relu was too near to its kink

    A difference quotient across a kink sees neither of its slopes.
    """
    for tries in range(1000):
        batch = rng.integers(1, 7)
        x = rng.integers(0, 2, (batch, model.data_dim)).astype(np.float64)
        eps = rng.standard_normal((batch, model.latent_dim))
        if model.activation == "tanh" or nearest_kink(model, x, eps) > 1e-4:
            return x, eps, tries
    raise Failure("no batch was away from all kinks")


def nearest_kink(model, x, eps):
    """The smallest distance of an input of a relu from 0"""
    code = model.encode(x)
    z = code[0] + np.exp(0.5 * code[1]) * eps if isinstance(model, VAE) else code
    distances = []
    for names, h in ((model.encoder, x), (model.decoder, z)):
        for name in names:
            a = h @ model.params[f"{name}.W"] + model.params[f"{name}.b"]
            distances.append(np.abs(a).min())
            h = np.maximum(a, 0)
    return min(distances)


def check_gradients(model, x, eps, beta):
    """Every gradient against central differences  ->  how many numbers, the largest error"""
    loss, recon, kl, grads = model.loss_and_grads(x, eps, beta, wrt_x=True)
    if not (np.all(recon >= 0) and np.all(kl >= 0)):
        raise Failure(f"recon {recon.min()} or kl {kl.min()} is negative")

    def loss_at(x):
        recon, kl = model.loss(x, eps)
        return np.mean(recon + beta * kl)

    if abs(loss - loss_at(x)) > 1e-12 * loss:
        raise Failure(f"loss_and_grads has the loss {loss}, and loss has {loss_at(x)}")
    if grads.keys() != {*model.params, "x"}:
        raise Failure(f"gradients of {sorted(grads)}")

    def loss_with(name, value):
        kept, model.params[name] = model.params[name], value
        loss = loss_at(x)
        model.params[name] = kept
        return loss

    quotients = {
        name: central_difference(lambda value, name=name: loss_with(name, value), p)
        for name, p in model.params.items()
    } | {"x": central_difference(loss_at, x)}
    floor = 0.01 * max(1, loss)  # a difference of losses is rounded like the loss
    errors = {name: relative_error(grads[name], quotients[name], floor).max() for name in grads}
    worst = max(errors, key=errors.get)
    if not errors[worst] < TOLERANCE:
        raise Failure(f"the gradient of {worst} is off by {errors[worst]:.1e}, relative")
    return sum(dp.size for dp in grads.values()), errors[worst]


def check_bounds(vae, x, rng):
    """ELBO <= importance-weighted bound, both of one x  ->  the gain, in standard errors"""
    copies = np.repeat(x[:1], COPIES, axis=0)
    lower = evaluate.elbo(vae, copies, rng)
    higher = evaluate.log_likelihood(vae, copies, rng, samples=SAMPLES)
    gain, error, _ = estimate(higher - lower)
    if not gain >= -5 * error - 1e-12:
        raise Failure(f"the weighted bound is below the ELBO: by {-gain:.2g} +- {error:.1g} nats")
    return gain / max(error, 1e-12)


def check_saved(model, x, folder):
    """The model goes through its file unchanged, in every bit."""
    checkpoint.save(folder, model)
    loaded = checkpoint.load(folder)
    settings = ("data_dim", "hidden_dims", "latent_dim", "activation")
    same = type(loaded) is type(model) and loaded.params.keys() == model.params.keys()
    same = same and all(getattr(loaded, name) == getattr(model, name) for name in settings)
    for name, p in model.params.items():
        same = same and loaded.params[name].dtype == p.dtype
        same = same and np.array_equal(loaded.params[name], p)
    if not (same and np.array_equal(loaded.reconstruct(x), model.reconstruct(x))):
        raise Failure("what was loaded is not what was saved")


def check(seed, folder):
    """All that must hold of the architecture of this seed  ->  Found.    Raises Failure."""
    rng = np.random.default_rng(seed)
    model = draw(rng)
    x, eps, kinks = draw_batch(model, rng)
    gradients, error = check_gradients(model, x, eps, beta=rng.uniform(0.5, 2))
    gain = check_bounds(model, x, rng) if isinstance(model, VAE) else np.nan
    check_saved(model, x, folder)
    return Found(gradients, error, model.loss(x, eps)[1].min(), gain, kinks)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        "python -m tools.architectures", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow")
    args = parser.parse_args(arguments)
    start, found = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.rounds):
            try:
                found.append(check(seed, folder))
            except Exception as error:
                print(f"seed {seed}: {type(error).__name__}: {error}")
                print(f"again: python -m tools.architectures --seed {seed} --rounds 1")
                return 1
    gradients, errors, kls, gains, kinks = np.array(found).T
    vaes = np.isfinite(gains)
    print(f"{len(found)} architectures, {vaes.sum()} VAEs and {(~vaes).sum()} autoencoders, "
          f"in {time.perf_counter() - start:.0f} s")  # fmt: skip
    print(f"{gradients.sum():.0f} gradients; the largest relative error is {errors.max():.1e}, "
          f"allowed {TOLERANCE:.0e}; {kinks.sum():.0f} batches too near a relu's kink")  # fmt: skip
    if vaes.any():
        print(f"smallest KL {kls[vaes].min():.1e} nats; the weighted bound is above the ELBO by "
              f"{gains[vaes].min():.1f} standard errors or more")  # fmt: skip
    print("every model loaded as it was saved, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
