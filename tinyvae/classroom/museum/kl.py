"""Wrong ways to write KL(q || p) of two Gaussians, each one change away from the right one.

Every function takes one pair, mean_q (k,), cov_q (k, k), mean_p (k,), cov_p (k, k), and answers in
nats; leading axes are a batch and broadcast.  Its docstring says why the mistake tempts.
"""

import inspect

import numpy as np

from tinyvae.classroom.museum.entry import Bug, checked

RIGHT = "1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k ),  d = mq - mp"

BUGS: list[Bug] = []

inv, cholesky = np.linalg.inv, np.linalg.cholesky


def logdet(S):
    """log |S|"""
    return np.linalg.slogdet(S)[1]


def trace(A):
    """tr(A), the sum of the diagonal"""
    return np.trace(A, axis1=-2, axis2=-1)


def diag(A):
    """The diagonal of A as a vector"""
    return np.diagonal(A, axis1=-2, axis2=-1)


def quadratic(d, A):
    """d' A d"""
    return np.einsum("...i,...ij,...j->...", d, A, d)


def transpose(A):
    return np.swapaxes(A, -1, -2)


def terms(mean_q, cov_q, mean_p, cov_p):
    """The four terms of KL(q || p) = 1/2 (logdet + trace + quadratic - k), in this order"""
    precision_p = inv(cov_p)
    k = mean_q.shape[-1]
    return (
        logdet(cov_p) - logdet(cov_q),
        trace(precision_p @ cov_q),
        quadratic(mean_q - mean_p, precision_p),
        k,
    )


def right(mean_q, cov_q, mean_p, cov_p):
    """KL(q || p) in nats, the textbook way: what each mistake below is one change away from"""
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad - k)


# ---- planting ------------------------------------------------------------------------------------


def diagonal_matrix(logvar):
    """logvar (..., k)  ->  diag exp(logvar) (..., k, k)"""
    return np.exp(logvar)[..., None] * np.eye(logvar.shape[-1])


def plants(f, forms, coupled=False):
    """The functions that the mistake `f` replaces, in the forms where it makes a difference.

    A wrong kl_to_standard_normal comes with the backward that matches it, by central differences:
    no gradient check sees the mistake.
    coupled: one example's KL depends on the whole batch, so each
    row is moved by itself.
    """

    def kl_diagonal(mu_q, logvar_q, mu_p, logvar_p):
        return f(mu_q, diagonal_matrix(logvar_q), mu_p, diagonal_matrix(logvar_p))

    def kl_to_standard_normal(mu, logvar):
        kl = kl_diagonal(*(np.asarray(v, np.float64) for v in (mu, logvar, 0 * mu, 0 * logvar)))
        return kl.astype(np.result_type(mu))

    def kl_to_standard_normal_backward(dkl, mu, logvar):
        mu, logvar = np.asarray(mu, np.float64), np.asarray(logvar, np.float64)
        dmu, dlogvar = np.empty_like(mu), np.empty_like(logvar)
        step = 1e-5
        if coupled and mu.ndim > 1:
            for at in np.ndindex(mu.shape):
                h = np.zeros_like(mu)
                h[at] = step
                up, down = (
                    kl_to_standard_normal(mu + h, logvar),
                    kl_to_standard_normal(mu - h, logvar),
                )
                dmu[at] = np.sum(dkl * (up - down)) / (2 * step)
                up, down = (
                    kl_to_standard_normal(mu, logvar + h),
                    kl_to_standard_normal(mu, logvar - h),
                )
                dlogvar[at] = np.sum(dkl * (up - down)) / (2 * step)
            return dmu.astype(np.result_type(dkl)), dlogvar.astype(np.result_type(dkl))
        for i, h in enumerate(step * np.eye(mu.shape[-1])):
            up, down = kl_to_standard_normal(mu + h, logvar), kl_to_standard_normal(mu - h, logvar)
            dmu[..., i] = dkl * (up - down) / (2 * step)
            up, down = kl_to_standard_normal(mu, logvar + h), kl_to_standard_normal(mu, logvar - h)
            dlogvar[..., i] = dkl * (up - down) / (2 * step)
        return dmu.astype(np.result_type(dkl)), dlogvar.astype(np.result_type(dkl))

    replaced = {"tinyvae.gaussian:kl": f}
    if "diagonal" in forms:
        replaced["tinyvae.gaussian:kl_diagonal"] = kl_diagonal
    if "standard" in forms:
        replaced["tinyvae.gaussian:kl_to_standard_normal"] = kl_to_standard_normal
        replaced["tinyvae.gaussian:kl_to_standard_normal_backward"] = kl_to_standard_normal_backward
    return replaced


