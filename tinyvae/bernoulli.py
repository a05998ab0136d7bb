"""The Bernoulli likelihood of black and white pixels, from logits, with its backward.

p(x|z) = prod_d  p_d^x_d (1 - p_d)^(1 - x_d)  with  p_d = sigmoid(logits_d).  A likelihood needs
x in {0, 1}.  For grey pixels the same formula is the cross-entropy, which is not -log p(x|z): the
continuous density that it suggests does not integrate to one.
"""

import numpy as np

from tinyvae.contracts import takes_real
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
