"""Gaussians: KL divergence, sampler, density, entropy, and the backward of what a VAE trains.

Everything is in nats.  The last axis holds the k dimensions and is summed over; leading axes
broadcast.  A Gaussian is given by its mean and covariance or, where the covariance is diagonal, by
``mu`` and ``logvar`` = log sigma^2.

Nothing is clamped.  Where exp(logvar) overflows its dtype (logvar above 88.7 in float32, 709.7 in
float64), or logvar is infinite, the KL is inf, never NaN.  Its gradient is that of the formula: inf
for an overflow, and -1/2 at logvar = -inf.  A z that overflows is infinite, or NaN where eps is 0.
NumPy does not warn of any of this: training looks at the numbers of every step, and stops.

Covariances are judged to rounding: one that is singular to the precision of its numbers, its
correlations' smallest eigenvalue below 4 k eps, is not positive definite.
"""

import numpy as np

from tinyvae.contracts import check_generator, check_integer, takes, takes_real

_LOG_2PI = float(np.log(2 * np.pi))


@takes_real(mean_q="*#b k>0", cov_q="*#b k k", mean_p="*#b k", cov_p="*#b k k")
def kl_textbook(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) in nats for q = N(mean_q, cov_q) and p = N(mean_p, cov_p), as textbooks have it.

        1/2 [ tr(cov_p^-1 cov_q) + (mean_q - mean_p)' cov_p^-1 (mean_q - mean_p) - k
              + log(det cov_p / det cov_q) ]

    Right where q and p differ and both are well conditioned, and then equal to `kl`.  The four
    terms cancel where q is near p: the error is some k eps cond(cov_p), and so may the KL be that
    is left, which then comes out negative.  It overflows early.

    mean (..., k), cov (..., k, k)  ->  (...)

    >>> round(float(kl_textbook([2.0], [[1.0]], [0.0], [[4.0]])), 6)  # 1/2 (1/4 + 1 - 1 + log 4)
    0.818147

    Raises ValueError as `kl` does.    Source: as `kl`.
    """
    _check_gaussians(mean_q=mean_q, cov_q=cov_q, mean_p=mean_p, cov_p=cov_p)
    precision, delta = np.linalg.inv(cov_p), (mean_q - mean_p)[..., None]
    trace = np.trace(precision @ cov_q, axis1=-2, axis2=-1)
    distance = (np.swapaxes(delta, -1, -2) @ precision @ delta)[..., 0, 0]
    log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (trace + distance - cov_q.shape[-1] + log_ratio)


@takes_real(mean_q="*#b k>0", cov_q="*#b k k", mean_p="*#b k", cov_p="*#b k k")
def kl(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) in nats for q = N(mean_q, cov_q) and p = N(mean_p, cov_p), to many digits.

    `kl_textbook` has the formula.  With v_i the eigenvalues of cov_p^-1 cov_q it is

        1/2 [ sum_i (v_i - 1 - log v_i) + (mean_q - mean_p)' cov_p^-1 (mean_q - mean_p) ]

    whose terms are all >= 0.  Where all v_i are near 1 they come from cov_q - cov_p, whitened, so
    that nearly equal Gaussians keep their digits; elsewhere from the Cholesky factors.  The
    relative error is below 50 eps max(cond(cov_q), cond(cov_p)), where cond is that of the
    correlations: the scales of the axes do not matter.  No formula does better with matrices that
    are given to eps.  Exactly 0.0 for q = p, never negative, inf where twice the true value
    overflows.

    mean (..., k), cov (..., k, k)  ->  (...)

    >>> round(float(kl([2.0], [[1.0]], [0.0], [[4.0]])), 6)  # 1/2 (1/4 - 1 + log 4 + 2^2/4)
    0.818147

    Raises ValueError, naming the argument, for shapes that do not fit, NaN or infinity, and a
    covariance that is not symmetric (cov_ij and cov_ji equal to 1e-10 sqrt(cov_ii cov_jj)) or not
    positive definite (to rounding).
    Source: Duchi, "Derivations for linear algebra and optimization", 2007.
    """
    root_q, root_p = _check_gaussians(mean_q=mean_q, cov_q=cov_q, mean_p=mean_p, cov_p=cov_p)
    scale = np.exp2(np.rint(np.log2(np.diagonal(root_p, axis1=-2, axis2=-1))))[..., None]  # exact
    root_p, root_q = root_p / scale, root_q / scale
    delta = _whiten(root_p, (mean_q - mean_p)[..., None] / scale)[..., 0]
    half = _whiten(root_p, (cov_q - cov_p) / scale / np.swapaxes(scale, -1, -2))
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