# Laws of the checker that a test suite usually has, and Gaussians that a test may be confined to.
LAWS = {
    "zero at equality": "zero at equality",
    "never negative": "non-negativity",
    "affine map": "affine invariance",
    "additive over blocks": "additivity",
    "stationary at equality": "stationarity at equality",
    "second order": "curvature at equality",
}
ONLY = {
    "diagonal": "with diagonal covariances",
    "one dimension": "in one dimension",
    "standard normal": "against N(0, I)",
}


def seen_by(name):
    """The sentences that say which laws see a mistake and which do not, as computed

    `python -m tools.checks` tries the laws of the checker on every mistake.
    """
    found = checked().get("kl", {}).get(name)
    if found is None:
        return "Exact values from elsewhere."
    if set(found["laws"]) <= {"many dimensions"}:
        return "400 dimensions with a variance of 0.1. Not by any test in few dimensions."
    if set(found["laws"]) <= {"batch"}:
        return "A batch beside its pairs one by one. Not by any test of one pair."
    fails = [words for law, words in LAWS.items() if law in found["laws"]]
    misses = [words for law, words in LAWS.items() if law not in found["laws"]]
    blind = [words for case, words in ONLY.items() if case in found["right"]]
    said = "Exact values from elsewhere"
    said += f"; also by {listed(fails)}." if fails else "."
    said += f" Not by {listed(misses, 'or')}." if misses else ""
    return said + (f" Nor by any test {listed(blind, 'or')} only." if blind else "")


def listed(words, link="and"):
    """["a", "b", "c"]  ->  "a, b and c" """
    *first, last = words
    return f"{', '.join(first)} {link} {last}" if first else last


def mistake(code, title, *, wrong, thread, forms=("diagonal", "standard"), coupled=False):
    """Put the function below into the museum: its docstring says why the mistake tempts."""

    def enter(f):
        name = f.__name__.replace("_", "-")
        BUGS.append(
            Bug(
                name=name,
                title=title,
                area="kl",
                code=code,
                wrong=wrong,
                right=RIGHT,
                tempts=" ".join((inspect.getdoc(f) or "(left out by python -OO)").split()),
                seen_by=seen_by(name),
                thread=thread,
                f=f,
                plants=plants(f, forms, coupled),
            )
        )
        return f

    return enter


# ---- the mistakes --------------------------------------------------------------------------------


@mistake(
    "M01",
    "1/2 missing",
    wrong="log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k",
    thread="mingyuliutw/UNIT#42",
)
def half_missing(mean_q, cov_q, mean_p, cov_p):
    """The 1/2 stands in front of everything and carries no structure: without it the function is
    still zero at equality, never negative, additive and invariant.  And training works, as if with
    beta = 2.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return log_ratio + tr + quad - k


@mistake(
    "M02",
    "-k missing",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d )",
    thread="probml/pml2-book#297, valdersoul/bn-vae#4",
)
def dimension_missing(mean_q, cov_q, mean_p, cov_p):
    """A constant has no gradient, so training does not notice; 'it has no effect' is half true.
    But the ELBO is then k/2 too low, and no longer comparable with anybody's.
    """
    log_ratio, tr, quad, _ = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad)


@mistake(
    "M03",
    "-1 instead of -k",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - 1 )",
    thread="ericjang/draw#2, ericjang/draw#6",
)
def one_instead_of_dimension(mean_q, cov_q, mean_p, cov_p):
    """The one-dimensional formula ends in -1, and -1 is what stays when a sum over dimensions is
    taken of the other terms only.  Every test in one dimension passes.
    """
    log_ratio, tr, quad, _ = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad - 1)


@mistake(
    "M04",
    "+k instead of -k",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d + k )",
    thread="snousias/fast-mesh-denoising#1",
)
def dimension_added(mean_q, cov_q, mean_p, cov_p):
    """Papers print the negative, -KL = 1/2 sum(1 + log var - mu^2 - var), and turning its sign is
    done term by term.  The 1 is easily left behind.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad + k)


