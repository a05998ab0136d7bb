"""The Bernoulli likelihood of black and white pixels, from logits, with its backward.

p(x|z) = prod_d  p_d^x_d (1 - p_d)^(1 - x_d)  with  p_d = sigmoid(logits_d).  A likelihood needs
x in {0, 1}.  For grey pixels the same formula is the cross-entropy, which is not -log p(x|z): the
continuous density that it suggests does not integrate to one.
"""

import math

import numpy as np

from tinyvae.arrays import ends_with, floats
from tinyvae.layers import sigmoid


def nll(logits, x):
    """Negative log-likelihood  -log p(x|z)  in nats, never negative for x in [0, 1].

        sum_d  log(1 + exp(logits_d)) - x_d logits_d

    Finite for every finite logit: exp never sees a positive number, and nothing is clipped.

    logits (..., D), x (D,) or (B, D)  ->  (...), summed over the pixels

    >>> print(nll(np.array([[0.0, 1e4, -1e4]]), np.array([[1.0, 1.0, 0.0]])))  # log 2
    [0.69314718]

    Raises ValueError where the shapes do not fit.
    """
    logits, x = floats(logits=logits, x=x)
    ends_with(x.shape, logits=logits)
    # log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|)); the large terms meet first, and cancel
    wrong = np.maximum(logits, 0) - x * logits
    return (wrong + np.log1p(np.exp(-np.abs(logits)))).sum(axis=-1)


def nll_backward(dnll, logits, x):
    """dnll (...)  ->  dlogits (..., D)"""
    # forward:  nll = sum_d softplus(logits_d) - x_d logits_d, and softplus' = sigmoid
    dnll, logits, x = floats(dnll=dnll, logits=logits, x=x)
    ends_with(x.shape, logits=logits)
    if dnll.shape != logits.shape[:-1]:
        raise ValueError(f"dnll has shape {dnll.shape}; logits {logits.shape} need one a row")
    return dnll[..., None] * (sigmoid(logits) - x)


def nll_and_slope(logits, x):
    """nll (B,) and its derivative by the logits, sigmoid(logits) - x (B, D), in one go.

    What `nll` and `nll_backward` compute, from one tanh where they need an exp, a log1p and another
    exp: with T = tanh(a / 2), sigmoid(a) = (1 + T) / 2 and

        log(1 + exp(a)) - x a  =  |a| / 2 + (1/2 - x) a + log 2 - log(1 + |T|)

    The last logarithm is taken of products of up to 64 factors in [1, 2), which cannot overflow.
    Half the time of the pair; equal to it to rounding, 1e-6 of the nll in float32.

    logits, x (B, D)  ->  nll (B,), slope (B, D).    Raises ValueError where the shapes do not fit.
    """
    logits, x = floats(logits=logits, x=x)
    ends_with(x.shape, logits=logits)
    T = np.tanh(0.5 * logits)
    half = 0.5 - x
    linear = 0.5 * np.abs(logits).sum(axis=-1) + np.einsum("...d,...d->...", half, logits)
    factors = 1 + np.abs(T)
    for _ in range(6):
        middle = factors.shape[-1] // 2
        if middle:
            factors[..., :middle] *= factors[..., -middle:]
            factors = factors[..., : factors.shape[-1] - middle]
    T *= 0.5
    T += half
    log_2 = logits.shape[-1] * math.log(2)
    return linear + (log_2 - np.log(factors).sum(axis=-1)), T