@takes(mu_q="*#b k", logvar_q="*#b k", mu_p="*#b k", logvar_p="*#b k")
def kl_diagonal(mu_q, logvar_q, mu_p, logvar_p):
    """KL(q || p) in nats for q = N(mu_q, diag exp(logvar_q)), p = N(mu_p, diag exp(logvar_p)).

        1/2 sum [ exp(d) - 1 - d + (mu_q - mu_p)^2 exp(-logvar_p) ],    d = logvar_q - logvar_p

    Relative error below 1e-14 (float32: 1e-6), for nearly equal Gaussians too.  Exactly 0.0 for
    q = p, never negative, inf where twice the true value or a difference of means overflows.  The
    means must be finite.

    all (..., k)  ->  (...).    Raises ValueError where the shapes do not fit.

    >>> round(float(kl_diagonal([2.0], [0.0], [0.0], [np.log(4)])), 6)  # 1/2 (1/4 - 1 + log 4 + 1)
    0.818147
    """
    d = np.where(logvar_q == logvar_p, 0, logvar_q - logvar_p)
    delta = _standardize(mu_q, mu_p, logvar_p)
    # exp(d) turns the rounding of a large d into a relative error: put it back.
    lost = np.where((d > 1) & np.isfinite(d), _rounding(logvar_q, logvar_p, d), 0)
    twice = _minus_log1p(np.expm1(d), d) * (1 + lost) + delta * delta
    return (0.5 * twice).sum(axis=-1)  # before the sum: NumPy 1 made float32 scalars float64


@takes(mu="*#b Z", logvar="*#b Z")
def kl_to_standard_normal(mu, logvar):
    """KL( q(z|x) || p(z) ) in nats, with q = N(mu, diag exp(logvar)) and p = N(0, I).

        1/2 sum [ mu^2 + exp(logvar) - 1 - logvar ]

    Never negative: *added* to the loss, *subtracted* from the ELBO.  Accurate as `kl_diagonal`.

    mu, logvar (B, Z)  ->  kl (B,), summed over the latent dimensions

    >>> kl_to_standard_normal(np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    array([12.5])

    Raises ValueError where the shapes do not fit.
    """
    return (0.5 * mu * mu + 0.5 * _minus_log1p(np.expm1(logvar), logvar)).sum(axis=-1)


@takes(mu="*b Z", logvar="*b Z", dkl="*b")
def kl_to_standard_normal_backward(dkl, mu, logvar):
    """dkl (B,)  ->  dmu (B, Z), dlogvar (B, Z)

    >>> dmu, dlogvar = kl_to_standard_normal_backward([1.0], [[3.0, 4.0]], [[0.0, 0.0]])
    >>> print(dmu, dlogvar)
    [[3. 4.]] [[0. 0.]]
    """
    # forward:  kl = 1/2 sum [mu^2 + exp(logvar) - 1 - logvar]
    return dkl[..., None] * mu, dkl[..., None] * (0.5 * np.expm1(logvar))