@mistake(
    "M05",
    "log-determinant inverted",
    wrong="1/2 ( log|Sq| - log|Sp| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="FluxML/model-zoo#147",
)
def logdet_inverted(mean_q, cov_q, mean_p, cov_p):
    """The trace has q above and p below; in the log-determinant it is the other way round, and
    symmetry tempts one to write both alike.  At equality both are zero.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (-log_ratio + tr + quad - k)


@mistake(
    "M06",
    "logarithm of a determinant that underflows",
    wrong="1/2 ( log( det(Sp) / det(Sq) ) + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="pints-team/pints#784, adavoudi/spdnet#1",
    forms=(),
)
def determinant_underflows(mean_q, cov_q, mean_p, cov_p):
    """It is the formula as printed, and right in every small test.  A determinant is a product of k
    numbers: 0.1 to the power of 400 is 0 in double precision, and 0 / 0 is not a number.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    with np.errstate(all="ignore"):
        log_ratio = np.log(np.linalg.det(cov_p) / np.linalg.det(cov_q))
    return 0.5 * (log_ratio + tr + quad - k)


@mistake(
    "M07",
    "logarithm of the whole bracket",
    wrong="1/2 log( |Sp| / |Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="udlbook/udlbook#184",
)
def log_of_bracket(mean_q, cov_q, mean_p, cov_p):
    """One bracket too far to the right: a textbook had it in print.  It is zero at equality, where
    the bracket is 1, and positive everywhere else: by the inequality of the arithmetic and the
    geometric mean the bracket is at least 1.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * np.log(np.exp(log_ratio) + tr + quad - k)


@mistake(
    "M08",
    "trace of Sq^-1 Sp",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sq^-1 Sp) + d' Sp^-1 d - k )",
    thread="wiseodd/generative-models#74",
)
def trace_inverted(mean_q, cov_q, mean_p, cov_p):
    """Which of the two is inverted?  The log-determinant has Sp above Sq, so the trace is written
    the same way.  It follows from E_q[(x - mp)' Sp^-1 (x - mp)]: the inverse belongs to p.  The
    thread asks for this trace, for distance-in-q and for a turned log-determinant, all at once.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + trace(inv(cov_q) @ cov_p) + quad - k)


@mistake(
    "M09",
    "distance measured with Sq^-1",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sq^-1 d - k )",
    thread="wiseodd/generative-models#74",
)
def distance_in_q(mean_q, cov_q, mean_p, cov_p):
    """The Mahalanobis distance is usually taken in the distribution one samples from, here q.  In
    KL(q || p) the point comes from q and the density from p: the ruler is Sp.  The thread asks
    for this distance together with trace-inverted.
    """
    log_ratio, tr, _, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quadratic(mean_q - mean_p, inv(cov_q)) - k)


@mistake(
    "M10",
    "arguments swapped",
    wrong="KL(p || q) = 1/2 ( log|Sq| - log|Sp| + tr(Sq^-1 Sp) + d' Sq^-1 d - k )",
    thread=(
        "kumar-shridhar/PyTorch-BayesianCNN#28, google-deepmind/rlax#14, psanch21/VAE-GMVAE#6, "
        "openai/spinningup#192, wiseodd/generative-models#74"
    ),
)
def swapped_arguments(mean_q, cov_q, mean_p, cov_p):
    """It is a KL, only the other one: zero at equality, never negative, invariant, additive, with
    the right curvature.  Nothing but a value from elsewhere can tell which of the two it is.
    """
    return right(mean_p, cov_p, mean_q, cov_q)


@mistake(
    "M11",
    "sign turned",
    wrong="-1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="dev4488/VAE_gumble_softmax#1, EderSantana/gumbel#3, AntixK/PyTorch-VAE#68",
)
def sign_turned(mean_q, cov_q, mean_p, cov_p):
    """The paper maximises the ELBO and prints -KL; code minimises a loss.  The formula is copied,
    the sign is not turned, and the optimiser runs q away from the prior.
    """
    return -right(mean_q, cov_q, mean_p, cov_p)


