"""The classic mistakes in the terms of the ELBO, each planted with the backward that matches it."""

import numpy as np

from tinyvae import bernoulli, vae
from tinyvae.classroom.museum.entry import Bug, entrance
from tinyvae.layers import sigmoid

right_nll, right_nll_backward = bernoulli.nll, bernoulli.nll_backward
right_loss, right_loss_and_grads = vae.VAE.loss, vae.VAE.loss_and_grads

BUGS: list[Bug] = []
enter = entrance(BUGS)


def likelihood(nll, nll_backward):
    """What a wrong -log p(x|z) replaces: the pair, and the fast function that does both."""

    def nll_and_slope(logits, x):
        recon = nll(logits, x)
        return recon, nll_backward(np.ones_like(recon), logits, x)

    return {
        "tinyvae.bernoulli:nll": nll,
        "tinyvae.bernoulli:nll_backward": nll_backward,
        "tinyvae.fast:nll_and_slope": nll_and_slope,
    }


def mean_over_pixels(logits, x):
    return right_nll(logits, x) / x.shape[-1]


def mean_over_pixels_backward(dnll, logits, x):
    return right_nll_backward(dnll, logits, x) / x.shape[-1]


enter(
    "A1",
    "mean-over-pixels",
    "reconstruction: mean over pixels, KL: sum over latents",
    "elbo",
    likelihood(mean_over_pixels, mean_over_pixels_backward),
    wrong="recon = 1/D sum_d [ softplus(a_d) - x_d a_d ]",
    right="recon = sum_d [ softplus(a_d) - x_d a_d ]",
    tempts="""A library's binary cross-entropy takes the mean by default, over everything. The KL
    then weighs D times too much, and the cheapest thing is to switch the latent space off: KL goes
    to 0 and every reconstruction is the average digit.""",
    seen_by="Showing every pixel twice: recon must double. Not by a gradient check.",
    thread="""pytorch/examples#234, pytorch/examples#290, pytorch/examples#294,
    keras-team/keras#6015, keras-team/keras#3383, y0ast/VAE-Torch#11, tensorflow/models#2243,
    AppliedDataSciencePartners/WorldModels#2""",
)


def kl_subtracted(self, x, eps, beta=1.0, wrt_x=False):
    return right_loss_and_grads(self, x, eps, -beta, wrt_x)


enter(
    "A5",
    "kl-subtracted",
    "KL subtracted from the loss",
    "elbo",
    {"tinyvae.vae:VAE.loss_and_grads": kl_subtracted},
    wrong="loss = mean(recon - kl)",
    right="loss = mean(recon + kl)",
    tempts="""ELBO = E log p(x|z) - KL has a minus, and so has -log p(x|z). The two get mixed up,
    and the loss is minimised by running away from the prior, as far as the numbers go.""",
    seen_by="""loss = mean(recon + beta kl), checked with a KL that is not zero; and the loss's
    bound. Not by a gradient check.""",
    thread="""EderSantana/gumbel#3, dev4488/VAE_gumble_softmax#1, wiseodd/generative-models#43""",
)


def no_binarize(x, rng):
    return x


enter(
    "A6",
    "grey-pixels",
    "cross-entropy of grey pixels taken for -log p(x|z)",
    "elbo",
    {"tinyvae.data:binarize": no_binarize},
    wrong="-sum [ x log p + (1 - x) log(1 - p) ],  x in [0, 1]",
    right="the same with x in {0, 1}",
    tempts="""The formula takes grey pixels without complaint, and most public examples feed them.
    But over [0, 1] its exponential does not integrate to one: it is no density, and what is
    reported as log p(x) is not comparable with anything.""",
    seen_by="""What `fit` shows the model: only zeros and ones. Not by a gradient check, nor by any
    test of the formula, which is right.""",
    thread="""pytorch/examples#460, pyro-ppl/pyro#529, Lightning-Universe/lightning-bolts#177,
    y0ast/VAE-TensorFlow#3""",
)


def log_std_kl(mu, logvar):
    return 0.5 * (mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar).sum(axis=-1)


def log_std_kl_backward(dkl, mu, logvar):
    return dkl[..., None] * mu, dkl[..., None] * (np.exp(2 * logvar) - 1)


