"""Run a lesson with mistakes planted into the package, one after the other.

    python -m tools.plant 03_elbo swapped-arguments half-missing

A mistake is one of the museum's, or one of those below, which only lessons meet.  Planting replaces
the right function wherever it is found; where a wrong one needs it, it is a default argument.
"""

import io
import json
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import gaussian
from tinyvae.beyond import importance, likelihoods, linear
from tinyvae.classroom.lesson import Row, sink
from tinyvae.classroom.museum import catalogue as bugs


def sample_with_covariance_as_root(mean, cov, size, rng):
    return mean + rng.standard_normal((size, len(mean))) @ cov


def sample_with_one_noise_for_all_dimensions(mean, cov, size, rng):
    return mean + rng.standard_normal((size, 1)) @ np.linalg.cholesky(cov).sum(axis=1)[None]


def density_without_half(x, mean, cov, right=gaussian.log_density):
    return 2 * right(x, mean, cov)


def entropy_without_dimension(cov):
    return 0.5 * np.linalg.slogdet(2 * np.pi * np.asarray(cov))[1] + 0.5


def one_noise_for_both_latents(mu, logvar, eps, right=gaussian.reparameterize):
    return right(mu, logvar, np.broadcast_to(eps[..., :1], eps.shape))


def mean_of_log_weights(log_w):
    return log_w.mean(axis=0)


def sum_of_weights(log_w, right=importance.bound):
    return right(log_w) + np.log(len(log_w))


def equal_weights(dbound, log_w):
    return np.broadcast_to(dbound / len(log_w), log_w.shape)


def weights_without_prior(recon, z, logvar, eps):
    return -recon + 0.5 * (eps * eps + logvar).sum(axis=-1)


def weights_not_squared(dbound, log_w, slope, logvar, eps, right=importance.without_score):
    v = importance.bound_backward(np.ones_like(dbound), log_w)
    return right(dbound, log_w, slope / np.maximum(v, 1e-300)[..., None], logvar, eps)


def slope_with_score(dz_recon, z, logvar, eps):
    return -dz_recon - z


def spread_left_out(x, mu, logvar, W, b, noise_logvar, right=linear.expected_nll):
    return right(x, mu, np.full_like(logvar, -np.inf), W, b, noise_logvar)


def log_of_noise_left_out(x, mu, logvar, W, b, noise_logvar, right=linear.expected_nll):
    return right(x, mu, logvar, W, b, noise_logvar) - 0.5 * x.shape[-1] * noise_logvar


def spread_left_out_of_backward(dnll, x, mu, logvar, W, b, s, right=linear.expected_nll_backward):
    return right(dnll, x, mu, np.full_like(logvar, -np.inf), W, b, s)


def half_lost_for_noise(dnll, *arguments, right=linear.expected_nll_backward):
    *others, dnoise = right(dnll, *arguments)
    return *others, dnoise + 0.25 * arguments[0].shape[-1] * dnll.sum()


def normalizer_left_out(logits):
    return np.zeros_like(logits)


def probability_as_mean(logits):
    return 1 / (1 + np.exp(-logits))


def log_variance_left_out(means, logvar, x, right=likelihoods.gaussian_nll):
    return right(means, logvar, x) - 0.5 * np.sum(np.broadcast_to(logvar, x.shape), axis=-1)


def gradient_without_log_variance(dnll, means, logvar, x, right=likelihoods.gaussian_nll_backward):
    dmeans, dlogvar = right(dnll, means, logvar, x)
    return dmeans, dlogvar - 0.5 * dnll.sum() * x.shape[-1] / logvar.size


# name -> what is replaced by what
MISTAKES = {
    "sample-with-covariance-as-root": {"tinyvae.gaussian:sample": sample_with_covariance_as_root},
    "sample-with-one-noise": {"tinyvae.gaussian:sample": sample_with_one_noise_for_all_dimensions},
    "density-without-half": {"tinyvae.gaussian:log_density": density_without_half},
    "entropy-without-dimension": {"tinyvae.gaussian:entropy": entropy_without_dimension},
    "one-noise-for-both-latents": {"tinyvae.gaussian:reparameterize": one_noise_for_both_latents},
    "mean-of-log-weights": {"tinyvae.beyond.importance:bound": mean_of_log_weights},
    "sum-of-weights": {"tinyvae.beyond.importance:bound": sum_of_weights},
    "equal-weights": {"tinyvae.beyond.importance:bound_backward": equal_weights},
    "weights-without-prior": {"tinyvae.beyond.importance:log_weights": weights_without_prior},
    "weights-not-squared": {"tinyvae.beyond.importance:without_score": weights_not_squared},
    "slope-with-score": {"tinyvae.beyond.importance:log_weights_slope": slope_with_score},
    "spread-left-out": {"tinyvae.beyond.linear:expected_nll": spread_left_out},
    "log-of-noise-left-out": {"tinyvae.beyond.linear:expected_nll": log_of_noise_left_out},
    "spread-left-out-of-backward": {
        "tinyvae.beyond.linear:expected_nll_backward": spread_left_out_of_backward
    },
    "normalizer-left-out": {"tinyvae.beyond.likelihoods:log_normalizer": normalizer_left_out},
    "probability-as-mean": {"tinyvae.beyond.likelihoods:mean": probability_as_mean},
    "log-variance-left-out": {"tinyvae.beyond.likelihoods:gaussian_nll": log_variance_left_out},
    "gradient-without-log-variance": {
        "tinyvae.beyond.likelihoods:gaussian_nll_backward": gradient_without_log_variance
    },
    "half-lost-for-noise": {"tinyvae.beyond.linear:expected_nll_backward": half_lost_for_noise},
}


def mistake(name):
    """The mistake of that name, as `bugs.planted` takes it."""
    return MISTAKES[name] if name in MISTAKES else bugs.MUSEUM[name]


def run_planted(path, name):
    """The lesson with that mistake in the package.

    ->  the claims whose rows fail, in order, and the exception that ended it, if one did
    """
    printed, ended = [], ""
    try:
        with bugs.planted(mistake(name)), sink(printed.append), redirect_stdout(io.StringIO()):
            runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    plt.close("all")
    failed = [row.claim for row in printed if isinstance(row, Row) and not row.holds]
    return {"failed": list(dict.fromkeys(failed)), "ended": ended}


if __name__ == "__main__":
    lesson, *names = sys.argv[1:]
    path = Path(__file__).resolve().parents[1] / "lessons" / f"{lesson}.py"
    json.dump({name: run_planted(path, name) for name in names}, sys.stdout)
