"""A q(z|x) with a full covariance L L', from a triangle of free numbers: pairs."""

import numpy as np

from tinyvae.contracts import takes


@takes(raw="... Z Z")
def root(raw):
    """L, lower triangular: below the diagonal as in ``raw``, on it exp(raw_jj) > 0.

    raw (..., Z, Z), of which the part above the diagonal is ignored  ->  (..., Z, Z)
    """
    eye = np.eye(raw.shape[-1], dtype=raw.dtype)
    return np.tril(raw, -1) + eye * np.exp(raw * eye)


@takes(dL="*m Z Z", raw="*m Z Z")
def root_backward(dL, raw):
    """dL (..., Z, Z)  ->  draw (..., Z, Z)"""
    # forward:  L_jj = exp(raw_jj), L_ij = raw_ij for i > j, 0 above
    eye = np.eye(raw.shape[-1], dtype=raw.dtype)
    return np.tril(dL, -1) + dL * eye * np.exp(raw * eye)


@takes(mu="B Z", L="B Z Z", eps="S B Z")
def reparameterize(mu, L, eps):
    """z = mu + L eps ~ N(mu, L L').    mu (B, Z), L (B, Z, Z), eps (S, B, Z)  ->  (S, B, Z)"""
    return mu + np.einsum("bij,sbj->sbi", L, eps)


@takes(dz="S B Z", eps="S B Z")
def reparameterize_backward(dz, eps):
    """dz (S, B, Z)  ->  dmu (B, Z), dL (B, Z, Z), its upper part included"""
    # forward:  z = mu + L eps, the same mu and L for every draw
    return dz.sum(axis=0), np.einsum("sbi,sbj->bij", dz, eps)


@takes(mu="B Z", raw="B Z Z")
def kl_to_standard_normal(mu, raw):
    """KL( N(mu, L L') || N(0, I) ) in nats, L = root(raw).

        1/2 [ sum_ij L_ij^2 + |mu|^2 - Z ] - sum_j raw_jj

    mu (B, Z), raw (B, Z, Z)  ->  (B,)

    >>> print(kl_to_standard_normal(np.array([[3.0, 4.0]]), np.zeros((1, 2, 2))))
    [12.5]
    """
    squares = np.sum(root(raw) ** 2, axis=(-2, -1)) + np.sum(mu * mu, axis=-1)
    return 0.5 * (squares - mu.shape[-1]) - np.trace(raw, axis1=-2, axis2=-1)


@takes(dkl="B", mu="B Z", raw="B Z Z")
def kl_to_standard_normal_backward(dkl, mu, raw):
    """dkl (B,)  ->  dmu (B, Z), draw (B, Z, Z)"""
    # forward:  kl = 1/2 [sum_ij L_ij^2 + |mu|^2 - Z] - sum_j raw_jj
    draw = root_backward(root(raw), raw) - np.eye(raw.shape[-1], dtype=raw.dtype)
    return dkl[:, None] * mu, dkl[:, None, None] * draw
