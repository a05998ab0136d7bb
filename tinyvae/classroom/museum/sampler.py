"""The classic mistakes in drawing z ~ q(z|x).

Where a forward is wrong, the backward that matches it is planted with it, so that gradient checks
pass: they compare the two with each other, and neither with the mathematics.
"""

import numpy as np

from tinyvae import train
from tinyvae.classroom.museum.entry import Bug, entrance

right_draw = train._draw

BUGS: list[Bug] = []
enter = entrance(BUGS)


def std_is_exp_logvar(mu, logvar, eps):
    return mu + np.exp(logvar) * eps


def std_is_exp_logvar_backward(dz, logvar, eps):
    return dz, dz * eps * np.exp(logvar)


enter(
    "A3",
    "std-is-exp-logvar",
    "exp(logvar) as the standard deviation",
    "sampler",
    {
        "tinyvae.gaussian:reparameterize": std_is_exp_logvar,
        "tinyvae.gaussian:reparameterize_backward": std_is_exp_logvar_backward,
    },
    wrong="z = mu + exp(logvar) eps",
    right="z = mu + exp(logvar / 2) eps",
    tempts="""The network's second head is a logarithm, so an exp has to come. With the matching
    backward every gradient check passes, the loss falls and the pictures look right: the encoder
    learns to say half of what it means. But the KL still reads its logvar as a log-variance, so the
    two terms speak of two different q, and their sum is no bound.""",
    seen_by="""The moment test, var z = exp(logvar), and the ELBO identity. Not by any gradient
    check: forward and backward agree.""",
    thread="""keras-team/keras#3283, keras-team/keras#9970, keras-team/keras#9972,
    rachtsingh/ibp_vae#3, rishikksh20/vae_tacotron2#3, DeepTrackAI/DeepTrack2#170""",
)


def small_noise(mu, logvar, eps):
    return mu + np.exp(0.5 * logvar) * 0.1 * eps


def small_noise_backward(dz, logvar, eps):
    return dz, dz * 0.1 * eps * 0.5 * np.exp(0.5 * logvar)


enter(
    "A9",
    "noise-too-small",
    "noise of standard deviation 0.1",
    "sampler",
    {
        "tinyvae.gaussian:reparameterize": small_noise,
        "tinyvae.gaussian:reparameterize_backward": small_noise_backward,
    },
    wrong="z = mu + exp(logvar / 2) eps,  eps ~ N(0, 0.1^2)",
    right="z = mu + exp(logvar / 2) eps,  eps ~ N(0, 1)",
    tempts="""Reconstructions get sharper and the loss gets lower, so it looks like an improvement.
    It is one only because z no longer comes from the q that the KL pays for.""",
    seen_by="""The moment test, and the bound: the "ELBO" rises above log p(x). Not by a gradient
    check.""",
    thread="keras-team/keras#4211, AllenBeau/pFedBayes#1",
)


def uniform_draw(model, x, rng, binarize):
    x, eps = right_draw(model, x, rng, binarize)
    return x, rng.random(eps.shape, eps.dtype)


enter(
    "A10",
    "uniform-noise",
    "rand instead of randn",
    "sampler",
    {"tinyvae.train:_draw": uniform_draw},
    wrong="eps = rng.random(shape)",
    right="eps = rng.standard_normal(shape)",
    tempts="""One letter in many libraries, and everything runs. The noise is then never negative,
    half of it is a constant that mu learns to take off, and its variance is 1/12.""",
    seen_by="""The moments of the noise that `fit` draws. Not by a gradient check, nor by any test
    that brings its own eps.""",
    thread="dferendo/RecommendationSystem#3",
)


def frozen_draw(model, x, rng, binarize):
    x, eps = right_draw(model, x, rng, binarize)
    return x, np.random.default_rng(0).standard_normal(eps.shape, eps.dtype)


enter(
    "A8",
    "noise-drawn-once",
    "the same noise in every step",
    "sampler",
    {"tinyvae.train:_draw": frozen_draw},
    wrong="eps drawn once, before the loop",
    right="eps drawn afresh in every step",
    tempts="""Where the graph is built once and run many times, a random array made while building
    is a constant. A network large enough learns it by heart, and its loss falls further than it
    should; a small one hides the mistake.""",
    seen_by="Two steps of `fit` that get the same noise. Not by any test of a single step.",
    thread="ericjang/draw#2, ericjang/draw#15, Tim-Salzmann/l4casadi#32",
)


def noise_shared_by_batch(model, x, rng, binarize):
    x, eps = right_draw(model, x, rng, binarize)
    return x, np.repeat(eps[:1], len(eps), axis=0)


enter(
    "A37",
    "noise-shared-by-batch",
    "one eps for the whole batch",
    "sampler",
    {"tinyvae.train:_draw": noise_shared_by_batch},
    wrong="eps (Z,), broadcast to (B, Z)",
    right="eps (B, Z)",
    tempts="""Broadcasting makes a vector do for a matrix, and every mean stays right: the estimate
    of loss and gradient is still unbiased. Only its variance grows.""",
    seen_by="""The covariance between two rows of the noise. Not by any test of a mean: all of them
    hold.""",
    thread="freyavoiceai/FreyaTTS#4",
)


def noise_shared_by_latents(model, x, rng, binarize):
    x, eps = right_draw(model, x, rng, binarize)
    return x, np.repeat(eps[:, :1], eps.shape[1], axis=1)


enter(
    "A37b",
    "noise-shared-by-latents",
    "one eps for all latent dimensions",
    "sampler",
    {"tinyvae.train:_draw": noise_shared_by_latents},
    wrong="eps (B, 1), broadcast to (B, Z)",
    right="eps (B, Z)",
    tempts="""Each coordinate of z has the right mean and variance. But they move together, along a
    line, and the q that the KL knows has them independent.""",
    seen_by="""The covariance between two coordinates of the noise. Not by moments of one coordinate
    at a time, nor with one latent dimension.""",
    thread="""BioroboticsLab/IBA#17, quantumiracle/Popular-RL-Algorithms#11,
    vwxyzjn/cleanrl#500""",
)