@mistake(
    "M12",
    "distance not squared",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + sqrt( d' Sp^-1 d ) - k )",
    thread="hoangnguyen7699/StatisticsForApplication_solution#2, "
    "hoxo-m/densratio#6, autowarefoundation/autoware_core#1464",
)
def distance_not_squared(mean_q, cov_q, mean_p, cov_p):
    """A library's `mahalanobis` or `norm` returns the distance, and the formula wants its square.
    At distance 0 and at distance 1 nobody sees the difference.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + np.sqrt(quad) - k)


@mistake(
    "M13",
    "distance without Sp^-1",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' d - k )",
    thread="deepinv/deepinv#157",
    forms=("diagonal",),
)
def distance_without_covariance(mean_q, cov_q, mean_p, cov_p):
    """Every VAE starts from p = N(0, I), where the term is mu'mu.  The general formula is grown out
    of that one, and the inverse is forgotten in one place.
    """
    log_ratio, tr, _, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quadratic(mean_q - mean_p, np.eye(k)) - k)


@mistake(
    "M14",
    "1/2 missing in front of the distance",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) - k ) + d' Sp^-1 d",
    thread="google-deepmind/torch-distributions#34, SupaeroDataScience/deep-learning#6",
)
def distance_doubled(mean_q, cov_q, mean_p, cov_p):
    """The formula is split over two lines, variances here, means there, and the 1/2 goes with the
    first.  All that concerns equal means is still right.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr - k) + quad


@mistake(
    "M15",
    "standard deviation of q in the trace",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq^1/2) + d' Sp^-1 d - k )",
    thread="pytorch/examples#225, alecGraves/BVAE-tf#4, DaehanKim/vgae_pytorch#2",
)
def std_in_trace(mean_q, cov_q, mean_p, cov_p):
    """N(m, s) means a variance in one book, a standard deviation in the next and in most libraries.
    With s = 1, as in the prior, both are the same.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    values, vectors = np.linalg.eigh(cov_q)
    root_q = (vectors * np.sqrt(values)[..., None, :]) @ transpose(vectors)
    return 0.5 * (log_ratio + trace(inv(cov_p) @ root_q) + quad - k)


@mistake(
    "M16",
    "log sigma of q where log sigma^2 belongs",
    wrong="1/2 ( log|Sp| - 1/2 log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread=(
        "KarenUllrich/Tutorial_BayesianCompressionForDL#1, "
        "KarenUllrich/Tutorial_BayesianCompressionForDL#8, "
        "pyg-team/pytorch_geometric#1368, rstudio/keras3#359"
    ),
)
def log_std_of_q(mean_q, cov_q, mean_p, cov_p):
    """The network's second head is called log_sigma, log_var or nothing at all, and the formula is
    copied from code with the other convention.  The factor 2 between them is lost on the way.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (logdet(cov_p) - 0.5 * logdet(cov_q) + tr + quad - k)


@mistake(
    "M17",
    "(log sigma)^2 instead of log sigma^2",
    wrong=("1/2 ( sum (log sigma_p)^2 - sum (log sigma_q)^2 + tr(Sp^-1 Sq) + d' Sp^-1 d - k )"),
    thread="FluxML/model-zoo#73, FluxML/model-zoo#76, FluxML/model-zoo#147",
)
def log_squared(mean_q, cov_q, mean_p, cov_p):
    """'Log sigma squared' can be read two ways, and code that squares everything else in the line
    squares the logarithm too.  One project repaired it twice before it was right.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    log_sigma_p, log_sigma_q = np.log(diag(cholesky(cov_p))), np.log(diag(cholesky(cov_q)))
    log_ratio = (log_sigma_p**2).sum(-1) - (log_sigma_q**2).sum(-1)
    return 0.5 * (log_ratio + tr + quad - k)


@mistake(
    "M18",
    "log-determinant of the diagonal only",
    wrong=("1/2 ( sum log diag(Sp) - sum log diag(Sq) + tr(Sp^-1 Sq) + d' Sp^-1 d - k )"),
    thread="resibots/limbo#8",
    forms=(),
)
def logdet_of_diagonal(mean_q, cov_q, mean_p, cov_p):
    """In a VAE the covariance is diagonal and log|S| is the sum of the logvars.  The line is kept
    when the covariance becomes full, and every test with diagonal matrices stays green.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    log_ratio = np.log(diag(cov_p)).sum(-1) - np.log(diag(cov_q)).sum(-1)
    return 0.5 * (log_ratio + tr + quad - k)


