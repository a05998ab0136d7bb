"""The variational autoencoder, forward and backward, by hand.

q(z|x) = N(mu, diag exp(logvar)),    p(z) = N(0, I),    p(x|z) = Bernoulli(sigmoid(logits))

B batch, D pixels, H the encoder's last hidden layer, G the decoder's, Z latent dimensions.
Source: Kingma and Welling, "Auto-encoding variational Bayes", 2014.
"""

import numpy as np

from tinyvae import bernoulli, gaussian
from tinyvae.contracts import check_finite, takes, takes_real
from tinyvae.layers import sigmoid
from tinyvae.network import EncoderDecoder


class VAE(EncoderDecoder):
    """A VAE with hidden layers of any number, made by `VAE.create`."""

    heads = ("mu", "logvar")

    @takes(x="B>0 {self.data_dim}")
    def encode(self, x):
        """x (B, D)  ->  mu, logvar (B, Z) of q(z|x)"""
        h = self.layers(self.encoder, x)[-1]
        return self.linear("mu", h), self.linear("logvar", h)

    @takes_real(x="B>0 {self.data_dim}", eps="... B {self.latent_dim}")
    def loss(self, x, eps, beta=1.0):
        """The two terms of the negative ELBO, in nats, at z = mu + exp(logvar / 2) eps.

        recon (B,) = -log p(x|z),    kl (B,) = KL( q(z|x) || p(z) ),    elbo = -(recon + kl)

        x (B, D) in {0, 1}, eps (B, Z) ~ N(0, I).  Both terms are >= 0.  beta weighs the terms only
        in their sum, so it changes nothing here.    Raises ValueError where shapes do not fit, or
        where beta is no finite number (`fit` wants it >= 0).
        """
        check_finite(beta=beta)
        mu, logvar = self.encode(x)
        z = gaussian.reparameterize(mu, logvar, eps)
        return bernoulli.nll(self.decode(z), x), gaussian.kl_to_standard_normal(mu, logvar)

    @takes_real(x="B>0 {self.data_dim}", eps="B {self.latent_dim}")
    def loss_and_grads(self, x, eps, beta=1.0, wrt_x=False):
        """loss = mean(recon + beta kl) in nats, recon (B,), kl (B,), and d loss / d params.

        x (B, D), eps (B, Z).  The gradients come in a dict with the keys of ``params``; with
        ``wrt_x`` it also has "x".    Raises ValueError as `loss` does.
        """
        check_finite(beta=beta)
        # fmt: off
        # forward
        h = self.layers(self.encoder, x)                          # x, ..., (B, H)
        mu, logvar = self.linear("mu", h[-1]), self.linear("logvar", h[-1])  # (B, Z)
        z = gaussian.reparameterize(mu, logvar, eps)              # (B, Z)
        g = self.layers(self.decoder, z)                          # z, ..., (B, G)
        logits = self.linear("logits", g[-1])                     # (B, D)
        recon = bernoulli.nll(logits, x)                          # (B,)  summed over pixels
        kl = gaussian.kl_to_standard_normal(mu, logvar)           # (B,)  summed over latents
        loss = np.mean(recon + beta * kl)                         # ()    averaged over the batch

        # backward
        drecon = np.full_like(recon, 1 / len(x))                  # (B,)
        dkl = np.full_like(kl, beta / len(x))                     # (B,)
        dlogits = bernoulli.nll_backward(drecon, logits, x)       # (B, D)
        dg, logits_grads = self.linear_backward("logits", dlogits, g[-1])  # (B, G)
        dz, decoder_grads = self.layers_backward(self.decoder, dg, g)      # (B, Z)
        dmu_recon, dlogvar_recon = gaussian.reparameterize_backward(dz, logvar, eps)   # (B, Z)
        dmu_kl, dlogvar_kl = gaussian.kl_to_standard_normal_backward(dkl, mu, logvar)  # (B, Z)
        dmu = dmu_recon + dmu_kl                                  # mu is used twice, in z and in
        dlogvar = dlogvar_recon + dlogvar_kl                      # the KL, and so is logvar
        dh_mu, mu_grads = self.linear_backward("mu", dmu, h[-1])  # (B, H)
        dh_logvar, logvar_grads = self.linear_backward("logvar", dlogvar, h[-1])
        da, encoder_grads = self.encoder_backward(dh_mu + dh_logvar, h)    # a = x W + b
        # fmt: on

        grads = encoder_grads | mu_grads | logvar_grads | decoder_grads | logits_grads
        if wrt_x:  # x is used twice, too: it is encoded, and it is what the decoder should say
            grads["x"] = da @ self.params["encoder.0.W"].T - drecon[:, None] * logits
        return loss, recon, kl, grads

    @takes(x="B>0 {self.data_dim}")
    def reconstruct(self, x):
        """x (B, D)  ->  x_hat (B, D), the pixel means sigmoid(logits) at z = mu"""
        return sigmoid(self.decode(self.encode(x)[0]))
