"""The classic mistakes in estimating the ELBO and log p(x)."""

import numpy as np

from tinyvae import bernoulli, gaussian
from tinyvae.classroom.museum.entry import Bug, entrance

BUGS: list[Bug] = []
enter = entrance(BUGS)


def elbo_at_the_mean(vae, x, rng, samples=1):
    recon, kl = vae.loss(x, np.zeros((len(x), vae.latent_dim), x.dtype))
    return -(recon + kl).astype(np.float64)


enter(
    "A4",
    "no-noise-at-test",
    "z = mu when testing, reported as the ELBO",
    "estimator",
    {"tinyvae.evaluate:elbo": elbo_at_the_mean},
    wrong="log p(x | z = mu) - KL",
    right="E_q log p(x|z) - KL",
    tempts="""Dropout is switched off for testing, so why not the noise? Reconstructions look best
    at the mean. But the KL is the price for a q of some width, and at z = mu that width is not
    used: what is paid for is not delivered, and the number is no bound.""",
    seen_by="""Two draws must differ; the mean over draws against the expectation. Not by the
    training loss, which is right.""",
    thread="pytorch/examples#419, oskopek/mvae#4",
)


def expectation_inside_log(vae, x, rng, samples=1):
    draws = []
    for _ in range(samples):
        eps = rng.standard_normal((len(x), vae.latent_dim)).astype(x.dtype)
        recon, kl = vae.loss(x, eps)
        draws.append(-recon.astype(np.float64))
    return log_mean_exp(np.array(draws)) - kl


def log_mean_exp(log_w):
    """log of the mean of exp(log_w) over the first axis, without overflow"""
    top = log_w.max(axis=0)
    return top + np.log(np.mean(np.exp(log_w - top), axis=0))


enter(
    "A26",
    "expectation-inside-log",
    "log E p(x|z) instead of E log p(x|z)",
    "estimator",
    {"tinyvae.evaluate:elbo": expectation_inside_log},
    wrong="log( 1/S sum_s p(x|z_s) ) - KL",
    right="1/S sum_s log p(x|z_s) - KL",
    tempts="""The importance-weighted bound has its mean inside the logarithm, and the ELBO has it
    outside. By Jensen's inequality inside is larger, so the number gets better with every sample;
    it is no lower bound.""",
    seen_by="""The expectation must not depend on the number of samples. Not with one sample, where
    both are the same.""",
    thread="stan-dev/example-models#75",
)


def estimator(combine, analytic_kl=False):
    """evaluate.log_likelihood with another way to combine the logarithms of the weights"""

    def log_likelihood(vae, x, rng, samples=5000):
        estimates = []
        for x_n in np.asarray(x)[:, None]:
            mu, logvar = vae.encode(x_n)
            eps = rng.standard_normal((samples, 1, vae.latent_dim)).astype(mu.dtype)
            z = gaussian.reparameterize(mu, logvar, eps)[:, 0]
            log_w = -bernoulli.nll(vae.decode(z), x_n[0])
            if analytic_kl:
                log_w = log_w - gaussian.kl_to_standard_normal(mu, logvar)
            else:
                log_w = log_w + gaussian.log_density_diagonal(z, 0 * mu, 0 * mu)
                log_w = log_w - gaussian.log_density_diagonal(z, mu, logvar)
            estimates.append(combine(log_w.astype(np.float64)))
        return np.array(estimates)

    return log_likelihood


enter(
    "A27",
    "mean-of-logs",
    "mean of the log-weights, called importance-weighted",
    "estimator",
    {"tinyvae.evaluate:log_likelihood": estimator(np.mean)},
    wrong="1/S sum_s log w_s",
    right="log( 1/S sum_s w_s )",
    tempts="""One means what one has: the code holds log-weights. Their mean is an estimate of the
    ELBO, at any number of samples, so it is a bound, and never gets tighter.""",
    seen_by="""The bound must rise with the number of samples, to log p(x). Not by 'it is a lower
    bound', nor with one sample.""",
    thread="arahuja/generative-tf#1",
)
enter(
    "A28",
    "samples-not-averaged",
    "importance weights summed, not averaged",
    "estimator",
    {
        "tinyvae.evaluate:log_likelihood": estimator(
            lambda log_w: log_mean_exp(log_w) + np.log(len(log_w))
        )
    },
    wrong="logsumexp(log w)",
    right="logsumexp(log w) - log S",
    tempts="""logsumexp is a library function; the mean in the formula has to be added by hand. With
    5000 samples the number is 8.5 nats too good, and improves with every further one.""",
    seen_by="Equal weights: any number of samples must give the same. Not with one sample.",
    thread="YosefLab/scVI-dev#8",
)
enter(
    "A28b",
    "largest-weight-lost",
    "largest log-weight taken off and not added back",
    "estimator",
    {"tinyvae.evaluate:log_likelihood": estimator(lambda log_w: log_mean_exp(log_w) - log_w.max())},
    wrong="log( 1/S sum_s exp(log w_s - max) )",
    right="max + log( 1/S sum_s exp(log w_s - max) )",
    tempts="""The maximum is taken off for the sake of the exponentials. Inside a softmax it
    cancels, and whoever comes from there does not put it back.""",
    seen_by="""Any exact value: with one sample the wrong one is 0. Not by 'it rises with the number
    of samples'.""",
    thread="choderalab/perses#1238, casadi/casadi#3208, elixir-nx/axon#527",
)
enter(
    "A29",
    "closed-form-kl-in-weights",
    "closed-form KL inside the importance weights",
    "estimator",
    {"tinyvae.evaluate:log_likelihood": estimator(log_mean_exp, analytic_kl=True)},
    wrong="log w_s = log p(x|z_s) - KL(q || p)",
    right="log w_s = log p(x|z_s) + log p(z_s) - log q(z_s|x)",
    tempts="""In the ELBO the closed form may replace log q - log p, since both have the same
    expectation. Inside a logarithm it may not: the weight of a sample needs that sample's own
    densities.""",
    seen_by="Convergence to log p(x) by quadrature. Not with one sample: there the mean is right.",
    thread="AntixK/PyTorch-VAE#34, AntixK/PyTorch-VAE#53",
)