@mistake(
    "M19",
    "trace of a product as a product of traces",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1) tr(Sq) / k + d' Sp^-1 d - k )",
    thread="JuliaManifolds/Manifolds.jl#474",
    forms=("diagonal",),
)
def traces_multiplied(mean_q, cov_q, mean_p, cov_p):
    """Determinants multiply; traces do not, they are taken last.  With the 1/k put in 'to make it
    zero at equality' it is right whenever either matrix is a multiple of the identity, as the
    prior's always is.  The thread took the trace too early in a neighbouring formula: before the
    square root of a matrix, in the distance of two covariances.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + trace(inv(cov_p)) * trace(cov_q) / k + quad - k)


@mistake(
    "M20",
    "trace from the diagonals",
    wrong=("1/2 ( log|Sp| - log|Sq| + sum diag(Sq) / diag(Sp) + d' Sp^-1 d - k )"),
    thread="shogun-toolbox/shogun#4176, simondlevy/TinyEKF#26",
    forms=(),
)
def trace_of_diagonals(mean_q, cov_q, mean_p, cov_p):
    """A trace is a sum over the diagonal, so why multiply whole matrices?  Because the diagonal of
    an inverse is not the inverse of the diagonal, unless the matrix is diagonal.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + (diag(cov_q) / diag(cov_p)).sum(-1) + quad - k)


@mistake(
    "M21",
    "log-determinant from Cholesky without the factor 2",
    wrong=("1/2 ( sum log diag(Lp) - sum log diag(Lq) + tr(Sp^-1 Sq) + d' Sp^-1 d - k )"),
    thread="krasserm/bayesian-machine-learning#4",
)
def cholesky_without_two(mean_q, cov_q, mean_p, cov_p):
    """S = L L', so |S| = |L|^2 and log|S| = 2 sum log diag(L).  With the 1/2 in front of the
    bracket, the 2 looks as if it had already been cancelled.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    L_p, L_q = cholesky(cov_p), cholesky(cov_q)
    log_ratio = np.log(diag(L_p)).sum(-1) - np.log(diag(L_q)).sum(-1)
    return 0.5 * (log_ratio + tr + quad - k)


@mistake(
    "M22",
    "mean over the dimensions instead of the sum",
    wrong="1/(2k) ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread=(
        "maxhodak/keras-molecules#59, mkusner/grammarVAE#2, keras-team/keras#4538, "
        "keras-team/keras-io#270, fchollet/deep-learning-with-python-notebooks#120, "
        "podgorskiy/VAE#1"
    ),
)
def mean_over_dimensions(mean_q, cov_q, mean_p, cov_p):
    """Losses are means, says habit, and a mean does not change when the latent space grows.  But
    log-densities of independent coordinates add up.  In one dimension nobody can tell.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad - k) / k


@mistake(
    "M23",
    "Lp^-T instead of Lp^-1",
    wrong="1/2 ( log|Sp| - log|Sq| + ||Lp^-T Lq||^2 + d' Sp^-1 d - k )",
    thread="tidymodels/themis#237, GPflow/GPflow#1663, stan-dev/stan#2671",
    forms=(),
)
def transposed_factor(mean_q, cov_q, mean_p, cov_p):
    """tr(Sp^-1 Sq) = ||Lp^-1 Lq||^2, and a triangular solver has a flag for lower, upper and
    transposed.  For diagonal matrices all its settings give the same.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    whitened = inv(transpose(cholesky(cov_p))) @ cholesky(cov_q)
    return 0.5 * (log_ratio + (whitened**2).sum((-2, -1)) + quad - k)


@mistake(
    "M24",
    "only the diagonal of Lp^-1 Lq squared",
    wrong="1/2 ( log|Sp| - log|Sq| + sum diag(Lp^-1 Lq)^2 + d' Sp^-1 d - k )",
    thread="GPflow/GPflow#2130",
    forms=(),
)
def diagonal_of_factor(mean_q, cov_q, mean_p, cov_p):
    """A trace needs diagonals only, and Lp^-1 Lq is what one has at hand.  But the trace is that of
    the product with its transpose: the sum of the squares of all entries.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    whitened = inv(cholesky(cov_p)) @ cholesky(cov_q)
    return 0.5 * (log_ratio + (diag(whitened) ** 2).sum(-1) + quad - k)


