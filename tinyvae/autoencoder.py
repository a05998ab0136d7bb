"""The plain autoencoder: the VAE's network with the noise and the KL taken out."""

import numpy as np

from tinyvae import bernoulli
from tinyvae.contracts import check_finite, takes, takes_real
from tinyvae.layers import sigmoid
from tinyvae.network import EncoderDecoder


class Autoencoder(EncoderDecoder):
    """An autoencoder with hidden layers of any number, made by `Autoencoder.create`.

    It has no distribution over z, so no ELBO and no log p(x).  `generate` draws z ~ N(0, I), which
    nothing in its training asks the codes to resemble.
    """

    heads = ("z",)

    @takes(x="B>0 {self.data_dim}")
    def encode(self, x):
        """x (B, D)  ->  z (B, Z), the code"""
        return self.linear("z", self.layers(self.encoder, x)[-1])

    @takes_real(x="B>0 {self.data_dim}")
    def loss(self, x, eps=None, beta=1.0):
        """recon (B,) = -log p(x | z = code) in nats, and kl (B,) = 0.

        eps and beta are taken, so that one loop trains both models, and ignored; but a beta that is
        no finite number is a ValueError, as in `VAE.loss`.
        """
        check_finite(beta=beta)
        recon = bernoulli.nll(self.decode(self.encode(x)), x)
        return recon, np.zeros_like(recon)

    @takes_real(x="B>0 {self.data_dim}")
    def loss_and_grads(self, x, eps=None, beta=1.0, wrt_x=False):
        """loss = mean(recon) in nats, recon (B,), kl (B,) = 0, grads as `VAE.loss_and_grads`."""
        check_finite(beta=beta)
        # fmt: off
        # forward
        h = self.layers(self.encoder, x)                          # x, ..., (B, H)
        z = self.linear("z", h[-1])                               # (B, Z)
        g = self.layers(self.decoder, z)                          # z, ..., (B, G)
        logits = self.linear("logits", g[-1])                     # (B, D)
        recon = bernoulli.nll(logits, x)                          # (B,)
        loss = np.mean(recon)                                     # ()

        # backward
        drecon = np.full_like(recon, 1 / len(x))                  # (B,)
        dlogits = bernoulli.nll_backward(drecon, logits, x)       # (B, D)
        dg, logits_grads = self.linear_backward("logits", dlogits, g[-1])  # (B, G)
        dz, decoder_grads = self.layers_backward(self.decoder, dg, g)  # (B, Z)
        dh, z_grads = self.linear_backward("z", dz, h[-1])        # (B, H)
        da, encoder_grads = self.encoder_backward(dh, h)          # a = x W + b
        # fmt: on

        grads = encoder_grads | z_grads | decoder_grads | logits_grads
        if wrt_x:
            grads["x"] = da @ self.params["encoder.0.W"].T - drecon[:, None] * logits
        return loss, recon, np.zeros_like(recon), grads

    @takes(x="B>0 {self.data_dim}")
    def reconstruct(self, x):
        """x (B, D)  ->  x_hat (B, D), the pixel means sigmoid(logits)"""
        return sigmoid(self.decode(self.encode(x)))
