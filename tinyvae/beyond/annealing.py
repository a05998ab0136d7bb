"""Annealed importance sampling: log p(x) from below, and from above for data of the model itself.

    log f_t(z) = log p(z) + t log p(x|z),    pi_t = f_t / Z_t,    Z_0 = 1,    Z_1 = p(x)

A chain starts at pi_0, the prior, and passes the temperatures t_0 < ... < t_K on its way to the
posterior pi_1.  Sources: Neal, "Annealed importance sampling", 2001; Neal, "MCMC using Hamiltonian
dynamics", 2011; Grosse, Ghahramani and Adams, "Sandwiching the marginal likelihood using
bidirectional Monte Carlo", 2015.  All noise is an argument.
"""

from itertools import pairwise

import numpy as np

from tinyvae import bernoulli
from tinyvae.contracts import takes


def anneal(z, temperatures, log_px_given_z, transition):
    """log w = sum_k (t_{k+1} - t_k) log p(x|z_k), whose w has the expectation Z_end / Z_start.

    So E log w <= log Z_end - log Z_start.  Temperatures from 0 to 1 with z ~ p(z) give a lower
    bound on log p(x); from 1 to 0 with z ~ p(z|x) they give one on -log p(x): an upper bound.

    z (..., Z) ~ pi at temperatures[0];  log_px_given_z(z) (...) in nats;  transition(t, z), the
    next z, must leave pi_t as it is    ->  log_w (...), the last z (..., Z), near pi_end

    >>> stay = lambda t, z: z  # leaves everything as it is: the plain average over the prior
    >>> log_w, _ = anneal(np.zeros((1, 2)), [0.0, 0.5, 1.0], lambda z: np.array([-3.0]), stay)
    >>> print(log_w)
    [-3.]
    """
    log_w = 0.0
    for t, t_next in pairwise(temperatures):
        log_w = log_w + (t_next - t) * log_px_given_z(z)
        z = transition(t_next, z)
    return log_w, z


@takes(z="... Z", mean="*m Z", root="Z Z", eps="... Z")
def refresh(z, mean, root, eps, keep=0.0):
    """A step that leaves N(mean, L L') as it is: mean + keep (z - mean) + sqrt(1 - keep^2) L eps.

    keep = 0 draws afresh.    z, eps (..., Z), mean (..., Z), root = L (Z, Z)  ->  (..., Z)
    """
    return mean + keep * (z - mean) + np.sqrt(1 - keep**2) * eps @ root.T


def leapfrog(z, momentum, slope, step, count):
    """``count`` steps along the path of a particle of mass 1 with the energy -log f(z).

        momentum += step/2 d log f / dz;    z += step momentum;    momentum += step/2 d log f / dz

    Volume is kept exactly, energy up to O(step^2), and the turned momentum leads back.

    z, momentum (..., Z), slope(z) = d log f / dz (..., Z)  ->  z, momentum
    """
    momentum = momentum + 0.5 * step * slope(z)
    for left in reversed(range(count)):
        z = z + step * momentum
        momentum = momentum + (step if left else 0.5 * step) * slope(z)  # two halves in one
    return z, momentum


def hamiltonian(z, momentum, log_u, log_f, slope, step, count):
    """A Metropolis step to where `leapfrog` leads: it leaves pi = f / Z as it is.

    Accepted where log u < log f(z') - |momentum'|^2 / 2 - [log f(z) - |momentum|^2 / 2].

    z (..., Z), momentum (..., Z) ~ N(0, I), log_u (...) = log of u ~ U(0, 1)
    ->  z (..., Z), accepted (...)
    """
    moved, turned = leapfrog(z, momentum, slope, step, count)
    energy = 0.5 * np.sum(momentum**2, axis=-1) - log_f(z)
    new_energy = 0.5 * np.sum(turned**2, axis=-1) - log_f(moved)
    accepted = log_u < energy - new_energy
    return np.where(accepted[..., None], moved, z), accepted


def log_joint(log_px_given_z, t, z):
    """log f_t(z) = -|z|^2 / 2 - Z/2 log 2 pi + t log p(x|z).    (...) in nats"""
    log_prior = -0.5 * np.sum(z * z, axis=-1) - 0.5 * z.shape[-1] * np.log(2 * np.pi)
    return log_prior + t * log_px_given_z(z)


def log_joint_slope(px_slope, t, z):
    """d log f_t / dz = -z + t d log p(x|z) / dz.    (..., Z)"""
    # log_joint:  -|z|^2 / 2 + t log p(x|z)
    return -z + t * px_slope(z)


@takes(x="B D", z="S B Z")
def decoded(vae, x, z):
    """log p(x|z) of a VAE in nats.    x (B, D), z (S, B, Z)  ->  (S, B)"""
    logits = vae.decode(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:2], -1)
    return -bernoulli.nll(logits, np.broadcast_to(x, logits.shape))


@takes(x="B D", z="S B Z")
def decoded_slope(vae, x, z):
    """d log p(x|z) / dz.    x (B, D), z (S, B, Z)  ->  (S, B, Z)"""
    # decoded:  g = layers(z), logits = g W + b, log p(x|z) = -nll(logits, x)
    g = vae.layers(vae.decoder, z.reshape(-1, z.shape[-1]))
    logits = vae.linear("logits", g[-1])
    all_x = np.broadcast_to(x, (*z.shape[:2], x.shape[-1])).reshape(logits.shape)
    dlogits = bernoulli.nll_backward(-np.ones_like(logits[:, 0]), logits, all_x)
    dg, _ = vae.linear_backward("logits", dlogits, g[-1])
    return vae.layers_backward(vae.decoder, dg, g)[0].reshape(z.shape)