@mistake(
    "M25",
    "0.01 added inside the logarithm",
    wrong=("1/2 ( log|Sp + 0.01 I| - log|Sq + 0.01 I| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )"),
    thread="snousias/fast-mesh-denoising#1",
)
def jitter_in_log(mean_q, cov_q, mean_p, cov_p):
    """log(0) has to be kept away, so something small is added.  It is added in one term and not in
    the others, and then a variance below it costs nothing more.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    jitter = 0.01 * np.eye(k)
    return 0.5 * (logdet(cov_p + jitter) - logdet(cov_q + jitter) + tr + quad - k)


@mistake(
    "M26",
    "symmetrised",
    wrong="1/2 ( KL(q || p) + KL(p || q) )",
    thread="Boyiliee/SITTA#4, soo89/CSD-SSD#11",
)
def symmetrised(mean_q, cov_q, mean_p, cov_p):
    """A distance ought to be symmetric, and the mean of both directions is in use, by the name of
    Jeffreys, whose divergence is their sum.  It is not what the evidence lower bound asks for.
    """
    forward, backward = right(mean_q, cov_q, mean_p, cov_p), right(mean_p, cov_p, mean_q, cov_q)
    return 0.5 * (forward + backward)


@mistake(
    "M27",
    "means left out",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) - k )",
    thread="ratschlab/SVGP-VAE#4",
)
def means_left_out(mean_q, cov_q, mean_p, cov_p):
    """It is the formula for two zero-mean Gaussians, as the chapter on Gaussian processes or on
    whitening prints it.  What is left is a KL still, of the centred variables.
    """
    log_ratio, tr, _, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr - k)


@mistake(
    "M28",
    "never below 0.1",
    wrong="max( KL(q || p), 0.1 )",
    thread="hardmaru/WorldModelsExperiments#8",
)
def floor_of_a_tenth(mean_q, cov_q, mean_p, cov_p):
    """'Free bits' are a known trick against a posterior that collapses.  As part of a loss it is a
    choice; inside the function called kl it is a wrong KL wherever q is near p.
    """
    return np.maximum(right(mean_q, cov_q, mean_p, cov_p), 0.1)


@mistake(
    "M29",
    "prior ignored: p taken for N(0, I)",
    wrong="1/2 ( -log|Sq| + tr(Sq) + mq' mq - k )",
    thread="wiseodd/generative-models#66",
    forms=("diagonal",),
)
def prior_ignored(mean_q, cov_q, mean_p, cov_p):
    """It is the VAE's formula, the one everybody knows by heart; the arguments of p are accepted
    and not used.  Against a standard normal every answer is right.
    """
    return right(mean_q, cov_q, 0 * mean_p, np.eye(mean_p.shape[-1]))


@mistake(
    "M30",
    "0.499 instead of 0.5",
    wrong="0.499 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="scalanlp/breeze#508, KorfLab/StochHMM#25",
)
def constant_mistyped(mean_q, cov_q, mean_p, cov_p):
    """A constant typed in short, or a single-precision step somewhere in the middle.  No eye sees
    two parts in a thousand, and neither does a Monte Carlo check with a wide error bar.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.499 * (log_ratio + tr + quad - k)


@mistake(
    "M31",
    "covariance where the mean belongs",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + tr(Sq Sp^-1 Sq) - k )",
    thread="ratschlab/SVGP-VAE#4",
)
def covariance_for_mean(mean_q, cov_q, mean_p, cov_p):
    """In a sparse Gaussian process mean and covariance are mu_hat and A_hat, one letter apart on
    the page, and both multiply K^-1.  The shapes fit, and the distance is a number.
    """
    log_ratio, tr, _, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + trace(cov_q @ inv(cov_p) @ cov_q) - k)


