"""The plain autoencoder: the VAE's network with the noise and the KL taken out."""

import numpy as np

from tinyvae import bernoulli
from tinyvae.layers import linear_backward, mlp, mlp_backward, sigmoid
from tinyvae.network import EncoderDecoder


class Autoencoder(EncoderDecoder):
    """An autoencoder with hidden layers of any number, made by `Autoencoder.create`.

    It has no distribution over z, so no ELBO and no log p(x).  `generate` draws z ~ N(0, I), which
    nothing in its training asks the codes to resemble.
    """

    heads = ("z",)

    def encode(self, x):
        """x (B, D)  ->  z (B, Z), the code"""
        return self.head("z", self.hidden(x)[-1])

    def loss(self, x, eps=None, beta=1.0):
        """recon (B,) = -log p(x | z = code) in nats, and kl (B,) = 0.

        eps and beta are taken, so that one loop trains both models, and ignored.
        """
        recon = bernoulli.nll(self.decode(self.encode(x)), x)
        return recon, np.zeros_like(recon)

    def loss_and_grads(self, x, eps=None, beta=1.0, wrt_x=False):
        """loss = mean(recon) in nats, recon (B,), kl (B,) = 0, grads as `VAE.loss_and_grads`."""
        p = self.params

        # forward
        h = self.hidden(x)  # x, ..., (B, H)
        z = self.head("z", h[-1])  # (B, Z)
        g = mlp(z, p, self.decoder, self.activation)  # z, ..., (B, G)
        logits = self.head("logits", g[-1])  # (B, D)
        recon = bernoulli.nll(logits, x)  # (B,)
        loss = np.mean(recon)

        # backward
        drecon = np.full_like(recon, 1 / len(x))  # (B,)
        dlogits = bernoulli.nll_backward(drecon, logits, x)  # (B, D)
        dg, dW, db = linear_backward(dlogits, g[-1], p["logits.W"])
        dz, grads = mlp_backward(dg, g, p, self.decoder, self.activation)  # (B, Z)
        dh, dW_z, db_z = linear_backward(dz, h[-1], p["z.W"])
        dx, encoder_grads = mlp_backward(dh, h, p, self.encoder, self.activation)

        grads |= encoder_grads | {"logits.W": dW, "logits.b": db, "z.W": dW_z, "z.b": db_z}
        if wrt_x:
            grads["x"] = dx - drecon[:, None] * logits
        return loss, recon, np.zeros_like(recon), grads

    def reconstruct(self, x):
        """x (B, D)  ->  x_hat (B, D), the pixel means sigmoid(logits)"""
        return sigmoid(self.decode(self.encode(x)))