enter(
    "A12",
    "two-conventions",
    "log sigma in the KL, log sigma^2 in the sampler",
    "elbo",
    {
        "tinyvae.gaussian:kl_to_standard_normal": log_std_kl,
        "tinyvae.gaussian:kl_to_standard_normal_backward": log_std_kl_backward,
    },
    wrong="KL = 1/2 sum [ mu^2 + exp(2 logvar) - 1 - 2 logvar ]",
    right="KL = 1/2 sum [ mu^2 + exp(logvar) - 1 - logvar ]",
    tempts="""Both conventions are common, each line is right in the code that it was taken from,
    and the variable's name says neither. Never negative, zero at q = p, and its gradient is
    right.""",
    seen_by="""Any exact value away from logvar = 0. Not by zero at equality, non-negativity, or a
    gradient check.""",
    thread="keras-team/keras#3283, rstudio/keras3#359, sutaoyu/IBMEA#2",
)


def overflowing_kl(mu, logvar):
    with np.errstate(over="ignore", invalid="ignore"):
        return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=-1)


enter(
    "A19",
    "overflow-to-nan",
    "exp(logvar) - logvar without a thought of overflow",
    "elbo",
    {"tinyvae.gaussian:kl_to_standard_normal": overflowing_kl},
    wrong="KL = 1/2 sum [ mu^2 + exp(logvar) - 1 - logvar ], as written",
    right="the same, by expm1(logvar) - logvar as one function; inf where it is infinite",
    tempts="""It is the formula. But inf - inf is not a number, and near logvar = 0 the difference
    of two nearly equal numbers is noise: in single precision the KL comes out negative.""",
    seen_by="""Values at infinite and at tiny logvar against many-digit arithmetic. Not by any test
    with ordinary numbers.""",
    thread="""vanderschaarlab/synthcity#331, pyg-team/pytorch_geometric#500,
    AppliedDataSciencePartners/WorldModels#9, AntixK/PyTorch-VAE#16""",
)


def log_of_sigmoid(logits, x):
    p = sigmoid(logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)


enter(
    "A20",
    "log-of-sigmoid",
    "sigmoid first, then the logarithm",
    "elbo",
    likelihood(log_of_sigmoid, right_nll_backward),
    wrong="-sum [ x log sigmoid(a) + (1 - x) log(1 - sigmoid(a)) ]",
    right="sum [ softplus(a) - x a ]",
    tempts="""The decoder is said to give probabilities, and the likelihood is written in
    probabilities. At a = 40 the probability is 1 in double precision (in single, at 17), and then
    log(1 - p) is minus infinity and 0 times that is not a number.""",
    seen_by="Logits of plus and minus ten thousand. Not by any test with ordinary logits.",
    thread="hwalsuklee/tensorflow-mnist-VAE#4, huggingface/candle#2561, keras-team/keras-core#196",
)


def clipped(logits, x):
    p = np.clip(sigmoid(logits), 1e-3, 1 - 1e-3)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)


def clipped_backward(dnll, logits, x):
    p = sigmoid(logits)
    return right_nll_backward(dnll, logits, x) * ((p > 1e-3) & (p < 1 - 1e-3))


enter(
    "A20b",
    "probabilities-clipped",
    "probabilities clipped before the logarithm",
    "elbo",
    likelihood(clipped, clipped_backward),
    wrong="p = clip(sigmoid(a), 0.001, 0.999)",
    right="sum [ softplus(a) - x a ], nothing clipped",
    tempts="""It cures the infinities of a logarithm of 0. It also forgives every confident error:
    the loss stops growing, and where it is clipped the gradient is zero and nothing is learnt.""",
    seen_by="""Exact values at large logits: the true one grows without end. Not by a gradient check
    away from the clip.""",
    thread="keras-team/keras#15249, tensorflow/tensorflow#41595, deeplearning4j/nd4j#2121",
)


def swapped_nll(logits, x):
    p, x = sigmoid(logits), np.clip(x, 1e-3, 1 - 1e-3)
    return -(p * np.log(x) + (1 - p) * np.log(1 - x)).sum(axis=-1)


def swapped_nll_backward(dnll, logits, x):
    p, x = sigmoid(logits), np.clip(x, 1e-3, 1 - 1e-3)
    return dnll[..., None] * p * (1 - p) * np.log((1 - x) / x)