@mistake(
    "M32",
    "norm where the determinant belongs",
    wrong="1/2 ( log( ||Sp|| / ||Sq|| ) + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="BayesWatch/nas-without-training#18",
)
def norm_for_determinant(mean_q, cov_q, mean_p, cov_p):
    """Bars mean both: |S| is a determinant in one paper and a norm in the next, and `norm` is the
    function that a search finds.  In one dimension they agree.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    log_ratio = np.log(np.linalg.norm(cov_p, 2, axis=(-2, -1)))
    log_ratio = log_ratio - np.log(np.linalg.norm(cov_q, 2, axis=(-2, -1)))
    return 0.5 * (log_ratio + tr + quad - k)


@mistake(
    "M33",
    "-k inside the sum over the coordinates",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + d' Sp^-1 d - k^2 )",
    thread="Project-MONAI/GenerativeModels#501",
)
def dimension_in_each_coordinate(mean_q, cov_q, mean_p, cov_p):
    """The formula for vectors ends in -k, the one for a coordinate in -1.  Code that works by
    coordinate and sums at the end takes the -k along, and subtracts it k times.
    """
    log_ratio, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quad - k * k)


@mistake(
    "M34",
    "(log sigma)^2 where sigma^2 belongs",
    wrong="1/2 ( log|Sp| - log|Sq| + sum (log sigma_q)^2 / sigma_p^2 + d' Sp^-1 d - k )",
    thread="FluxML/model-zoo#73, pyg-team/pytorch_geometric#1368",
)
def squared_log_for_variance(mean_q, cov_q, mean_p, cov_p):
    """The head gives log sigma, the formula wants sigma^2, and the square is applied to what is at
    hand.  The exponential is left out; the line still ends in **2.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    log_sigma = 0.5 * np.log(diag(cov_q))
    return 0.5 * (log_ratio + (log_sigma**2 / diag(cov_p)).sum(-1) + quad - k)


@mistake(
    "M35",
    "variance squared: exp(logvar) taken for sigma",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq^2) + d' Sp^-1 d - k )",
    thread="KarenUllrich/Tutorial_BayesianCompressionForDL#1",
)
def variance_squared(mean_q, cov_q, mean_p, cov_p):
    """sigma = exp(logvar), and from there on the formula is right: sigma^2 - 1 - logvar.  But
    exp(logvar) is a variance already, and its square is its square.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + trace(inv(cov_p) @ cov_q @ cov_q) + quad - k)


def coordinates(mean_q, cov_q, mean_p, cov_p):
    """The KL of each coordinate by itself (..., k), and what they leave of KL(q || p)"""
    var_q, var_p = diag(cov_q), diag(cov_p)
    each = np.log(var_p / var_q) + var_q / var_p + (mean_q - mean_p) ** 2 / var_p - 1
    return 0.5 * each, right(mean_q, cov_q, mean_p, cov_p) - 0.5 * each.sum(-1)


@mistake(
    "M36",
    "free bits in each coordinate",
    wrong="sum over j of max( KL_j, 0.1 )",
    thread="hardmaru/WorldModelsExperiments#8",
)
def free_bits_each_coordinate(mean_q, cov_q, mean_p, cov_p):
    """A floor under each latent dimension keeps a few of them alive.  As a part of a loss it is a
    choice; under the name of KL it is k/10 nats where there are none, and has no gradient there.
    """
    each, rest = coordinates(mean_q, cov_q, mean_p, cov_p)
    return np.maximum(each, 0.1).sum(-1) + rest


@mistake(
    "M37",
    "free bits on the mean over the batch",
    wrong="sum over j of max( mean over the batch of KL_j, 0.1 )",
    thread="juliusfrost/dreamer-pytorch#75",
    coupled=True,
)
def free_bits_on_the_mean(mean_q, cov_q, mean_p, cov_p):
    """The floor is put under the mean over the batch, so that single examples may go below it.
    What is given for one example then depends on the others in its batch.
    """
    each, rest = coordinates(mean_q, cov_q, mean_p, cov_p)
    if each.ndim > 1:
        each = np.maximum(each.mean(0), 0.1) + 0 * each
    return np.maximum(each, 0.1).sum(-1) + rest


@mistake(
    "M38",
    "mean of q alone in the distance",
    wrong="1/2 ( log|Sp| - log|Sq| + tr(Sp^-1 Sq) + mq' Sp^-1 mq - k )",
    thread="NVlabs/NVAE#50, GlassyWing/nvae#17",
    forms=("diagonal",),
)
def residual_mean(mean_q, cov_q, mean_p, cov_p):
    """A hierarchical model lets the encoder give the difference to the prior's mean, and its KL has
    delta^2.  Taken over to an encoder that gives the mean itself, it forgets the prior's.
    """
    log_ratio, tr, _, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + tr + quadratic(mean_q, inv(cov_p)) - k)


def batch_size(mean):
    """The number of pairs in a batch; 1 for a pair alone"""
    return mean.shape[0] if mean.ndim > 1 else 1


@mistake(
    "M39",
    "averaged over the batch twice",
    wrong="1/B mean over the batch of KL",
    thread="tkipf/gae#72",
)
def averaged_twice(mean_q, cov_q, mean_p, cov_p):
    """`/ mu.size(0)` stands in front and `.mean()` behind, from two sources that were both right.
    The KL is then B times too small, like a beta that depends on the batch size.
    """
    return right(mean_q, cov_q, mean_p, cov_p) / batch_size(mean_q)


@mistake(
    "M40",
    "total of the batch in every row",
    wrong="in each row the sum over the batch of KL",
    thread="GlassyWing/nvae#3",
    coupled=True,
)
def total_in_every_row(mean_q, cov_q, mean_p, cov_p):
    """The sum has lost its axis, and its one number is added to a column of reconstruction terms:
    it is broadcast into each row.  A mean over the batch afterwards changes nothing.
    """
    each = right(mean_q, cov_q, mean_p, cov_p)
    return each if np.ndim(each) == 0 else np.full(each.shape, each.sum())


@mistake(
    "M41",
    "trace of the product of entries",
    wrong="1/2 ( log|Sp| - log|Sq| + sum_i (Sp^-1)_ii (Sq)_ii + d' Sp^-1 d - k )",
    thread="Gara-Dorta/tf_mvg#1",
    forms=(),
)
def elementwise_product_in_trace(mean_q, cov_q, mean_p, cov_p):
    """`trace(inv * cov)`: in NumPy and PyTorch the star multiplies entry by entry.  A trace needs
    the diagonal only, but that of the product of matrices.  Right for diagonal covariances.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + trace(inv(cov_p) * cov_q) + quad - k)


