"""Gaussians: KL divergence, sampler, density, entropy, and the backward of what a VAE trains.

Everything is in nats.  The last axis holds the k dimensions and is summed over; leading axes
broadcast.  A Gaussian is given by its mean and covariance or, where the covariance is diagonal, by
``mu`` and ``logvar`` = log sigma^2.

Nothing is clamped.  Where exp(logvar) overflows its dtype (logvar above 88.7 in float32, 709.7 in
float64), or logvar is infinite, the KL is inf, never NaN.  Its gradient is that of the formula: inf
for an overflow, and -1/2 at logvar = -inf.  A z that overflows is infinite, or NaN where eps is 0.
NumPy's warnings of all this are silenced: training looks at the numbers of every step, and stops.
"""

import numpy as np

from tinyvae.arrays import ends_with, exactly, floats, generator, reals, same_length, whole

_LOG_2PI = float(np.log(2 * np.pi))


def kl(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) in nats for q = N(mean_q, cov_q) and p = N(mean_p, cov_p).

        1/2 [ tr(cov_p^-1 cov_q) - k - log(det cov_q / det cov_p)
              + (mean_q - mean_p)' cov_p^-1 (mean_q - mean_p) ]

    With v_i the eigenvalues of cov_p^-1 cov_q the first three terms are sum_i (v_i - 1) - log v_i,
    each of them >= 0.  Where all v_i are near 1 they come from cov_q - cov_p, whitened, so that
    nearly equal Gaussians keep their digits; elsewhere from the Cholesky factors.
    The relative error is below 50 eps cond(cov_p), whatever the scales of the axes.  Exactly 0.0
    for q = p, never negative, inf where twice the true value overflows.

    mean (..., k), cov (..., k, k)  ->  (...)

    >>> round(float(kl([2.0], [[1.0]], [0.0], [[4.0]])), 6)  # 1/2 (1/4 - 1 + log 4 + 2^2/4)
    0.818147

    Raises ValueError, naming the argument, for shapes that do not fit, NaN or infinity, and a
    covariance that is not symmetric (to 1e-10) or not positive definite.
    Source: Duchi, "Derivations for linear algebra and optimization", 2007.
    """
    mean_q, cov_q, root_q = _gaussian("q", mean_q, cov_q)
    mean_p, cov_p, root_p = _gaussian("p", mean_p, cov_p)
    rows = {"rows of cov_q": cov_q[..., 0], "rows of cov_p": cov_p[..., 0]}
    same_length(mean_q=mean_q, mean_p=mean_p, **rows)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        delta = _whiten(root_p, (mean_q - mean_p)[..., None])[..., 0]
        half = _whiten(root_p, cov_q - cov_p)
        near = np.linalg.eigvalsh(_tame(_whiten(root_p, np.swapaxes(half, -1, -2))))  # v - 1
        std = np.linalg.svd(_tame(_whiten(root_p, root_q)), compute_uv=False)  # sqrt(v)
        x, log_det = (std - 1) * (std + 1), 2 * (_log_diagonal(root_q) - _log_diagonal(root_p))
        wide = std[..., -1:] < 1e-3 * std[..., :1]  # the least of them have lost their digits
        far = np.where(wide, x - log_det, _minus_log1p(x, 2 * np.log(std)))
        close = np.abs(near).max(axis=-1, keepdims=True) <= 0.5
        near = np.where(close, near, 0)
        twice = np.where(close, _minus_log1p(near, np.log1p(near)), far) + delta * delta
        value = (0.5 * twice).sum(axis=-1)
    return np.nan_to_num(value, nan=np.inf, posinf=np.inf)  # inf - inf on the way to inf


def kl_diagonal(mu_q, logvar_q, mu_p, logvar_p):
    """KL(q || p) in nats for q = N(mu_q, diag exp(logvar_q)), p = N(mu_p, diag exp(logvar_p)).

        1/2 sum [ exp(d) - 1 - d + (mu_q - mu_p)^2 exp(-logvar_p) ],    d = logvar_q - logvar_p

    Relative error below 1e-14 (float32: 1e-6), for nearly equal Gaussians too.  Exactly 0.0 for
    q = p, never negative, inf where twice the true value overflows.  The means must be finite.

    all (..., k)  ->  (...).    Raises ValueError where the shapes do not fit.
    """
    mu_q, logvar_q, mu_p, logvar_p = floats(
        mu_q=mu_q, logvar_q=logvar_q, mu_p=mu_p, logvar_p=logvar_p
    )
    same_length(mu_q=mu_q, logvar_q=logvar_q, mu_p=mu_p, logvar_p=logvar_p)
    with np.errstate(over="ignore", invalid="ignore"):
        d = np.where(logvar_q == logvar_p, 0, logvar_q - logvar_p)
        delta = np.where(mu_q == mu_p, 0, (mu_q - mu_p) * np.exp(-0.5 * logvar_p))
        # exp(d) turns the rounding of a large d into a relative error: put it back.
        lost = np.where((d > 1) & np.isfinite(d), _lost(logvar_q, logvar_p, d), 0)
        twice = _minus_log1p(np.expm1(d), d) * (1 + lost) + delta * delta
        return (0.5 * twice).sum(axis=-1)  # before the sum: NumPy 1 made float32 scalars float64


def kl_to_standard_normal(mu, logvar):
    """KL( q(z|x) || p(z) ) in nats, with q = N(mu, diag exp(logvar)) and p = N(0, I).

        1/2 sum [ mu^2 + exp(logvar) - 1 - logvar ]

    Never negative: *added* to the loss, *subtracted* from the ELBO.  Accurate as `kl_diagonal`.

    mu, logvar (B, Z)  ->  kl (B,), summed over the latent dimensions

    >>> kl_to_standard_normal(np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    array([12.5])

    Raises ValueError where the shapes do not fit.
    """
    mu, logvar = floats(mu=mu, logvar=logvar)
    same_length(mu=mu, logvar=logvar)
    with np.errstate(over="ignore", invalid="ignore"):
        return (0.5 * mu * mu + 0.5 * _minus_log1p(np.expm1(logvar), logvar)).sum(axis=-1)


def kl_to_standard_normal_backward(dkl, mu, logvar):
    """dkl (B,)  ->  dmu (B, Z), dlogvar (B, Z)"""
    # forward:  kl = 1/2 sum [mu^2 + exp(logvar) - 1 - logvar]
    dkl, mu, logvar = floats(dkl=dkl, mu=mu, logvar=logvar)
    exactly(mu.shape, logvar=logvar)
    exactly(mu.shape[:-1], dkl=dkl)
    with np.errstate(over="ignore", invalid="ignore"):
        return dkl[..., None] * mu, dkl[..., None] * (0.5 * np.expm1(logvar))


def reparameterize(mu, logvar, eps):
    """Draw z ~ q(z|x) = N(mu, diag exp(logvar)) as a function of the noise.

        z = mu + sigma eps,    sigma = exp(logvar / 2)

    ``eps`` ~ N(0, I) is an argument, never drawn in here: the backward pass and the finite
    differences must see the very same noise.

    mu, logvar (B, Z), eps (B, Z) or (S, B, Z)  ->  z, as eps

    Raises ValueError where the shapes do not fit; one eps for a whole batch does not.
    Source: Kingma and Welling, "Auto-encoding variational Bayes", 2014.
    """
    mu, logvar, eps = floats(mu=mu, logvar=logvar, eps=eps)
    ends_with(mu.shape, logvar=logvar, eps=eps)
    with np.errstate(over="ignore", invalid="ignore"):
        return mu + np.exp(0.5 * logvar) * eps  # logvar = log sigma^2, so sigma = exp(logvar / 2)


def reparameterize_backward(dz, logvar, eps):
    """dz (B, Z)  ->  dmu (B, Z), dlogvar (B, Z);  for eps (S, B, Z) those of each draw, as dz"""
    # forward:  z = mu + exp(logvar / 2) * eps
    dz, logvar, eps = floats(dz=dz, logvar=logvar, eps=eps)
    ends_with(logvar.shape, eps=eps)
    exactly(eps.shape, dz=dz)
    with np.errstate(over="ignore", invalid="ignore"):
        return dz, dz * eps * (0.5 * np.exp(0.5 * logvar))


def log_density(x, mean, cov):
    """log N(x; mean, cov) in nats;  a density, so it may be positive.

        -1/2 [ (x - mean)' cov^-1 (x - mean) + log det cov + k log 2 pi ]

    x, mean (..., k), cov (..., k, k)  ->  (...), -inf where it overflows.    Raises ValueError as
    `kl` does.
    """
    (x,) = reals(x=x)
    mean, cov, root = _gaussian("", mean, cov)
    same_length(**{"x": x, "mean": mean, "rows of cov": cov[..., 0]})
    with np.errstate(over="ignore", invalid="ignore"):
        delta = _whiten(root, (x - mean)[..., None])[..., 0]
        value = -(0.5 * (delta * delta + _LOG_2PI) + _log_diagonal(root)).sum(axis=-1)
    overflow = np.isnan(value) & ~np.isnan(x).any(axis=-1)  # inf - inf on the way to -inf
    return np.where(overflow, value.dtype.type(-np.inf), value)[()]


def log_density_diagonal(x, mu, logvar):
    """log N(x; mu, diag exp(logvar)) in nats.    all (..., k)  ->  (...)

    -inf where the density underflows.  At logvar = -inf there is none: inf at x = mu, else NaN.
    """
    x, mu, logvar = floats(x=x, mu=mu, logvar=logvar)
    same_length(x=x, mu=mu, logvar=logvar)
    with np.errstate(over="ignore", invalid="ignore"):
        delta = np.where(x == mu, 0, (x - mu) * np.exp(-0.5 * logvar))
        return (-0.5 * (delta * delta + logvar + _LOG_2PI)).sum(axis=-1)


def entropy(cov):
    """Differential entropy of N(any mean, cov) in nats: 1/2 log det(2 pi e cov); may be negative.

    cov (..., k, k)  ->  (...).    Raises ValueError as `kl` does.
    """
    (cov,) = reals(cov=cov)
    _, _, root = _gaussian("", np.zeros(cov.shape[-1:], cov.dtype), cov)
    return (_log_diagonal(root) + 0.5 * (1 + _LOG_2PI)).sum(axis=-1)


def sample(mean, cov, size, rng):
    """``size`` draws from N(mean, cov) by mean + L eps, where L L' = cov and eps ~ N(0, I).

    mean (k,), cov (k, k), size an int or a tuple  ->  (*size, k).    Raises ValueError as `kl`.
    """
    generator(rng)
    mean, cov, root = _gaussian("", mean, cov)
    exactly(mean.shape[-1:], mean=mean)
    exactly(mean.shape * 2, cov=cov)
    size = (size,) if np.ndim(size) == 0 else tuple(size)
    whole(0, **{f"size[{axis}]": n for axis, n in enumerate(size)})
    return mean + rng.standard_normal((*size, mean.shape[-1])) @ root.T


def _minus_log1p(x, log1p_x):
    """x - log(1 + x) >= 0 to full relative accuracy, given log(1 + x);  inf for x = inf.

    Near 0 the difference cancels.  There log(1 + x) = 2 artanh(s) with s = x / (2 + x), so it is
    x s - 2 s^3 (1/3 + s^2/5 + s^4/7 + ...), whose first term outweighs the rest.
    """
    with np.errstate(invalid="ignore"):
        s = x / (2 + x)
        s2 = s * s
        series = 1 / 33
        for n in range(31, 1, -2):
            series = 1 / n + s2 * series
        difference = np.where(np.isinf(x), x, x - log1p_x)
        return np.where(np.abs(s) < 1 / 3, x * s - 2 * s * s2 * series, difference)


def _lost(a, b, difference):
    """What rounding took from a - b: exact, by Knuth's two-sum."""
    b_seen = a - difference
    a_seen = difference + b_seen
    return (a - a_seen) + (b_seen - b)


def _log_diagonal(root):
    """(..., k), whose sum is 1/2 log det(L L'), from the Cholesky factor L (..., k, k)"""
    return np.log(np.diagonal(root, axis1=-2, axis2=-1))


def _tame(A):
    """A, but what has overflowed is a number whose square does: LAPACK takes no infinity."""
    huge = np.finfo(A.dtype).max ** 0.75
    return np.nan_to_num(A, nan=huge, posinf=huge, neginf=-huge)


def _whiten(root, A):
    """root^-1 A.    (..., k, k), (..., k, n)  ->  (..., k, n)

    NumPy 1 takes A for a batch of vectors where it has one axis less than root.
    """
    return np.linalg.solve(root, A.reshape((1,) * (root.ndim - A.ndim) + A.shape))


def _gaussian(name, mean, cov):
    """mean, cov, and cov's Cholesky factor;  ValueError, naming the argument, if not a Gaussian."""
    mean_name, cov_name = (f"mean_{name}", f"cov_{name}") if name else ("mean", "cov")
    mean, cov = reals(**{mean_name: mean, cov_name: cov})
    if cov.ndim < 2 or mean.shape[-1:] in ((), (0,)) or cov.shape[-2:] != mean.shape[-1:] * 2:
        raise ValueError(
            f"{cov_name} {cov.shape} must be k x k for {mean_name} {mean.shape}, with k >= 1"
        )
    for argument, array in ((mean_name, mean), (cov_name, cov)):
        if not np.isfinite(array).all():
            raise ValueError(f"{argument} holds NaN or infinity")
    transposed = np.swapaxes(cov, -1, -2)
    tolerance = max(1e-10, 8 * np.finfo(cov.dtype).eps) * np.abs(cov).max(axis=(-1, -2))
    if (np.abs(cov - transposed).max(axis=(-1, -2)) > tolerance).any():
        raise ValueError(f"{cov_name} is not symmetric")
    try:
        return mean, cov, np.linalg.cholesky(cov + 0.5 * (transposed - cov))
    except np.linalg.LinAlgError:
        raise ValueError(f"{cov_name} is not positive definite") from None