enter(
    "A30",
    "target-as-prediction",
    "cross-entropy with prediction and target swapped",
    "elbo",
    likelihood(swapped_nll, swapped_nll_backward),
    wrong="-sum [ p log x + (1 - p) log(1 - x) ]",
    right="-sum [ x log p + (1 - x) log(1 - p) ]",
    tempts="""Libraries disagree about the order, (input, target) here and (y_true, y_pred) there,
    and both arguments have the same shape. Something is clipped, so that log 0 is nothing to fear,
    and the loss falls.""",
    seen_by="The likelihood of all pictures sums to one. Not by a gradient check, nor by shapes.",
    thread="autonomousvision/sledge#4",
)


def sigmoid_twice(logits, x):
    return right_nll(sigmoid(logits), x)


def sigmoid_twice_backward(dnll, logits, x):
    p = sigmoid(logits)
    return right_nll_backward(dnll, p, x) * p * (1 - p)


enter(
    "A31",
    "sigmoid-twice",
    "sigmoid in the decoder and again in the loss",
    "elbo",
    likelihood(sigmoid_twice, sigmoid_twice_backward),
    wrong="nll(sigmoid(a), x)",
    right="nll(a, x)",
    tempts="""A loss 'with logits' is handed probabilities. Everything runs; but probabilities read
    as logits lie between 0 and 1, so no pixel's mean can leave [0.5, 0.73] and black is
    impossible.""",
    seen_by="""Exact values, and the sum over all pictures' likelihood with the means that the
    decoder shows. Not by a gradient check.""",
    thread="lopuhin/kaggle-imet-2019#3, cvg/glue-factory#89, itakurah/focal-loss-pytorch#5",
)


def summed_over_batch(self, x, eps, beta=1.0, wrt_x=False):
    loss, recon, kl, grads = right_loss_and_grads(self, x, eps, beta, wrt_x)
    return loss * len(x), recon, kl, {name: g * len(x) for name, g in grads.items()}


enter(
    "A32",
    "summed-over-batch",
    "sum over the batch instead of the mean",
    "elbo",
    {"tinyvae.vae:VAE.loss_and_grads": summed_over_batch},
    wrong="loss = sum over the batch of (recon + kl)",
    right="loss = mean over the batch of (recon + kl)",
    tempts="""A `sum` without `axis` sums everything. Adam divides by the gradient's size, so
    training looks the same; the reported loss depends on the batch size, and with plain gradient
    descent so does the step.""",
    seen_by="Showing every example twice: the loss must not change. Not by a gradient check.",
    thread="tensorflow/models#2243, tensorflow/models#5049, keras-team/keras#4538",
)


def column_loss(self, x, eps, beta=1.0):
    recon, kl = right_loss(self, x, eps, beta)
    return recon[:, None], kl


def column_loss_and_grads(self, x, eps, beta=1.0, wrt_x=False):
    _, recon, kl, grads = right_loss_and_grads(self, x, eps, beta, wrt_x)
    return np.mean(recon[:, None] + beta * kl), recon[:, None], kl, grads


enter(
    "A32b",
    "column-plus-row",
    "(B, 1) + (B,) broadcast to (B, B)",
    "elbo",
    {"tinyvae.vae:VAE.loss": column_loss, "tinyvae.vae:VAE.loss_and_grads": column_loss_and_grads},
    wrong="recon (B, 1), kl (B,):  mean(recon + kl) over (B, B)",
    right="recon (B,), kl (B,)",
    tempts="""A `keepdims` left in. Every reconstruction is then paired with every KL, and the mean
    over all pairs is the right mean: loss and gradient are correct, by accident, until somebody
    looks at one example.""",
    seen_by="""An assertion on the shape. Not by any test of the mean, nor by a gradient check: all
    of them hold.""",
    thread="pytorch/pytorch#29698, pytorch/pytorch#34859",
)


def density_without_normaliser(x, mu, logvar):
    return -0.5 * ((x - mu) ** 2 * np.exp(-logvar) + np.log(2 * np.pi)).sum(axis=-1)


enter(
    "A33",
    "normaliser-missing",
    "Gaussian log-density without its log sigma",
    "elbo",
    {"tinyvae.gaussian:log_density_diagonal": density_without_normaliser},
    wrong="log N(x; mu, sigma^2) = -1/2 sum [ (x - mu)^2 / sigma^2 + log 2 pi ]",
    right="log N(x; mu, sigma^2) = -1/2 sum [ (x - mu)^2 / sigma^2 + log sigma^2 + log 2 pi ]",
    tempts="""With a fixed sigma it is a constant, and dropped. Where sigma is learnt, or where two
    densities are divided as in importance weights, it is half of the formula.""",
    seen_by="""The density integrates to one; any exact value with sigma other than 1. Not by tests
    at sigma = 1.""",
    thread="orybkin/sigma-vae-pytorch#6, orybkin/sigma-vae#1, JeremyCCHsu/vae-npvc#11",
)


