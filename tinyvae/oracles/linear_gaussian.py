"""The one VAE about which everything is known: a linear decoder with Gaussian noise.

    p(z) = N(0, I)        p(x|z) = N(W z + b, noise_var I)

Hence p(x) = N(b, W W' + noise_var I) and p(z|x) is Gaussian too (Tipping and Bishop, Probabilistic
Principal Component Analysis, JRSS B 61 (1999) 611).  Each quantity is written in its own plainest
form, and none by way of the identity

    log p(x) - KL(q || p(z|x))  =  E_q log p(x|z) - KL(q || p(z))

because the identity is what is to be checked.
"""

from dataclasses import dataclass

import numpy as np

from .cubature import log_density


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """W (D, Z), b (D,), noise_var ().  All results are in nats; q is N(mean, cov).

    ``mean`` is (..., Z) and ``cov`` (Z, Z), or (..., Z, Z) for a covariance of its own per row.
    ValueError for shapes that do not fit or a noise_var that is not positive.
    """

    W: np.ndarray
    b: np.ndarray
    noise_var: float

    def __post_init__(self):
        if np.ndim(self.W) != 2 or np.shape(self.b) != np.shape(self.W)[:1]:
            raise ValueError(
                f"W must be (D, Z) and b (D,), got {np.shape(self.W)} and {np.shape(self.b)}"
            )
        if not self.noise_var > 0:
            raise ValueError(f"noise_var must be positive, got {self.noise_var}")

    @classmethod
    def random(cls, data_dim, latent_dim, rng):
        """A model with W, b ~ N(0, 1) and noise_var ~ U(0.2, 1.5)."""
        W = rng.standard_normal((data_dim, latent_dim))
        return cls(W, rng.standard_normal(data_dim), float(rng.uniform(0.2, 1.5)))

    def sample(self, n, rng):
        """Draw z ~ p(z), then x ~ p(x|z).    ->  x (n, D), z (n, Z)"""
        data_dim, latent_dim = self.W.shape
        z = rng.standard_normal((n, latent_dim))
        noise = np.sqrt(self.noise_var) * rng.standard_normal((n, data_dim))
        return z @ self.W.T + self.b + noise, z

    def log_px(self, x):
        """log p(x) = log N(x; b, W W' + noise_var I), z integrated out.    x (..., D)  ->  (...)"""
        return log_density(x, self.b, self.W @ self.W.T + self.noise_var * np.eye(len(self.b)))

    def posterior(self, x):
        """p(z|x): precision I + W' W / noise_var, mean cov W' (x - b) / noise_var.

        x (..., D)  ->  mean (..., Z), cov (Z, Z): the same covariance for every x
        """
        precision = np.eye(self.W.shape[1]) + self.W.T @ self.W / self.noise_var
        mean = np.linalg.solve(precision, self.W.T @ (x - self.b)[..., None])[..., 0]
        return mean / self.noise_var, np.linalg.inv(precision)

    def log_px_given_z(self, x, z):
        """log p(x|z).    x (..., D), z (..., Z), broadcast against each other  ->  (...)"""
        squared_error = np.sum((x - z @ self.W.T - self.b) ** 2, axis=-1)
        return -0.5 * (squared_error / self.noise_var + self._log_normalizer)

    def expected_log_px_given_z(self, x, mean, cov):
        """E_q log p(x|z): the squared error at the mean, plus tr(W cov W') for q's own spread.

        x (..., D), mean (..., Z), cov (Z, Z)  ->  (...)
        """
        squared_error = np.sum((x - mean @ self.W.T - self.b) ** 2, axis=-1)
        spread = np.trace(self.W @ cov @ self.W.T, axis1=-2, axis2=-1)
        return -0.5 * ((squared_error + spread) / self.noise_var + self._log_normalizer)

    def kl_to_prior(self, mean, cov):
        """KL(q || p(z)), the regulariser: (tr cov + mean' mean - Z - log det cov) / 2.

        mean (..., Z), cov (Z, Z)  ->  (...)
        """
        trace, log_det = np.trace(cov, axis1=-2, axis2=-1), np.linalg.slogdet(cov)[1]
        return 0.5 * (trace + np.sum(mean**2, axis=-1) - mean.shape[-1] - log_det)

    def kl_to_posterior(self, x, mean, cov):
        """KL(q || p(z|x)), the gap between log p(x) and the ELBO.

        (tr(S^-1 cov) + d' S^-1 d - Z + log det S - log det cov) / 2, where p(z|x) = N(m, S) and
        d = m - mean.

        x (..., D), mean (..., Z), cov (Z, Z)  ->  (...)
        """
        posterior_mean, posterior_cov = self.posterior(x)
        d = posterior_mean - mean
        trace = np.trace(np.linalg.solve(posterior_cov, cov), axis1=-2, axis2=-1)
        squared_distance = np.sum(d * np.linalg.solve(posterior_cov, d[..., None])[..., 0], axis=-1)
        log_det_ratio = np.linalg.slogdet(posterior_cov)[1] - np.linalg.slogdet(cov)[1]
        return 0.5 * (trace + squared_distance - mean.shape[-1] + log_det_ratio)

    def elbo(self, x, mean, cov):
        """E_q log p(x|z) - KL(q || p(z)).    x (..., D), mean (..., Z), cov (Z, Z)  ->  (...)"""
        return self.expected_log_px_given_z(x, mean, cov) - self.kl_to_prior(mean, cov)

    @property
    def _log_normalizer(self):
        return len(self.b) * np.log(2 * np.pi * self.noise_var)


def principal(x, latent_dim):
    """The maximum likelihood LinearGaussian of data x: probabilistic PCA.

    With eigenvalues l_1 >= l_2 >= ... of the data's covariance (divided by N, not N - 1),
    noise_var is the mean of those left out, l_{Z+1} ... l_D, and column i of W is the i-th
    eigenvector times sqrt(l_i - noise_var).  W is unique up to a rotation of the latent space.

    x (N, D)  ->  LinearGaussian with W (D, latent_dim).  ValueError if no variance is left out.
    """
    b = x.mean(axis=0)
    variances, axes = np.linalg.eigh((x - b).T @ (x - b) / len(x))
    variances, axes = variances[::-1], axes[:, ::-1]  # largest first
    left_out = variances[latent_dim:]
    if not left_out.sum() > 1e-12 * variances[0]:
        raise ValueError(
            f"{latent_dim} latent dimensions leave no variance of the data for the noise: "
            f"use fewer than the rank of x, which has shape {x.shape}"
        )
    noise_var = float(left_out.mean())
    W = axes[:, :latent_dim] * np.sqrt(variances[:latent_dim] - noise_var)
    return LinearGaussian(W, b, noise_var)
