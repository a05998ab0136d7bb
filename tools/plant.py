"""Run a lesson with mistakes planted into the package, one after the other.

    python -m tools.plant 03_elbo swapped-arguments half-missing
    python -m tools.plant 03_elbo edited

A mistake is one of the museum's, or one of those below, which only lessons meet.  Planting replaces
the right function wherever it is found; where a wrong one needs it, it is a default argument.
"edited" runs the lesson with all of its EDITS at once: slips in the lesson's own code, for the rows
that no mistake of the package reaches.
"""

import io
import json
import sys
from contextlib import nullcontext, redirect_stdout
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import gaussian
from tinyvae.beyond import annealing, discrete, importance, likelihoods, linear, posterior
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


def free_bits_of_each(kl, floor):
    return np.maximum(kl, floor).mean(axis=0).sum()


def root_without_exp(raw):
    return np.tril(raw)


def root_backward_without_exp(dL, raw):
    return np.tril(dL)


def kl_without_log_det(mu, raw, right=posterior.kl_to_standard_normal):
    return right(mu, raw) + np.trace(raw, axis1=-2, axis2=-1)


def class_kl_without_log_classes(q, right=discrete.kl_to_uniform):
    return right(q) - np.log(q.shape[-1])


def softmax_backward_of_each(dq, q):
    return q * dq


def score_without_mean(f, z, q, baseline=0.0):
    return (f - baseline)[..., None] * z


def temperature_left_out(dy, y, temperature, right=discrete.gumbel_softmax_backward):
    return right(dy, y, 1.0)


def class_nll_without_offset(x, W, b, right=discrete.nll_each):
    return right(x, W, 0 * b)


def weight_after_the_move(z, temperatures, log_px_given_z, transition):
    log_w = 0.0
    for t, t_next in pairwise(temperatures):
        z = transition(t_next, z)
        log_w = log_w + (t_next - t) * log_px_given_z(z)
    return log_w, z


def noise_not_shrunk(z, mean, root, eps, keep=0.0):
    return mean + keep * (z - mean) + eps @ root.T


def whole_kicks(z, momentum, slope, step, count):
    for _ in range(count):
        momentum = momentum + step * slope(z)
        z = z + step * momentum
    return z, momentum


def prior_left_out_of_slope(px_slope, t, z):
    return t * px_slope(z)


def prior_left_out_of_joint(log_px_given_z, t, z):
    return t * log_px_given_z(z)


def coin_turned(z, momentum, log_u, log_f, slope, step, count, right=annealing.hamiltonian):
    _, accepted = right(z, momentum, log_u, log_f, slope, step, count)
    moved, _ = annealing.leapfrog(z, momentum, slope, step, count)
    return np.where(accepted[..., None], z, moved), ~accepted


def likelihood_of_one_pixel_less(vae, x, z, right=annealing.decoded):
    return right(vae, x, z) * (1 - 1 / x.shape[-1])


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
    "free-bits-of-each": {"tinyvae.beyond.linear:free_bits": free_bits_of_each},
    "root-without-exp": {"tinyvae.beyond.posterior:root": root_without_exp},
    "root-backward-without-exp": {
        "tinyvae.beyond.posterior:root_backward": root_backward_without_exp
    },
    "kl-without-log-det": {"tinyvae.beyond.posterior:kl_to_standard_normal": kl_without_log_det},
    "class-kl-without-log-classes": {
        "tinyvae.beyond.discrete:kl_to_uniform": class_kl_without_log_classes
    },
    "softmax-backward-of-each": {
        "tinyvae.beyond.discrete:softmax_backward": softmax_backward_of_each
    },
    "score-without-mean": {"tinyvae.beyond.discrete:score_gradient": score_without_mean},
    "temperature-left-out": {
        "tinyvae.beyond.discrete:gumbel_softmax_backward": temperature_left_out
    },
    "class-nll-without-offset": {"tinyvae.beyond.discrete:nll_each": class_nll_without_offset},
    "half-lost-for-noise": {"tinyvae.beyond.linear:expected_nll_backward": half_lost_for_noise},
    "weight-after-the-move": {"tinyvae.beyond.annealing:anneal": weight_after_the_move},
    "noise-not-shrunk": {"tinyvae.beyond.annealing:refresh": noise_not_shrunk},
    "whole-kicks": {"tinyvae.beyond.annealing:leapfrog": whole_kicks},
    "prior-left-out-of-slope": {
        "tinyvae.beyond.annealing:log_joint_slope": prior_left_out_of_slope
    },
    "prior-left-out-of-joint": {"tinyvae.beyond.annealing:log_joint": prior_left_out_of_joint},
    "coin-turned": {"tinyvae.beyond.annealing:hamiltonian": coin_turned},
    "pixel-left-out": {"tinyvae.beyond.annealing:decoded": likelihood_of_one_pixel_less},
}