def squared_error(logits, x):
    return ((sigmoid(logits) - x) ** 2).sum(axis=-1)


def squared_error_backward(dnll, logits, x):
    p = sigmoid(logits)
    return dnll[..., None] * 2 * (p - x) * p * (1 - p)


enter(
    "A33b",
    "squared-error",
    "squared error in the place of -log p(x|z)",
    "elbo",
    likelihood(squared_error, squared_error_backward),
    wrong="recon = ||x - x_hat||^2",
    right="recon = -log p(x|z);  with noise s: ||x - x_hat||^2 / (2 s^2) + D log s",
    tempts="""An autoencoder is trained with it, and the step from there to a VAE looks like adding
    a KL. But without its 1 / (2 s^2) a squared error is not in nats, and its weight against the KL
    is whatever the units of x make it.""",
    seen_by="The likelihood of all pictures sums to one. Not by a gradient check.",
    thread="orybkin/sigma-vae-pytorch#6, hwalsuklee/tensorflow-mnist-VAE#3",
)


def kl_to_itself(mu, logvar):
    return np.zeros_like(mu[..., 0])


def kl_to_itself_backward(dkl, mu, logvar):
    return np.zeros_like(mu), np.zeros_like(logvar)


enter(
    "A38",
    "kl-to-itself",
    "KL taken to q's own parameters instead of the prior's",
    "elbo",
    {
        "tinyvae.gaussian:kl_to_standard_normal": kl_to_itself,
        "tinyvae.gaussian:kl_to_standard_normal_backward": kl_to_itself_backward,
    },
    wrong="KL( q(z|x) || N(mu, exp(logvar)) ) = 0",
    right="KL( q(z|x) || N(0, I) )",
    tempts="""Two KLs live in one derivation: the gap, KL(q || p(z|x)), and the regulariser, KL(q ||
    p(z)). A comment that names the wrong one is common; code that follows it has to invent
    parameters for the posterior, and q's are at hand.""",
    seen_by="""Any value of the KL that is not zero; the ELBO identity. Not by zero at equality,
    non-negativity, or a gradient check.""",
    thread="wiseodd/generative-models#38, y0ast/VAE-Torch#8",
)


def kl_weight(beta_of):
    """VAE.loss_and_grads with another weight of the KL than it was asked for"""

    def loss_and_grads(self, x, eps, beta=1.0, wrt_x=False):
        return right_loss_and_grads(self, x, eps, beta_of(beta, len(x)), wrt_x)

    return loss_and_grads


enter(
    "A34",
    "kl-weighted-by-batch",
    "KL multiplied by batch size / data set size",
    "elbo",
    {"tinyvae.vae:VAE.loss_and_grads": kl_weight(lambda beta, batch: beta * batch / 1500)},
    wrong="loss = mean(recon + (M / N) kl)",
    right="loss = mean(recon + kl)",
    tempts="""Papers on minibatches have M / N in their formulas, to scale a sum over a batch up to
    the data set. There it multiplies both terms, or a KL of the weights; z's KL belongs to one
    example, as its reconstruction does.""",
    seen_by="At beta = 1 the loss is mean(recon + kl). Not by a gradient check.",
    thread="AntixK/PyTorch-VAE#11, AntixK/PyTorch-VAE#23, AntixK/PyTorch-VAE#40",
)
enter(
    "A34b",
    "beta-ignored",
    "beta accepted and not used",
    "elbo",
    {"tinyvae.vae:VAE.loss_and_grads": kl_weight(lambda beta, batch: 1.0)},
    wrong="loss = mean(recon + kl), whatever beta",
    right="loss = mean(recon + beta kl)",
    tempts="""An argument is passed through three functions and used in none. At its default, 1,
    nothing is wrong; a whole sweep over beta then shows that beta hardly matters.""",
    seen_by="loss = mean(recon + beta kl) at a beta other than 1. Not by any test at the default.",
    thread="AntixK/PyTorch-VAE#35, AntixK/PyTorch-VAE#56",
)
