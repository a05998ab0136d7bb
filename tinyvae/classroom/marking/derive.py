"""What the functions of an exercise compute, in words: the docstrings of `--kind derive`.

Shapes and examples come from the written exercise. A function without a text here has a docstring
there that says what is meant and not how: it is kept.
"""

WORDS = {
    (1, "probability"): """How probable a piece of news is, over all topics that it may have.
    Given its topic, each word is there or not, independently of the others.""",
    (1, "log_likelihood"): """What training maximises, in nats: how probable the whole training
    set is, on a logarithmic scale. Its pieces of news are independent.""",
    (1, "ring"): """A map that makes a ring of a cloud: each point keeps its direction, and its
    distance from the origin becomes 1 more than a tenth of what it was.""",
    (2, "log_mean_exp"): """The logarithm of a mean, of numbers that are known by their
    logarithms, without overflow or underflow.""",
    (2, "log_density"): """The logarithm of the density of a Gaussian with independent dimensions,
    in nats, at S points. The variances are given by their logarithms.""",
    (2, "log_px"): """The importance-weighted estimate of log p(x), in nats: an integral over z,
    estimated from S draws of q(z|x) in the place of the prior. Nothing may underflow.""",
    (3, "recon"): """How many nats the decoder pays for black and white pixels, each white with a
    probability that it gives as a logit, log( p / (1 - p) ). Large logits do not overflow.""",
    (3, "kl"): """The KL divergence from q(z|x) to the prior, in nats; q is a Gaussian with
    independent dimensions, its variances given by their logarithms, and the prior is N(0, I).
    Start from the expectation of log q - log p under q.""",
    (3, "elbo"): """The lower bound on log p(x), in nats, with one draw of z: logits is what the
    decoder makes of it. Take log p(x, z) - log q(z|x), and its expectation where you have it.""",
    (3, "gap"): """By how much the bound misses log p(x), in nats, for one x and K topics z.
    Derive it: log p(x) minus the expectation of log p(x, z) - log q(z) is itself a divergence.""",
    (4, "kl_to_standard_normal"): """KL(q || p) in nats, q a Gaussian with independent dimensions
    and variances exp(logvar), p the standard normal. Take the expectation of log q - log p.""",
    (4, "kl_diagonal"): """KL(q || p) in nats of two Gaussians with independent dimensions,
    variances given by their logarithms. One dimension first; why may the others be added?""",
    (4, "kl"): """KL(q || p) in nats of two Gaussians with any covariances. The expectation of a
    quadratic form is a trace. A determinant of many dimensions overflows or underflows:
    np.linalg.slogdet gives its logarithm.""",
    (5, "reparameterize"): """A draw from the Gaussian with these means and with variances
    exp(logvar), as a function of the noise eps, which is standard normal.""",
    (5, "reparameterize_backward"): """The derivatives of a loss by mu and logvar, given its
    derivative by the draw z that `reparameterize` makes of them: the chain rule.""",
    (5, "score_gradient"): """The other way to the derivative of E f(z) by mu, which needs no
    derivative of f: one estimate for each draw, z from the Gaussian with variances exp(logvar).
    Write the expectation as an integral, and take the derivative under it.""",
    (6, "linear"): """An affine map of each row.""",
    (6, "linear_backward"): """The derivatives of a loss by all that the affine map was given,
    from that by its result. One row first: y_o is a sum over i.""",
    (6, "tanh"): """The hyperbolic tangent, elementwise, for arguments of any size.""",
    (6, "tanh_backward"): """The derivative by the argument of tanh, from that by its result;
    the slope of tanh is a function of its value.""",
    (6, "nll"): """-log p(x|z) in nats, black and white pixels, each white with the probability
    whose logit is given; see exercise 3.""",
    (6, "nll_backward"): """The derivative of a loss by the logits, from that by `nll`. The
    slope is simple: it tells the pixel from what was expected of it.""",
    (6, "kl_backward"): """The derivatives by mu and logvar, from that by KL( q || N(0, I) ), with
    q the Gaussian with means mu and variances exp(logvar), a KL for each row.""",
    (7, "loss"): """What training minimises, in nats: a mean over the batch, of what the pixels
    cost and of the KL, which weighs beta.""",
    (7, "q_backward"): """The derivatives by mu and logvar, which are used twice: by the draw z,
    from the noise eps, and by the KL to N(0, I). What each use says is given.""",
    (7, "adam_step"): """One step of Adam (Kingma and Ba, 2015), elementwise: running means m and v
    of the derivative and of its square, both corrected for their start at 0; the step is rate
    times the first over the root of the second, to which tiny is added.""",
    (8, "autoencoder_loss"): """The loss of an autoencoder, in nats: what is left of the VAE's,
    its mean over the batch, where there is no KL. The pixels are black and white.""",
    (8, "aggregate_moments"): """Where the codes of a whole data set lie: mean and covariance of
    z from q(z|x_n), a Gaussian with variances exp(logvar_n), with each row n as likely.""",
    (8, "kl_of_moments"): """How far the codes are from what `generate` draws, in nats: the KL from
    the Gaussian with these moments to N(0, I).""",
    (9, "log_weights"): """The logarithms of the importance weights p(x, z) / q(z|x) of S draws, in
    nats, recon = -log p(x|z). mu is not given: log q(z|x) follows from the noise.""",
    (11, "continuous_bernoulli_nll"): """-log p(x|z) in nats where the density of a pixel is an
    exponential of x on [0, 1], with the logit as its rate. Derive what normalises it, and mind
    what happens to it at a logit of 0.""",
    (11, "continuous_bernoulli_nll_backward"): """The derivative by the logits, from that by the
    nll: what normalises an exponential family knows its mean.""",
    (13, "elbo_gradient"): """The exact derivative of the expectation of f under q by the logits a
    of which q is the softmax, with f held fixed.""",
    (13, "score_gradient"): """The same gradient, estimated from one draw at a time by the score of
    q = softmax(a), with a baseline that leaves the expectation as it is.""",
}
