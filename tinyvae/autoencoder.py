"""The plain autoencoder: the VAE's network with the noise and the KL taken out."""

import numpy as np

from tinyvae import bernoulli
from tinyvae.arrays import finite, quietly
from tinyvae.layers import sigmoid
from tinyvae.network import EncoderDecoder


class Autoencoder(EncoderDecoder):
    """An autoencoder with hidden layers of any number, made by `Autoencoder.create`.

    It has no distribution over z, so no ELBO and no log p(x).  `generate` draws z ~ N(0, I), which
    nothing in its training asks the codes to resemble.
    """

    heads = ("z",)

    def encode(self, x):
        """x (B, D)  ->  z (B, Z), the code"""
        return self.linear("z", self.encoder_layers(x)[-1])

    @quietly
    def loss(self, x, eps=None, beta=1.0):
        """recon (B,) = -log p(x | z = code) in nats, and kl (B,) = 0.

        eps and beta are taken, so that one loop trains both models, and ignored; but a beta that is
        no finite number is a ValueError, as in `VAE.loss`.
        """
        finite(beta=beta)
        recon = bernoulli.nll(self.decode(self.encode(x)), x)
        return recon, np.zeros_like(recon)

    @quietly
    def loss_and_grads(self, x, eps=None, beta=1.0, wrt_x=False):
        """loss = mean(recon) in nats, recon (B,), kl (B,) = 0, grads as `VAE.loss_and_grads`."""
        finite(beta=beta)
        # fmt: off
        # forward
        h = self.encoder_layers(x)                                # x, ..., (B, H)
        z = self.linear("z", h[-1])                               # (B, Z)
        g = self.decoder_layers(z)                                # z, ..., (B, G)
        logits = self.linear("logits", g[-1])                     # (B, D)
        recon, slope = bernoulli.nll_and_slope(logits, x)         # (B,), (B, D)
        loss = np.mean(recon)                                     # ()

        # backward
        drecon = np.full_like(recon, 1 / len(x))                  # (B,)
        dlogits = drecon[:, None] * slope                         # (B, D)
        dg, logits_grads = self.linear_backward("logits", dlogits, g[-1])  # (B, G)
        dz, decoder_grads = self.layers_backward(self.decoder, dg, g)  # (B, Z)
        dh, z_grads = self.linear_backward("z", dz, h[-1])        # (B, H)
        dx, encoder_grads = self.layers_backward(self.encoder, dh, h, wrt_x)
        # fmt: on

        grads = encoder_grads | z_grads | decoder_grads | logits_grads
        if wrt_x:
            grads["x"] = dx - drecon[:, None] * logits
        return loss, recon, np.zeros_like(recon), grads

    def reconstruct(self, x):
        """x (B, D)  ->  x_hat (B, D), the pixel means sigmoid(logits)"""
        return sigmoid(self.decode(self.encode(x)))
