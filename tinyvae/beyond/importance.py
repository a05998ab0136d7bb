"""Importance weights as an objective: the bound, two gradients of it, and the tail of the weights.

    w_s = p(x|z_s) p(z_s) / q(z_s|x),    L_S = E log 1/S sum_s w_s  <=  log p(x)

S draws lead all shapes.  Sources: Burda, Grosse and Salakhutdinov, "Importance weighted
autoencoders", 2016; Tucker, Lawson, Gu and Maddison, "Doubly reparameterized gradient estimators
for Monte Carlo objectives", 2019; Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed
importance sampling", 2024.
"""

import numpy as np

from tinyvae import fast, gaussian
from tinyvae.contracts import takes


@takes(recon="S B", z="S B Z", logvar="B Z", eps="S B Z")
def log_weights(recon, z, logvar, eps):
    """log w = log p(x|z) + log p(z) - log q(z|x) in nats, at z = mu + exp(logvar / 2) eps.

        -recon + 1/2 sum_j [ eps_j^2 + logvar_j - z_j^2 ],    recon = -log p(x|z)

    recon (S, B), z, eps (S, B, Z), logvar (B, Z)  ->  (S, B)

    >>> half = np.full((1, 1, 1), 0.5)
    >>> log_weights(np.array([[2.0]]), half, np.zeros((1, 1)), half)  # q is the prior
    array([[-2.]])
    """
    return -recon + 0.5 * (eps * eps + logvar - z * z).sum(axis=-1)


@takes(dlog_w="S B", z="S B Z")
def log_weights_backward(dlog_w, z):
    """dlog_w (S, B)  ->  drecon (S, B), dz (S, B, Z), dlogvar (B, Z)"""
    # forward:  log_w = -recon + 1/2 sum_j [eps_j^2 + logvar_j - z_j^2]
    dlogvar = 0.5 * dlog_w.sum(axis=0)[..., None] * np.ones_like(z[0])  # one logvar for all draws
    return -dlog_w, -dlog_w[..., None] * z, dlogvar


@takes(log_w="S>0 ...")
def bound(log_w):
    """log 1/S sum_s w_s in nats, whose expectation is a lower bound on log p(x).

    log_w (S, ...)  ->  (...)

    >>> print(bound(np.log([[1.0], [3.0]])).round(6))  # log 2; the mean of the logs is 0.55
    [0.693147]
    """
    largest = log_w.max(axis=0)
    return largest + np.log(np.exp(log_w - largest).mean(axis=0))


@takes(dbound="*m", log_w="S *m")
def bound_backward(dbound, log_w):
    """dbound (...)  ->  dlog_w (S, ...), which is dbound times the normalised weights"""
    # forward:  bound = log 1/S sum_s exp(log_w_s), so d bound / d log_w_s = w_s / sum w
    w = np.exp(log_w - log_w.max(axis=0))
    return dbound * w / w.sum(axis=0)


@takes(dbound="B", log_w="S B", slope="S B Z", logvar="B Z", eps="S B Z")
def without_score(dbound, log_w, slope, logvar, eps):
    """The doubly reparameterised gradient of the bound by mu and logvar.

        sum_s v_s^2 (d log w_s / d z_s) (d z_s / d mu),    v_s = w_s / sum w

    ``slope`` (S, B, Z) is d log w / d z with q's own mu and logvar held fixed.  The expectation is
    that of the pathwise gradient.  With one draw it is "sticking the landing" (Roeder, Wu and
    Duvenaud, 2017).

    dbound (B,), log_w (S, B), eps (S, B, Z), logvar (B, Z)  ->  dmu, dlogvar (B, Z)
    """
    weights = bound_backward(np.ones_like(dbound), log_w)
    dz = (dbound * weights**2)[..., None] * slope
    dmu, dlogvar = gaussian.reparameterize_backward(dz, logvar, eps)
    return dmu.sum(axis=0), dlogvar.sum(axis=0)


@takes(dz_recon="S B Z", z="S B Z", logvar="B Z", eps="S B Z")
def log_weights_slope(dz_recon, z, logvar, eps):
    """d log w / d z, q held fixed.    dz_recon = d recon / d z, all (S, B, Z)  ->  (S, B, Z)

    log q(z|x) falls by (z - mu) / sigma^2 = eps / sigma.
    """
    return -dz_recon - z + eps * np.exp(-0.5 * logvar)