@takes(mu="*m", logvar="*m", eps="... *m")
def reparameterize(mu, logvar, eps):
    """Draw z ~ q(z|x) = N(mu, diag exp(logvar)) as a function of the noise.

        z = mu + sigma eps,    sigma = exp(logvar / 2)

    ``eps`` ~ N(0, I) is an argument, never drawn in here: the backward pass and the finite
    differences must see the very same noise.

    mu, logvar (B, Z), eps (B, Z) or (S, B, Z)  ->  z, as eps

    >>> print(reparameterize([[1.0]], [[np.log(4)]], [[-1.0]]))  # 1 - 2
    [[-1.]]

    Raises ValueError where the shapes do not fit; one eps for a whole batch does not.
    Source: Kingma and Welling, "Auto-encoding variational Bayes", 2014.
    """
    return mu + np.exp(0.5 * logvar) * eps  # logvar = log sigma^2, so sigma = exp(logvar / 2)


@takes(logvar="*m", eps="*s *m", dz="*s *m")
def reparameterize_backward(dz, logvar, eps):
    """dz (B, Z)  ->  dmu (B, Z), dlogvar (B, Z);  for eps (S, B, Z) those of each draw, as dz

    >>> dmu, dlogvar = reparameterize_backward([[1.0]], [[np.log(4)]], [[-1.0]])
    >>> print(dmu, dlogvar)
    [[1.]] [[-1.]]
    """
    # forward:  z = mu + exp(logvar / 2) * eps
    return dz, dz * eps * (0.5 * np.exp(0.5 * logvar))


@takes_real(x="*#b k>0", mean="*#b k", cov="*#b k k")
def log_density(x, mean, cov):
    """log N(x; mean, cov) in nats;  a density, so it may be positive.

        -1/2 [ (x - mean)' cov^-1 (x - mean) + log det cov + k log 2 pi ]

    x, mean (..., k), cov (..., k, k)  ->  (...), -inf where it overflows.    Raises ValueError as
    `kl` does.

    >>> round(float(log_density([0.0, 0.0], [0.0, 0.0], np.eye(2))), 6)  # -log 2 pi
    -1.837877
    """
    _check_precision(x=x)
    (root,) = _check_gaussians(mean=mean, cov=cov)
    delta = _whiten(root, (x - mean)[..., None])[..., 0]
    value = -(0.5 * (delta * delta + _LOG_2PI) + _log_diagonal(root)).sum(axis=-1)
    overflow = np.isnan(value) & ~np.isnan(x).any(axis=-1)  # inf - inf on the way to -inf
    return np.where(overflow, value.dtype.type(-np.inf), value)[()]


@takes(x="*#b k", mu="*#b k", logvar="*#b k")
def log_density_diagonal(x, mu, logvar):
    """log N(x; mu, diag exp(logvar)) in nats.    all (..., k)  ->  (...)

    -inf where the density underflows.  At logvar = -inf there is none: inf at x = mu, else NaN.

    >>> round(float(log_density_diagonal([0.0, 0.0], [0.0, 0.0], [0.0, 0.0])), 6)  # -log 2 pi
    -1.837877
    """
    delta = _standardize(x, mu, logvar)
    return (-0.5 * (delta * delta + logvar + _LOG_2PI)).sum(axis=-1)


@takes_real(cov="*b k>0 k")
def entropy(cov):
    """Differential entropy of N(any mean, cov) in nats: 1/2 log det(2 pi e cov); may be negative.

    The absolute error is below 50 eps k cond, with the condition number of the correlations.

    cov (..., k, k)  ->  (...).    Raises ValueError as `kl` does.

    >>> round(float(entropy([[1.0]])), 6)  # 1/2 log 2 pi e
    1.418939
    """
    (root,) = _check_gaussians(cov=cov)
    return (_log_diagonal(root) + 0.5 * (1 + _LOG_2PI)).sum(axis=-1)


