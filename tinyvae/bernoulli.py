"""The Bernoulli likelihood of black and white pixels, from logits, with its backward.

p(x|z) = prod_d  p_d^x_d (1 - p_d)^(1 - x_d)  with  p_d = sigmoid(logits_d).  A likelihood needs
x in {0, 1}.  For grey pixels the same formula is the cross-entropy, which is not -log p(x|z): the
continuous density that it suggests does not integrate to one.
"""

import numpy as np

from tinyvae.contracts import check_generator, takes_real
from tinyvae.layers import sigmoid


@takes_real(x="*b D", logits="... *b D")
def nll(logits, x):
    """Negative log-likelihood  -log p(x|z)  in nats, never negative for x in [0, 1].

        sum_d  log(1 + exp(logits_d)) - x_d logits_d

    Finite for finite logits, unless the sum itself overflows: exp never sees a positive number, and
    nothing is clipped.  The relative error is a few roundings, also where every pixel is sure and
    right.  An infinite logit gives inf or NaN.

    logits (..., D), x (D,) or (B, D)  ->  (...), summed over the pixels

    >>> print(nll([[0.0, 1e4, -1e4]], [[1.0, 1.0, 0.0]]))  # log 2
    [0.69314718]

    Raises ValueError where the shapes do not fit.
    """
    # log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|)),  and  max(a, 0) - x a = ([a > 0] - x) a
    linear_part = ((logits > 0) - x) * logits
    return (linear_part + np.log1p(np.exp(-np.abs(logits)))).sum(axis=-1)


@takes_real(x="*b D", logits="*s *b D", dnll="*s *b")
def nll_backward(dnll, logits, x):
    """dnll (...)  ->  dlogits (..., D), to an absolute error of one rounding of dnll

    >>> print(nll_backward([1.0], [[0.0, 0.0]], [[1.0, 0.0]]))
    [[-0.5  0.5]]
    """
    # forward:  nll = sum_d softplus(logits_d) - x_d logits_d, and softplus' = sigmoid
    return dnll[..., None] * (sigmoid(logits) - x)


def binarize(x, rng):
    """x_binary ~ Bernoulli(x): black-and-white pixels whose means are the grey ones.

    A pixel of exactly 0 or 1 stays what it is.  `rng` is a np.random.Generator.

    x, any shape, floats in [0, 1]  ->  the same shape and dtype, each element 0.0 or 1.0

    >>> binarize(np.array([0.0, 1.0]), np.random.default_rng(0))
    array([0., 1.])
    """
    check_generator(rng)
    x = np.asarray(x)
    if x.dtype.kind != "f" or not (x.min(initial=0) >= 0 and x.max(initial=1) <= 1):
        extent = f"values from {x.min():g} to {x.max():g}" if x.dtype.kind == "f" else x.dtype
        extent = str(extent).replace("values from nan to nan", "NaN")
        raise ValueError(f"x must hold floats in [0, 1] to be binarized, not {extent}")
    # float32 draws are cheaper, and as fine as the floats they are compared with.
    u = rng.random(x.shape, np.float64 if x.dtype.itemsize > 4 else np.float32)
    return (u < x).astype(x.dtype)  # 0 <= u < 1