# lesson -> (line of the lesson, what it is replaced by, the claim that must turn red)
EDITS = {
    "01_generative_model": [
        ("return STRETCH * z + z /", "return z /", "1.5"),
        ("* z_radius * 2 * pi", "* 2 * pi", "1.6"),
        ("log_p_in_m - 2 * log(1000)", "log_p_in_m - log(1000)", "1.7"),
        ('log_p_models["ring"], spike) - log(2)', 'log_p_models["ring"], spike)', "1.8"),
        ("images_drawn @ 2 ** np.arange(7, -1, -1)", "images_drawn @ 2 ** np.arange(8)", "1.4"),
    ],
    "02_intractable_integral": [
        ("squared_radius = 2 * NOISE_VAR *", "squared_radius = NOISE_VAR *", "2.2"),
        ("dim / 2 * log(4 * np.pi", "dim / 2 * log(2 * np.pi", "2.3"),
        ("np.exp(log_ratios[20])), 1)", "0 * log_ratios[20] + 1), 1)", "2.4"),
        (
            "estimate(log_mean_exp(log_px_given_fresh, axis=1))",
            "estimate(np.mean(log_px_given_fresh, axis=1))",
            "2.5",
        ),
        ("posterior_cov + NOISE_VAR * np.eye(DIM)", "posterior_cov", "2.6"),
        ("log_px_given_z(x_20, z) + log_p_z - log_q", "log_px_given_z(x_20, z) - log_q", "2.7"),
        ("q_relative_variance_1d**DIM - 1", "q_relative_variance_1d**DIM", "2.8"),
        ("np.exp(log_weight) * (log_p_wide", "1.0 * (log_p_wide", "2.9"),
    ],
    "03_elbo": [
        ("gaussian.kl(means, cov, *posterior)", "gaussian.kl(means, cov, *prior)", "3.2"),
        ("cubature.gaussian_kl(*q, *prior) for name", "gap[name] for name", "3.6"),
        ("up = up + 0.1 * posterior_cov @", "up = up + 0.2 * posterior_cov @", "3.8"),
        (
            "gains = course[EPOCHS][0] - course[0][0]",
            "gains = course[0][0] - course[EPOCHS][0]",
            "3.12",
        ),
        ("np.expm1(log_r) - log_r", "np.expm1(log_r)", "3.11"),
        ("random_elbos - gaussian.kl(", "random_elbos + gaussian.kl(", "3.7"),
    ],
    "04_gaussian_kl": [
        ("z_other - mean_q, np.linalg.inv(cov)", "z_other - mean_q, cov", "4.2"),
        ("return 2 * (z - mean_q)", "return 2 * (z - mean_p)", "4.4"),
        (
            "log_dets = np.log(np.linalg.det(cov_p)) -",
            "log_dets = np.log(np.linalg.det(cov_p)) +",
            "4.8",
        ),
        ("slope_by_std * std_q / 2", "slope_by_std * std_q", "4.11"),
        (
            "kl_pq = gaussian.kl(mean_p, cov_p, mean_q, cov_q)",
            "kl_pq = gaussian.kl(mean_q, cov_q, mean_p, cov_p)",
            "4.12",
        ),
        (
            "kl_on_line(log_two_bumps, log_q), start",
            "kl_on_line(log_q, log_two_bumps), start",
            "4.13",
        ),
        ("pick = min(ends", "pick = max(ends", "4.14"),
        ("log_mixture(np.array([-1.0, 1.0]))", "log_mixture(np.array([-4.0, 4.0]))", "4.15"),
    ],
    "05_reparameterization": [
        ("baseline_dmu = (f(z) - f(MU))", "baseline_dmu = (f(z) - 2 * f(MU))", "5.3"),
        ("even_steps = np.linspace(-12, 12, 2001)", "even_steps = np.linspace(-2, 2, 2001)", "5.4"),
        ("int(PRICE / (ENCODER_WORK + s * DECODER_WORK))", "100", "5.5"),
        (
            "noise = rng.standard_normal((len(chosen), 2))",
            "noise = np.zeros((len(chosen), 2))",
            "5.6",
        ),
        ("lambda mu: f(z[:1])[0], MU)", "lambda mu: f(mu + z[:1])[0], MU)", "5.7"),
        ("return mu + np.exp(logvar) * eps", "return mu + np.exp(logvar / 2) * eps", "5.9"),
        ("return dz, dz * eps * np.exp(logvar)", "return dz, dz * eps * np.exp(logvar / 2)", "5.8"),
    ],
    "06_backprop": [
        ("dmu_recon + dmu_kl                ", "dmu_recon                ", "6.2"),
        ("dmu_kl = dkl * mu  ", "dmu_kl = dkl * mu / 2  ", "6.3"),
        (
            "lambda b: np.sum((x_rows @ W_rows + b) * dy_rows)",
            "lambda b: np.sum((x_rows @ W_rows + b) * dy_rows) / 5",
            "6.4",
        ),
        ("step=1e-5)", "step=1e-2)", "6.7"),
        ("fresh = rng.standard_normal((B, Z))", "fresh = noise_batch", "6.8"),
        (
            "return bernoulli.nll_backward(dnll, logits, x) /",
            "return bernoulli.nll_backward(dnll, logits, x) / 2 /",
            "6.9",
        ),
        (
            "return bernoulli.nll(logits, x) / x.shape[-1]",
            "return bernoulli.nll(logits, x)",
            "6.10",
        ),
    ],
    "07_vae": [
        ("np.where(x == 1, p, 1 - p)", "np.where(x == 0, p, 1 - p)", "7.5"),
        ("-(recon_then + beta * kl_then)", "-(recon_then + kl_then)", "7.6"),
        ('12 * last["kl"]', 'last["kl"]', "7.7"),
        ("100).mean() for _ in range(8)", "100).mean() + 10 for _ in range(8)", "7.8"),
        ("x_hat = vae.reconstruct(large_test)", "x_hat = vae.reconstruct(large_test[::-1])", "7.9"),
        (
            "ink_on_plane * np.exp(log_fine_prior",
            "ink_on_plane * np.exp(0.9 * log_fine_prior",
            "7.10",
        ),
        (
            "mu, logvar = vae.encode(large_test)\ndist",
            "mu, logvar = vae.encode(large_test[::-1])\ndist",
            "7.11",
        ),
        ("decode((mu[start] + mu[end]) / 2)", "decode(3 * (mu[start] - mu[end]))", "7.12"),
    ],
    "08_autoencoder": [
        ('"AE", latent_dim] - small_recon["VAE"', '"VAE", latent_dim] - small_recon["AE"', "8.2"),
        ("np.cov(mu.T) + np.diag(np.exp(logvar).mean(axis=0))", "100 * np.cov(mu.T)", "8.3"),
        ('params["decoder.0.W"] = root.T @', 'params["decoder.0.W"] = root @', "8.4"),
        ("coins = some @ np.log(ink) +", "coins = 1000 + some @ np.log(ink) +", "8.5"),
        (
            'log_px_ae_fitted = log_px(models["AE", 2], some, *moments["AE", 2])',
            'log_px_ae_fitted = log_px(models["AE", 2], some, *prior)',
            "8.6",
        ),
        (
            'sigmoid(models["AE", MANY].decode(z_fitted))',
            'models["AE", MANY].generate(DRAWN, rng)',
            "8.7",
        ),
    ],
    "14_a_sandwich": [
        ("up**3, 1 - (1 - up) ** 3", "1 - (1 - up) ** 3, up**3", "14.3"),
        ("(by_posterior - by_prior) / steps,", "(by_posterior - by_prior) / steps**2,", "14.2"),
        ("-log_mean_exp(log_w_down, axis=0)", "log_mean_exp(log_w_up - 1, axis=0)", "14.7"),
    ],
    "15_find_the_bug": [
        ('named = "mean-over-pixels"', 'named = "summed-over-batch"', "15.1"),
        ('named = "no-noise-at-test"', 'named = "expectation-inside-log"', "15.2"),
        ('named = "kl-subtracted"', 'named = "beta-ignored"', "15.3"),
        ('named = "gradient-blocked"', 'named = "half-lost-in-backward"', "15.4"),
        ('named = "kl-weighted-by-batch"', 'named = "half-missing"', "15.5"),
        ('named = "sigmoid-twice"', 'named = "target-as-prediction"', "15.6"),
        ('named = "log-std-of-q"', 'named = "two-conventions"', "15.7"),
        ('LAST_MISTAKE = "std-is-exp-logvar"', 'LAST_MISTAKE = "half-lost-in-backward"', "15.8"),
    ],
}


def mistake(name):
    """The mistake of that name, as `bugs.planted` takes it."""
    return MISTAKES[name] if name in MISTAKES else bugs.MUSEUM[name]


def run_planted(path, name):
    """The lesson with that mistake in the package, or edited.

    ->  the claims whose rows fail, in order, and the exception that ended it, if one did
    """
    source, planting = path.read_text(encoding="utf-8"), nullcontext()
    if name == "edited":
        for old, new, _ in EDITS[path.stem]:
            if old not in source:
                raise ValueError(f"{path.name} has no {old!r}")
            source = source.replace(old, new)
    else:
        planting = bugs.planted(mistake(name))
    printed, ended = [], ""
    try:
        with planting, sink(printed.append), redirect_stdout(io.StringIO()):
            exec(compile(source, str(path), "exec"), {"__name__": "__main__"})
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    plt.close("all")
    failed = [row.claim for row in printed if isinstance(row, Row) and not row.holds]
    return {"failed": list(dict.fromkeys(failed)), "ended": ended}


if __name__ == "__main__":
    lesson, *names = sys.argv[1:]
    path = Path(__file__).resolve().parents[1] / "lessons" / f"{lesson}.py"
    json.dump({name: run_planted(path, name) for name in names}, sys.stdout)