@mistake(
    "M42",
    "1e-8 added inside the logarithm",
    wrong="1/2 ( log|Sp + 1e-8 I| - log|Sq + 1e-8 I| + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="kasparmartens/NeuralProcesses#1",
)
def small_number_in_log(mean_q, cov_q, mean_p, cov_p):
    """It guards against log(0), and no test with ordinary numbers sees it.  A posterior that
    becomes narrow pays nothing any more below a standard deviation of 1e-4, and nothing holds it
    back.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    jitter = 1e-8 * np.eye(k)
    return 0.5 * (logdet(cov_p + jitter) - logdet(cov_q + jitter) + tr + quad - k)


@mistake(
    "M43",
    "log 2 pi where log sigma^2 belongs",
    wrong="1/2 ( -k log 2 pi + tr(Sp^-1 Sq) + d' Sp^-1 d - k )",
    thread="pluskid/Mocha.jl#117",
)
def log_two_pi(mean_q, cov_q, mean_p, cov_p):
    """The logarithm of a Gaussian density has log 2 pi in it, and a formula from memory puts it
    into the KL.  There the two normalisers differ by their determinants, and the 2 pi cancels.
    """
    _, tr, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (-k * np.log(2 * np.pi) + tr + quad - k)


@mistake(
    "M44",
    "bracket that closes late: sigma_q^2 is not divided",
    wrong="1/2 ( log|Sp| - log|Sq| + 2 tr(Sq) + d' Sp^-1 d - k )",
    thread="PacktPublishing/Deep-Reinforcement-Learning-Hands-On#17",
)
def bracket_in_the_ratio(mean_q, cov_q, mean_p, cov_p):
    """( s_q^2 + d^2 ) / ( 2 s_p^2 ) becomes ( s_q^2 + d^2 / ( 2 s_p^2 ) ): one bracket moves, and
    all of them still match.
    """
    log_ratio, _, quad, k = terms(mean_q, cov_q, mean_p, cov_p)
    return 0.5 * (log_ratio + 2 * trace(cov_q) + quad - k)


NAMES = {bug.name: bug for bug in BUGS}
OF_BATCHES = {"averaged-twice", "total-in-every-row"}  # right for one pair