class ImportanceWeighted:
    """A VAE trained on the bound of ``samples`` weights: `tinyvae.fit` takes it.

    ``vae`` keeps the parameters; ``latent_dim`` is the width of the noise that one x needs,
    samples * Z.  ``doubly``: the encoder learns by `without_score`.
    """

    def __init__(self, vae, samples, doubly=False):
        self.vae, self.samples, self.doubly = vae, samples, doubly
        self.params, self.latent_dim = vae.params, samples * vae.latent_dim

    def loss(self, x, eps, beta=1.0):
        """-L_S (B,) in nats, and 0 (B,): the bound has no KL apart.    beta is ignored."""
        _, recon, kl, _ = self.loss_and_grads(x, eps, beta)
        return recon, kl

    def loss_and_grads(self, x, eps, beta=1.0):
        """loss = mean(-L_S), -L_S (B,), 0 (B,), grads.    x (B, D), eps (B, S * Z)"""
        vae, size, width = self.vae, (self.samples, len(x)), self.vae.latent_dim
        # fmt: off
        # forward
        eps = eps.reshape(len(x), self.samples, width).swapaxes(0, 1)    # (S, B, Z)
        h = vae.layers(vae.encoder, x)
        mu, logvar = vae.linear("mu", h[-1]), vae.linear("logvar", h[-1])  # (B, Z)
        z = gaussian.reparameterize(mu, logvar, eps)                     # (S, B, Z)
        g = vae.layers(vae.decoder, z.reshape(-1, width))                # (S B, ...)
        logits = vae.linear("logits", g[-1])                             # (S B, D)
        recon, slope = fast.nll_and_slope(logits, np.tile(x, (self.samples, 1)))
        log_w = log_weights(recon.reshape(size), z, logvar, eps)         # (S, B)
        minus_bound = -bound(log_w)                                      # (B,)
        loss = np.mean(minus_bound)                                      # ()

        # backward
        dbound = np.full_like(minus_bound, -1 / len(x))                  # (B,)
        dlog_w = bound_backward(dbound, log_w)                           # (S, B)
        drecon, dz, dlogvar = log_weights_backward(dlog_w, z)
        dlogits = drecon.reshape(-1, 1) * slope
        dg, logits_grads = vae.linear_backward("logits", dlogits, g[-1])
        dz_recon, decoder_grads = vae.layers_backward(vae.decoder, dg, g)
        dz_recon = dz_recon.reshape(z.shape)                             # (S, B, Z)
        dmus, dlogvars = gaussian.reparameterize_backward(dz + dz_recon, logvar, eps)
        dmu, dlogvar = dmus.sum(axis=0), dlogvar + dlogvars.sum(axis=0)  # one q for all draws
        if self.doubly:
            with np.errstate(divide="ignore", invalid="ignore"):         # where a weight is 0
                by_z = np.where(drecon[..., None], dz_recon / drecon[..., None], 0)
            by_z = log_weights_slope(by_z, z, logvar, eps)
            dmu, dlogvar = without_score(dbound, log_w, by_z, logvar, eps)
        dh_mu, mu_grads = vae.linear_backward("mu", dmu, h[-1])
        dh_logvar, logvar_grads = vae.linear_backward("logvar", dlogvar, h[-1])
        _, encoder_grads = vae.encoder_backward(dh_mu + dh_logvar, h)
        # fmt: on
        grads = encoder_grads | mu_grads | logvar_grads | decoder_grads | logits_grads
        return loss, minus_bound, np.zeros_like(minus_bound), grads


@takes(log_w="S>0")
def pareto_k(log_w):
    """k-hat, the shape of a generalised Pareto distribution fitted to the largest weights.

    Weights with a tail w^(-1/k) have a finite variance for k < 1/2 and a finite mean for k < 1;
    their average is of use for k-hat < 0.7.  Fit: Zhang and Stephens, Technometrics 51 (2009) 316,
    with the weak prior of Vehtari et al.

    log_w (S,), S >= 25  ->  ()
    """
    count = int(min(len(log_w) / 5, 3 * np.sqrt(len(log_w))))
    ordered = np.sort(log_w)
    top = np.exp(ordered[-count:] - ordered[-1])
    x = top - np.exp(ordered[-count - 1] - ordered[-1])  # excesses over the threshold, ascending
    grid = 30 + int(np.sqrt(count))
    theta = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = theta / (3 * x[int(count / 4 + 0.5) - 1]) + 1 / x[-1]
    shape = np.log1p(-theta[:, None] * x).mean(axis=1)  # the best k for each theta
    profile = count * (np.log(-theta / shape) - shape - 1)
    posterior = np.exp(profile - profile.max())
    mean_theta = theta @ posterior / posterior.sum()
    k = np.log1p(-mean_theta * x).mean()
    return (count * k + 5) / (count + 10)
