"""Likelihoods of grey pixels: densities over x, with their backward, and a VAE that has one.

Sources: Loaiza-Ganem and Cunningham, "The continuous Bernoulli", 2019; Rybkin, Daniilidis and
Levine, "Simple and effective VAE training with calibrated decoders", 2021.
"""

import numpy as np

from tinyvae import gaussian
from tinyvae.contracts import takes, takes_real
from tinyvae.vae import VAE

_LOG_2PI = float(np.log(2 * np.pi))
SMALL = 0.5  # |logit| below which the mean comes from its series


@takes_real(logits="...")
def log_normalizer(logits):
    """log C of the continuous Bernoulli, C = a / tanh(a / 2) for a logit a; log 2 at a = 0.

    What the Bernoulli formula lacks on [0, 1]:  p(x) = C p^x (1 - p)^(1 - x),  p = sigmoid(a).

    logits, any shape  ->  that shape, each >= log 2

    >>> print(log_normalizer(np.array([0.0, np.log(9)])).round(3))  # p = 0.5, 0.9
    [0.693 1.01 ]
    """
    a = np.abs(logits)
    tiny = a < 1e-150  # there the quotient is 2 to all digits
    return np.log(np.where(tiny, 2, a / np.tanh(0.5 * np.where(tiny, 1, a))))


@takes_real(logits="...")
def mean(logits):
    """E x of the continuous Bernoulli, 1/2 + coth(a / 2) / 2 - 1 / a; its series near a = 0.

    logits, any shape  ->  that shape, in (0, 1)
    """
    near = np.abs(logits) < SMALL
    a, far = np.where(near, logits, 0), np.where(near, 1, logits)
    a2 = a * a
    series = 1 / 12 - a2 * (1 / 720 - a2 * (1 / 30240 - a2 * (1 / 1209600 - a2 / 47900160)))
    return 0.5 + np.where(near, a * series, 0.5 / np.tanh(0.5 * far) - 1 / far)


@takes_real(logits="B D", x="B D")
def continuous_bernoulli_nll(logits, x):
    """-log p(x|z) of the continuous Bernoulli in nats; below 0 where the density exceeds 1.

        sum_d  log(1 + exp(a_d)) - x_d a_d - log C(a_d)

    logits, x (B, D), x in [0, 1]  ->  (B,)

    >>> print(continuous_bernoulli_nll(np.zeros((1, 3)), np.full((1, 3), 0.7)))  # uniform
    [0.]
    """
    return (np.logaddexp(0, logits) - x * logits - log_normalizer(logits)).sum(axis=-1)


@takes_real(dnll="B", logits="B D", x="B D")
def continuous_bernoulli_nll_backward(dnll, logits, x):
    """dnll (B,)  ->  dlogits (B, D)"""
    # forward:  nll = sum_d A(a_d) - x_d a_d, an exponential family, so A' is the mean
    return dnll[:, None] * (mean(logits) - x)


@takes(means="B D", logvar="N", x="B D")
def gaussian_nll(means, logvar, x):
    """-log N(x; means, diag exp(logvar)) in nats; below 0 where the density exceeds 1.

        1/2 sum_d [ (x_d - mean_d)^2 / s_d^2 + log s_d^2 + log 2 pi ]

    means, x (B, D), logvar (1,) or (D,)  ->  (B,)
    """
    each = (x - means) ** 2 * np.exp(-logvar) + logvar + _LOG_2PI
    return 0.5 * each.sum(axis=-1)


@takes(dnll="B", means="B D", logvar="N", x="B D")
def gaussian_nll_backward(dnll, means, logvar, x):
    """dnll (B,)  ->  dmeans (B, D), dlogvar like logvar"""
    # forward:  nll = 1/2 sum_d [(x_d - mean_d)^2 exp(-logvar_d) + logvar_d + log 2 pi]
    scaled = (x - means) * np.exp(-logvar)
    each = 0.5 * dnll[:, None] * (1 - (x - means) * scaled)
    dlogvar = each.sum(axis=0) if logvar.size == x.shape[-1] else each.sum(keepdims=True)[0]
    return -dnll[:, None] * scaled, dlogvar


class ContinuousBernoulliVAE(VAE):
    """A VAE whose pixels are continuous Bernoulli; x in [0, 1]."""

    def nll_and_slopes(self, outputs, x):
        """recon (B,), and by one x's recon: doutputs (B, D), gradients of parameters of its own"""
        nll = continuous_bernoulli_nll(outputs, x)
        return nll, continuous_bernoulli_nll_backward(np.ones_like(nll), outputs, x), {}

    def reconstruct(self, x):
        """x (B, D)  ->  the pixel means at z = mu, (B, D)"""
        return mean(self.decode(self.encode(x)[0]))

    def loss(self, x, eps, beta=1.0):
        """recon (B,) = -log p(x|z) in nats, which may be negative, and kl (B,), as `VAE.loss`"""
        mu, logvar = self.encode(x)
        outputs = self.decode(gaussian.reparameterize(mu, logvar, eps))
        return self.nll_and_slopes(outputs, x)[0], gaussian.kl_to_standard_normal(mu, logvar)

    def loss_and_grads(self, x, eps, beta=1.0):
        """loss = mean(recon + beta kl), recon (B,), kl (B,), grads, as `VAE.loss_and_grads`"""
        # forward
        h = self.layers(self.encoder, x)
        mu, logvar = self.linear("mu", h[-1]), self.linear("logvar", h[-1])
        g = self.layers(self.decoder, gaussian.reparameterize(mu, logvar, eps))
        recon, slope, own = self.nll_and_slopes(self.linear("logits", g[-1]), x)
        kl = gaussian.kl_to_standard_normal(mu, logvar)
        loss = np.mean(recon + beta * kl)

        # backward
        dkl = np.full_like(kl, beta / len(x))
        dg, logits_grads = self.linear_backward("logits", slope / len(x), g[-1])
        dz, decoder_grads = self.layers_backward(self.decoder, dg, g)
        dmu_recon, dlogvar_recon = gaussian.reparameterize_backward(dz, logvar, eps)
        dmu_kl, dlogvar_kl = gaussian.kl_to_standard_normal_backward(dkl, mu, logvar)
        dh_mu, mu_grads = self.linear_backward("mu", dmu_recon + dmu_kl, h[-1])
        dh_logvar, logvar_grads = self.linear_backward("logvar", dlogvar_recon + dlogvar_kl, h[-1])
        _, encoder_grads = self.encoder_backward(dh_mu + dh_logvar, h)
        own = {name: d / len(x) for name, d in own.items()}
        grads = encoder_grads | mu_grads | logvar_grads | decoder_grads | logits_grads | own
        return loss, recon, kl, grads


class GaussianVAE(ContinuousBernoulliVAE):
    """A VAE whose pixels are Gaussian around the decoder's outputs.

    Its variance is learned if ``params`` has "noise_logvar" (1,), else ``noise_logvar`` stays.
    """

    noise_logvar = np.zeros(1, np.float32)

    def nll_and_slopes(self, outputs, x):
        """recon (B,), and by one x's recon: doutputs (B, D), {"noise_logvar": (1,)} if learned"""
        logvar = self.params.get("noise_logvar", self.noise_logvar)
        nll = gaussian_nll(outputs, logvar, x)
        slope, dlogvar = gaussian_nll_backward(np.ones_like(nll), outputs, logvar, x)
        return nll, slope, {"noise_logvar": dlogvar} if "noise_logvar" in self.params else {}

    def reconstruct(self, x):
        """x (B, D)  ->  the pixel means at z = mu, (B, D)"""
        return self.decode(self.encode(x)[0])
