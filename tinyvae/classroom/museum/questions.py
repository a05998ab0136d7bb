"""The quiz's questions: short functions, some wrong, some only suspected to be.

Each was asked about in public, in the thread that is named; the code is written anew.
tests/classroom/test_quiz.py runs every one and compares its numbers with an oracle.
"""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Snippet:
    """One question of the quiz."""

    name: str  # "the-minus-in-front"
    claim: str  # what the code is meant to compute
    code: str
    right: bool
    because: str
    thread: str  # "owner/repo#number", comma-separated


SNIPPETS: list[Snippet] = []


def ask(name, claim, code, *, right, because, thread):
    code = textwrap.dedent(code).strip()
    because = " ".join(because.split())
    SNIPPETS.append(Snippet(name, claim, code, right, because, thread))


ask(
    "the-minus-in-front",
    "The loss to minimise: the mean of recon + KL( q(z|x) || N(0, I) ).",
    """
    def loss(recon, mu, logvar):
        kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
        return np.mean(recon + kl)
    """,
    right=True,
    because="""The paper prints -KL = 1/2 sum(1 + logvar - mu^2 - exp(logvar)), to be maximised. The
    minus in front turns it into KL, which a loss adds.""",
    thread="pytorch/examples#824, pytorch/examples#298",
)
ask(
    "the-second-head",
    "Draw z ~ N(mu, diag exp(logvar)).",
    """
    def sample(mu, logvar, eps):
        return mu + np.exp(logvar) * eps
    """,
    right=False,
    because="""exp(logvar) is the variance; the noise is scaled by the standard deviation,
    exp(logvar / 2). 'Its scale is irrelevant', said a maintainer, and the network does adapt: but
    then the KL is that of another q.""",
    thread="keras-team/keras#3283, keras-team/keras#9972",
)
ask(
    "factors-of-two",
    "KL( N(mu, sigma^2) || N(0, I) ) of each example, given log sigma.",
    """
    def kl(mu, log_sigma):
        return -0.5 * np.sum(1 + 2 * log_sigma - mu**2 - np.exp(2 * log_sigma), axis=1)
    """,
    right=True,
    because="""log sigma^2 = 2 log sigma, and exp(2 log sigma) = sigma^2. Both factors of 2 belong
    to a head that gives log sigma; with a head that gives log sigma^2 both would go.""",
    thread="fastforwardlabs/vae-tf#3",
)
ask(
    "mean-or-sum",
    "KL( N(mu, exp(logvar)) || N(0, I) ) of each example.",
    """
    def kl(mu, logvar):
        return -0.5 * np.mean(1 + logvar - mu**2 - np.exp(logvar), axis=-1)
    """,
    right=False,
    because="""Log-densities of independent coordinates add up, so the KL is a sum over the latent
    dimensions. Their mean is k times too small.""",
    thread="mkusner/grammarVAE#2, maxhodak/keras-molecules#59",
)
ask(
    "one-half-or-two",
    "KL( N(mu_q, sigma_q^2) || N(mu_p, sigma_p^2) ) in one dimension.",
    """
    def kl(mu_q, sigma_q, mu_p, sigma_p):
        squares = sigma_q**2 + (mu_q - mu_p) ** 2
        return np.log(sigma_p) - np.log(sigma_q) + squares / (2 * sigma_p**2) - 0.5
    """,
    right=True,
    because="""There is no 1/2 in front because each term has its own already: log sigma is half of
    log sigma^2, and the 2 stands in the denominator.""",
    thread="XMUDeepLIT/VNMT#5",
)
ask(
    "pixels-and-latents",
    "Minus the ELBO of each example, from logits (B, D) and mu, logvar (B, Z).",
    """
    def minus_elbo(logits, x, mu, logvar):
        recon = np.mean(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)
        return recon + kl
    """,
    right=False,
    because="""The mean over pixels makes recon D times too small against the KL. Both must be sums:
    over pixels and over latent dimensions. Trained like this, the KL goes to zero and all
    reconstructions look alike.""",
    thread="pytorch/examples#234, pytorch/examples#290",
)
ask(
    "half-a-difference-of-logvars",
    "KL( N(mu_q, exp(logvar_q)) || N(mu_p, exp(logvar_p)) ) in one dimension.",
    """
    def kl(mu_q, logvar_q, mu_p, logvar_p):
        return 0.5 * (
            -1 + logvar_p - logvar_q
            + np.exp(logvar_q - logvar_p)
            + (mu_q - mu_p) ** 2 * np.exp(-logvar_p)
        )
    """,
    right=True,
    because="""The difference of the log-variances needs no factor 2: it is 2 (log sigma_p - log
    sigma_q), and the 1/2 outside is that of the formula.""",
    thread="openai/improved-diffusion#119",
)
ask(
    "log-sigma-squared",
    "KL( N(mu, sigma^2) || N(0, I) ) of each example, given log sigma.",
    """
    def kl(mu, log_sigma):
        return 0.5 * np.sum(np.exp(2 * log_sigma) + mu**2 - 1 - log_sigma**2, axis=1)
    """,
    right=False,
    because="""The term is log(sigma^2) = 2 log sigma, not (log sigma)^2. The first repair of this
    one got the sign wrong; it took two.""",
    thread="FluxML/model-zoo#73, FluxML/model-zoo#76, FluxML/model-zoo#147",
)
ask(
    "cost-minus-term",
    "The cost to minimise: recon + KL( N(mu, sigma^2) || N(0, I) ), given log sigma.",
    """
    def cost(recon, mu, log_sigma):
        cost = recon
        term = 0.5 * np.sum(1 + 2 * log_sigma - mu**2 - np.exp(log_sigma) ** 2, axis=1)
        return cost - term
    """,
    right=True,
    because="""The term is minus the KL, so subtracting it adds the KL. It is called KL in the code
    that was asked about, which is what misled.""",
    thread="tkipf/gae#72",
)
ask(
    "where-the-bracket-ends",
    "KL of two Gaussians with full covariances.",
    """
    def kl(mean_q, cov_q, mean_p, cov_p):
        d, precision = mean_q - mean_p, np.linalg.inv(cov_p)
        ratio = np.linalg.det(cov_p) / np.linalg.det(cov_q)
        return 0.5 * np.log(ratio + np.trace(precision @ cov_q) + d @ precision @ d - len(d))
    """,
    right=False,
    because="""The logarithm is of the determinants' ratio alone. It is zero at q = p and positive
    elsewhere all the same. A textbook had it in print.""",
    thread="udlbook/udlbook#184",
)
ask(
    "squares-in-the-trace",
    "KL( N(mu, diag sd^2) || N(0, I) ) of each example, given log sd.",
    """
    def kl(mu, log_sd):
        sd = np.exp(log_sd)
        return np.sum(0.5 * mu**2 + 0.5 * sd * sd - log_sd - 0.5, axis=1)
    """,
    right=True,
    because="""The trace is that of the covariance, whose diagonal holds the squares of the standard
    deviations. And 1/2 log sd^2 = log sd: no 1/2 there.""",
    thread="cdoersch/vae_tutorial#4, cdoersch/vae_tutorial#8",
)
ask(
    "which-way-round",
    "KL( q || p ), q = N(mu_q, exp(logvar_q)), p = N(mu_p, exp(logvar_p)), one dimension.",
    """
    def kl(mu_q, logvar_q, mu_p, logvar_p):
        ratio = np.exp(logvar_p - logvar_q)
        return 0.5 * (ratio - 1 - np.log(ratio) + (mu_q - mu_p) ** 2 / np.exp(logvar_q))
    """,
    right=False,
    because="""It is KL( p || q ). What is divided by is the second argument's variance,
    exp(logvar_p). Zero at equality, never negative, invariant, additive: only a value from
    elsewhere shows it.""",
    thread="kumar-shridhar/PyTorch-BayesianCNN#28, google-deepmind/rlax#14",
)
ask(
    "sum-of-all-squares",
    "The trace of cov_p^-1 cov_q.",
    """
    def trace(cov_q, cov_p):
        L_q, L_p = np.linalg.cholesky(cov_q), np.linalg.cholesky(cov_p)
        return np.sum(np.linalg.solve(L_p, L_q) ** 2)
    """,
    right=True,
    because="""With A = L_p^-1 L_q the trace is tr(A A') = the sum of the squares of all entries of
    A, not only of its diagonal.""",
    thread="GPflow/GPflow#2130",
)
ask(
    "target-first",
    "-log p(x) of black and white pixels x whose means are x_hat.",
    """
    def cross_entropy(x_hat, x):
        a, b = np.clip(x, 1e-6, 1 - 1e-6), x_hat
        return -np.sum(b * np.log(a) + (1 - b) * np.log(1 - a), axis=1)
    """,
    right=False,
    because="""The logarithm must be of the means and the weights must be the pixels. Here they are
    swapped; the clip keeps log(0) from giving it away.""",
    thread="autonomousvision/sledge#4",
)
ask(
    "no-half-on-the-logarithm",
    "log N(x; mean, cov) by a Cholesky factor.",
    """
    def log_density(x, mean, cov):
        L = np.linalg.cholesky(cov)
        a = np.linalg.solve(L, x - mean)
        return -0.5 * a @ a - np.sum(np.log(np.diag(L))) - 0.5 * len(x) * np.log(2 * np.pi)
    """,
    right=True,
    because="""1/2 log |cov| = 1/2 log |L|^2 = log |L|, and a triangular determinant is the product
    of its diagonal: the 1/2 is used up.""",
    thread="GPflow/GPflow#1680, krasserm/bayesian-machine-learning#4",
)
ask(
    "one-sigmoid-more",
    "-log p(x) of black and white pixels, given the decoder's logits.",
    """
    def nll(logits, x):
        x_hat = 1 / (1 + np.exp(-logits))
        return np.sum(np.logaddexp(0, x_hat) - x * x_hat, axis=1)
    """,
    right=False,
    because="""softplus(a) - x a wants a logit for a and applies the sigmoid itself. Given a mean it
    applies it a second time: no pixel can then have a mean below 0.5 or above 0.73.""",
    thread="lopuhin/kaggle-imet-2019#3, cvg/glue-factory#89",
)
ask(
    "which-random",
    "Draw z ~ N(mu, diag exp(logvar)).",
    """
    def sample(mu, logvar, rng):
        std = np.exp(0.5 * logvar)
        eps = rng.standard_normal(std.shape)
        return mu + eps * std
    """,
    right=True,
    because="""`standard_normal`, elsewhere `randn`, draws from N(0, 1). Its neighbour in the
    manual, `random` or `rand`, draws from [0, 1).""",
    thread="timbmg/VAE-CVAE-MNIST#7, pytorch/examples#592",
)
ask(
    "which-random-now",
    "Draw z ~ N(mu, diag exp(logvar)).",
    """
    def sample(mu, logvar, rng):
        std = np.exp(0.5 * logvar)
        eps = rng.random(std.shape)
        return mu + eps * std
    """,
    right=False,
    because="""`random` draws from [0, 1): a mean of 1/2 and a variance of 1/12, where 0 and 1 are
    meant.""",
    thread="dferendo/RecommendationSystem#3",
)
ask(
    "kl-at-a-sample",
    "An unbiased estimate of KL( N(mu, diag std^2) || N(0, I) ) for each example.",
    """
    def kl_estimate(mu, std, rng):
        z = mu + std * rng.standard_normal(mu.shape)
        log_q = -0.5 * ((z - mu) / std) ** 2 - np.log(std)
        log_p = -0.5 * z**2
        return np.sum(log_q - log_p, axis=1)
    """,
    right=True,
    because="""KL is the expectation of log q - log p under q; one sample is an unbiased estimate,
    and log 2 pi cancels. It may come out negative, and the closed form usually has less
    variance.""",
    thread="Lightning-Universe/lightning-bolts#565",
)
ask(
    "importance-weights",
    "The importance-weighted bound on log p(x) from S log-weights.",
    """
    def bound(log_w):
        return np.mean(log_w)
    """,
    right=False,
    because="""The mean belongs inside the logarithm: log( 1/S sum w ). The mean of the logs is the
    ELBO for any S and never gets tighter.""",
    thread="arahuja/generative-tf#1",
)
ask(
    "where-is-the-variance-of-q",
    "An unbiased estimate of KL( N(m_q, s_q^2) || N(m_p, s_p^2) ), given z ~ q.",
    """
    def kl_estimate(z, log_s_q, m_p, log_s_p):
        kl = log_s_p - log_s_q - 0.5
        return kl + 0.5 * (z - m_p) ** 2 * np.exp(-2 * log_s_p)
    """,
    right=True,
    because="""E (z - m_p)^2 = s_q^2 + (m_q - m_p)^2, so s_q^2 is in there, on average. The code in
    question needs it so, because its p is not Gaussian in the end.""",
    thread="jaywalnut310/vits#6, jaywalnut310/vits#155",
)
ask(
    "logsumexp",
    "The importance-weighted bound on log p(x) from S log-weights.",
    """
    def bound(log_w):
        top = log_w.max()
        return top + np.log(np.sum(np.exp(log_w - top)))
    """,
    right=False,
    because="""A mean was wanted, and this is a sum: - log S is missing. With 1000 samples the
    answer is 6.9 nats too good to be true.""",
    thread="lucidrains/logavgexp-torch#3, YosefLab/scVI-dev#8",
)
ask(
    "zeros-for-the-prior",
    "KL( N(mu, exp(logvar)) || N(0, I) ) of each example, by the general formula.",
    """
    def kl(mu, logvar):
        prior_mu, prior_logvar = np.zeros_like(mu), np.zeros_like(logvar)
        d = logvar - prior_logvar
        distance = (mu - prior_mu) ** 2 / np.exp(prior_logvar)
        return 0.5 * np.sum(np.exp(d) - 1 - d + distance, axis=1)
    """,
    right=True,
    because="""A standard normal has the variance 1, and log 1 = 0.""",
    thread="wyu-du/GP-VAE#10",
)
ask(
    "minus-one",
    "KL( N(mu, exp(logvar)) || N(0, I) ) of each example.",
    """
    def kl(mu, logvar):
        return 0.5 * (np.sum(mu**2 + np.exp(logvar) - logvar, axis=1) - 1)
    """,
    right=False,
    because="""There is one -1 for each latent dimension, so they belong inside the sum. In one
    dimension it is right, which is where it was tested.""",
    thread="ericjang/draw#2, ericjang/draw#6",
)
ask(
    "minus-dimension",
    "KL( N(mu, exp(logvar)) || N(0, I) ) of each example.",
    """
    def kl(mu, logvar):
        z_dim = mu.shape[1]
        return 0.5 * (np.sum(np.exp(logvar) - logvar + mu**2, axis=1) - z_dim)
    """,
    right=True,
    because="""Summing -1 over the latent dimensions gives -z_dim, written here after the sum.""",
    thread="paruby/FactorVAE#1",
)
ask(
    "one-pair-of-parentheses",
    "KL( N(mu_q, exp(logvar_q)) || N(mu_p, exp(logvar_p)) ) in one dimension.",
    """
    def kl(mu_q, logvar_q, mu_p, logvar_p):
        d = logvar_q - logvar_p
        return 0.5 * ((np.exp(d) + (mu_q - mu_p) ** 2) / np.exp(logvar_p) - 1.0 - d)
    """,
    right=False,
    because="""exp(d) is the ratio of the variances and has been divided by p's already; the
    parentheses divide it once more. Only the squared distance is to be divided.""",
    thread="wassname/attentive-neural-processes#5",
)
ask(
    "just-the-means",
    "KL( N(mu_q, I) || N(mu_p, I) ) of each example.",
    """
    def kl(mu_q, mu_p):
        return 0.5 * np.sum((mu_q - mu_p) ** 2, axis=1)
    """,
    right=True,
    because="""With both covariances the identity, log-determinant and trace cancel with -k, and
    half the squared distance of the means is left.""",
    thread="CompVis/vunet#4",
)
ask(
    "an-error-in-nats",
    "-log N(x; x_hat, sigma^2 I) of each example, sigma a parameter that is learnt.",
    """
    def nll(x, x_hat, log_sigma):
        D = x.shape[1]
        error = np.sum((x - x_hat) ** 2, axis=1) / (2 * np.exp(2 * log_sigma))
        return error + 0.5 * D * np.log(2 * np.pi)
    """,
    right=False,
    because="""D log sigma is missing. Without it sigma grows without end: nothing charges for being
    vague.""",
    thread="orybkin/sigma-vae-pytorch#6",
)
ask(
    "which-mean-first",
    "KL of two Gaussians with full covariances, KL( q || p ).",
    """
    def kl(mean_q, cov_q, mean_p, cov_p):
        d, precision = mean_p - mean_q, np.linalg.inv(cov_p)
        log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
        return 0.5 * (log_ratio + np.trace(precision @ cov_q) + d @ precision @ d - len(d))
    """,
    right=True,
    because="""The means enter through their difference alone, and its sign is squared away. q's
    mean is in there.""",
    thread="JuliaStats/Distributions.jl#1478",
)
ask(
    "the-inner-derivative",
    "The gradient of the loss by logvar, for z = mu + exp(logvar / 2) eps, given dz.",
    """
    def dlogvar(dz, logvar, eps):
        return dz * eps * np.exp(0.5 * logvar)
    """,
    right=False,
    because="""The derivative of exp(logvar / 2) is exp(logvar / 2) / 2: the inner derivative is
    missing. Training still converges, to another width of q.""",
    thread="y0ast/VAE-Torch#13, y0ast/VAE-Torch#5",
)