@takes_real(mean="k>0", cov="k k")
def sample(mean, cov, size, rng):
    """``size`` draws from N(mean, cov) by mean + L eps, where L L' = cov and eps ~ N(0, I).

    mean (k,), cov (k, k), size an int or a tuple  ->  (*size, k), in the arguments' precision.
    Raises ValueError as `kl`.

    >>> sample([0.0, 0.0], np.eye(2), 3, np.random.default_rng(0)).shape
    (3, 2)
    """
    check_generator(rng)
    (root,) = _check_gaussians(mean=mean, cov=cov)
    size = (size,) if np.ndim(size) == 0 else tuple(size)
    check_integer(0, **{f"size[{axis}]": n for axis, n in enumerate(size)})
    eps = rng.standard_normal((*size, len(mean))).astype(root.dtype, copy=False)
    return mean + eps @ root.T


def _standardize(x, mu, logvar):
    """(x - mu) / sigma, also where 1 / sigma alone would overflow or underflow"""
    root = np.exp(-0.25 * logvar)
    return np.where(x == mu, 0, (x - mu) * root * root)


def _minus_log1p(x, log1p_x):
    """x - log(1 + x) >= 0 to full relative accuracy, given log(1 + x);  inf for x = inf.

    Near 0 the difference cancels.  There log(1 + x) = 2 artanh(s) with s = x / (2 + x), so it is
    x s - 2 s^3 (1/3 + s^2/5 + s^4/7 + ...), whose first term outweighs the rest.
    """
    s = x / (2 + x)
    s2 = s * s
    series = 1 / 33
    for n in range(31, 1, -2):
        series = 1 / n + s2 * series
    difference = np.where(np.isinf(x), x, x - log1p_x)
    return np.where(np.abs(s) < 1 / 3, x * s - 2 * s * s2 * series, difference)


def _rounding(a, b, difference):
    """a - b - difference, where difference is a - b rounded: exact, by Knuth's two-sum"""
    b_seen = a - difference
    a_seen = difference + b_seen
    return (a - a_seen) + (b_seen - b)


def _log_diagonal(root):
    """(..., k), whose sum is 1/2 log det(L L'), from the Cholesky factor L (..., k, k)"""
    return np.log(np.diagonal(root, axis1=-2, axis2=-1))


def _tame(A):
    """A, with infinity and NaN replaced by a number whose square overflows, for LAPACK's sake"""
    huge = np.finfo(A.dtype).max ** 0.75
    return np.nan_to_num(A, nan=huge, posinf=huge, neginf=-huge)


def _whiten(root, A):
    """root^-1 A.    (..., k, k), (..., k, n)  ->  (..., k, n)

    NumPy 1 takes A for a batch of vectors where it has one axis less than root.
    """
    return np.linalg.solve(root, A.reshape((1,) * (root.ndim - A.ndim) + A.shape))


def _check_gaussians(**arguments):
    """The Cholesky factors of the arguments named "cov...", for which see `kl`'s ValueErrors"""
    _check_precision(**arguments)
    for name, array in arguments.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity")
    return [_cholesky(name, cov) for name, cov in arguments.items() if name.startswith("cov")]


def _check_precision(**arguments):
    """Raise ValueError for what LAPACK does not take: long doubles."""
    for name, array in arguments.items():
        if array.dtype.char not in "fd":
            raise ValueError(f"{name} must be float32 or float64, not {array.dtype}")


def _cholesky(name, cov):
    """L, for which L L' = cov (..., k, k);  ValueError unless symmetric and positive definite"""
    transposed, eps = np.swapaxes(cov, -1, -2), np.finfo(cov.dtype).eps
    std = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    if not (std > 0).all():
        raise ValueError(f"{name} is not positive definite")
    asymmetry = np.abs(cov - transposed) / std[..., None] / std[..., None, :]
    if (asymmetry > max(1e-10, 8 * eps)).any():
        raise ValueError(f"{name} is not symmetric")
    symmetric = cov + 0.5 * (transposed - cov)
    smallest = np.linalg.eigvalsh(symmetric / std[..., None] / std[..., None, :])[..., 0]
    if not (smallest > 4 * cov.shape[-1] * eps).all():
        raise ValueError(f"{name} is not positive definite")
    return np.linalg.cholesky(symmetric)
