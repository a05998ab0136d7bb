"""The linear VAE: every expectation is exact, and so is its optimum.

    q(z|x) = N(x V + c, diag exp(logvar)),    p(x|z) = N(z W + b, s^2 I)

Its best parameters are those of probabilistic principal components (`oracles.principal`).
Sources: Tipping and Bishop, 1999; Lucas, Tucker, Grosse and Norouzi, "Don't blame the ELBO!", 2019.
"""

import numpy as np

from tinyvae import gaussian
from tinyvae.contracts import takes

_LOG_2PI = float(np.log(2 * np.pi))


@takes(kl="B>0 Z", floor="")
def free_bits(kl, floor):
    """sum_j max(mean_b kl_bj, floor) in nats: a dimension pays for what exceeds its floor.

    Never below the KL, so the loss stays a bound.    kl (B, Z), floor ()  ->  ()
    Source: Kingma et al., "Improved variational inference with inverse autoregressive flow", 2016.

    >>> print(free_bits(np.array([[0.2, 1.0], [0.4, 3.0]]), 0.5))  # 0.5 + 2
    2.5
    """
    return np.maximum(kl.mean(axis=0), floor).sum()


@takes(dy="", kl="B>0 Z", floor="")
def free_bits_backward(dy, kl, floor):
    """dy ()  ->  dkl (B, Z): nothing below the floor"""
    # forward:  y = sum_j max(mean_b kl_bj, floor)
    return dy * (kl.mean(axis=0) >= floor) * np.full_like(kl, 1 / len(kl))


@takes(x="B D", mu="B Z", logvar="Z", W="Z D", b="D", noise_logvar="N")
def expected_nll(x, mu, logvar, W, b, noise_logvar):
    """E_q[ -log p(x|z) ] in nats, for q = N(mu, diag exp(logvar)) and p = N(z W + b, s^2 I).

        1/2 [ ( |x - mu W - b|^2 + sum_j var_j |W_j|^2 ) / s^2 + D log(2 pi s^2) ]

    x (B, D), mu (B, Z), logvar (Z,), W (Z, D), b (D,), noise_logvar (1,) = log s^2  ->  (B,)
    """
    squares = np.sum((x - mu @ W - b) ** 2, axis=-1) + np.exp(logvar) @ np.sum(W * W, axis=-1)
    return 0.5 * (squares / np.exp(noise_logvar) + x.shape[-1] * (_LOG_2PI + noise_logvar))


@takes(dnll="B", x="B D", mu="B Z", logvar="Z", W="Z D", b="D", noise_logvar="N")
def expected_nll_backward(dnll, x, mu, logvar, W, b, noise_logvar):
    """dnll (B,)  ->  dmu (B, Z), dlogvar (Z,), dW (Z, D), db (D,), dnoise_logvar (1,)"""
    # forward:  nll = 1/2 [(|x - mu W - b|^2 + sum_j var_j |W_j|^2) / s^2 + D log(2 pi s^2)]
    precision, var, total = np.exp(-noise_logvar), np.exp(logvar), dnll.sum()
    error = mu @ W + b - x
    dmean = dnll[:, None] * error * precision
    dlogvar = 0.5 * total * precision * var * np.sum(W * W, axis=-1)
    dW = mu.T @ dmean + total * precision * var[:, None] * W  # W is in the mean and in the spread
    squares = np.sum(error**2, axis=-1) + var @ np.sum(W * W, axis=-1)
    dnoise = 0.5 * np.sum(dnll * (x.shape[-1] - squares * precision))
    return dmean @ W.T, dlogvar, dW, dmean.sum(axis=0), np.array([dnoise])


class LinearVAE:
    """A VAE with a linear encoder and decoder, made by `LinearVAE.create`; `tinyvae.fit` takes it.

    ``params``: "V" (D, Z), "c" (Z,), "logvar" (Z,), "W" (Z, D), "b" (D,), and "noise_logvar" (1,)
    unless the noise is given: then it is the attribute ``noise_logvar`` and stays.
    """

    def __init__(self, params, noise_logvar=None, floor=0.0):
        self.params, self.noise_logvar, self.floor = params, noise_logvar, floor
        self.data_dim, self.latent_dim = params["V"].shape

    @classmethod
    def create(cls, data_dim, latent_dim, *, rng, noise_var=None, floor=0.0, scale=0.1):
        """V, W ~ N(0, scale^2), the rest 0.  ``noise_var`` fixes s^2, ``floor`` is `free_bits`'."""
        params = {
            "V": scale * rng.standard_normal((data_dim, latent_dim)),
            "c": np.zeros(latent_dim),
            "logvar": np.zeros(latent_dim),
            "W": scale * rng.standard_normal((latent_dim, data_dim)),
            "b": np.zeros(data_dim),
        }
        if noise_var is None:
            return cls(params | {"noise_logvar": np.zeros(1)}, floor=floor)
        return cls(params, np.log(np.array([noise_var])), floor)

    def noise(self):
        """log s^2, (1,)"""
        return self.params.get("noise_logvar", self.noise_logvar)

    def encode(self, x):
        """x (B, D)  ->  mu, logvar (B, Z);  logvar is the same for every x"""
        mu = x @ self.params["V"] + self.params["c"]
        return mu, np.broadcast_to(self.params["logvar"], mu.shape)

    def loss(self, x, eps=None, beta=1.0):
        """E_q[-log p(x|z)] and KL(q || p(z)), both (B,), exact: eps is taken, and ignored."""
        p, (mu, logvar) = self.params, self.encode(x)
        recon = expected_nll(x, mu, p["logvar"], p["W"], p["b"], self.noise())
        return recon, gaussian.kl_to_standard_normal(mu, logvar)

    def loss_and_grads(self, x, eps=None, beta=1.0):
        """loss = mean(recon) + beta free_bits(kl), recon (B,), kl (B,), grads;  eps is ignored."""
        p, (mu, logvar) = self.params, self.encode(x)
        # forward
        recon = expected_nll(x, mu, p["logvar"], p["W"], p["b"], self.noise())
        kl = gaussian.kl_to_standard_normal(mu[..., None], logvar[..., None])  # (B, Z), each alone
        loss = np.mean(recon) + beta * free_bits(kl, self.floor)

        # backward
        drecon = np.full_like(recon, 1 / len(x))
        dkl = free_bits_backward(beta, kl, self.floor)
        back = expected_nll_backward(drecon, x, mu, p["logvar"], p["W"], p["b"], self.noise())
        dmu_recon, dlogvar_recon, dW, db, dnoise = back
        dmu_kl, dlogvar_kl = gaussian.kl_to_standard_normal_backward(
            dkl, mu[..., None], logvar[..., None]
        )
        dmu = dmu_recon + dmu_kl[..., 0]
        dlogvar = dlogvar_recon + dlogvar_kl[..., 0].sum(axis=0)  # one logvar for all x
        grads = {"V": x.T @ dmu, "c": dmu.sum(axis=0), "logvar": dlogvar, "W": dW, "b": db}
        if "noise_logvar" in p:
            grads["noise_logvar"] = dnoise
        return loss, recon, kl.sum(axis=-1), grads
