"""A latent variable that is a class: everything exact by a sum, and the estimates that avoid it.

    p(z = k) = 1/K,    q(z = k|x) = softmax(a)_k,    p(x|z = k) = Bernoulli(sigmoid(logits_k))

K classes, a (B, K) the encoder's output, a class as a row of the identity, one-hot.
Sources: Williams, 1992 (score function); Jang, Gu and Poole, 2017; Maddison, Mnih and Teh, 2017
(Gumbel-softmax); Bengio, Leonard and Courville, 2013 (straight-through); Kingma, Rezende, Mohamed
and Welling, 2014 (labels for some of the data).
"""

import numpy as np

from tinyvae.layers import linear, linear_backward, sigmoid


def softmax(a):
    """exp(a_k) / sum_j exp(a_j).    a (..., K)  ->  q (..., K), which adds up to 1

    >>> print(softmax(np.log([1.0, 3.0])))
    [0.25 0.75]
    """
    e = np.exp(a - a.max(axis=-1, keepdims=True).real)  # the same for every shift of a
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dq, q):
    """dq, q (..., K)  ->  da (..., K);  q is the output of the forward."""
    # forward:  q_k = exp(a_k) / sum_j exp(a_j), so dq_k/da_j = q_k ([j = k] - q_j)
    return q * (dq - (dq * q).sum(axis=-1, keepdims=True))


def kl_to_uniform(q):
    """KL(q || uniform) = log K + sum_k q_k log q_k in nats, in [0, log K].    q (..., K)  ->  (...)

    >>> print(kl_to_uniform(np.array([1.0, 0.0])))  # log 2: the class is known
    0.6931471805599453
    """
    return np.log(q.shape[-1]) + (q * _log(q)).sum(axis=-1)


def kl_to_uniform_backward(dkl, q):
    """dkl (...)  ->  dq (..., K)"""
    # forward:  kl = log K + sum_k q_k log q_k
    return dkl[..., None] * (_log(q) + 1)


def _log(q):
    return np.log(np.where(q == 0, 1, q))  # 0 log 0 = 0


def nll_each(x, W, b):
    """-log p(x|z = k) in nats, for every class.    x (B, D), W (K, D), b (D,)  ->  (B, K)

    The logits of class k are W_k + b.
    """
    logits = W + b  # (K, D)
    return np.logaddexp(0, logits).sum(axis=-1) - x @ logits.T


def nll_each_backward(dnll, x, W, b):
    """dnll (B, K)  ->  dW (K, D), db (D,);  x is data."""
    # forward:  nll_bk = sum_d softplus(W_kd + b_d) - x_bd (W_kd + b_d)
    dW = dnll.sum(axis=0)[:, None] * sigmoid(W + b) - dnll.T @ x
    return dW, dW.sum(axis=0)


# ---- gradients by draws --------------------------------------------------------------------------


def score_gradient(f, z, q, baseline=0.0):
    """(f(z) - baseline) d log q(z) / da: right on average, for every baseline that knows no z.

    f (...) the value at the draw, z (..., K) one-hot, q (..., K)  ->  (..., K)
    """
    return (f - baseline)[..., None] * (z - q)  # d log softmax(a)_k / da = e_k - q


def gumbel_softmax(a, gumbel, temperature):
    """y = softmax((a + g) / t): a draw from q made soft, a smooth function of a and the noise.

    For t -> 0 it is one-hot, with class k as often as q_k says.  ``gumbel`` = -log(-log u), u
    uniform, is an argument.    a, gumbel (..., K), temperature > 0  ->  y (..., K)
    """
    return softmax((a + gumbel) / temperature)


def gumbel_softmax_backward(dy, y, temperature):
    """dy, y (..., K)  ->  da (..., K)"""
    # forward:  y = softmax((a + g) / t)
    return softmax_backward(dy, y) / temperature


# ---- the model -----------------------------------------------------------------------------------


class ClassVAE:
    """A VAE whose z is one of K classes, made by `ClassVAE.create`; `tinyvae.fit` trains it.

    Its loss is the exact one: the sum over the classes, no draw.  ``params``: "encoder.W" (D, K),
    "encoder.b" (K,), "decoder.W" (K, D), "decoder.b" (D,).
    """

    latent_dim = 1  # of the noise that `fit` draws, and nobody needs

    def __init__(self, params):
        self.params = params

    @classmethod
    def create(cls, data_dim, classes, *, rng, scale=0.1):
        """A new model with weights ~ N(0, scale^2)."""
        return cls({
            "encoder.W": scale * rng.standard_normal((data_dim, classes)),
            "encoder.b": np.zeros(classes),
            "decoder.W": scale * rng.standard_normal((classes, data_dim)),
            "decoder.b": np.zeros(data_dim),
        })  # fmt: skip

    def encode(self, x):
        """x (B, D)  ->  q(z|x) (B, K)"""
        return softmax(linear(x, self.params["encoder.W"], self.params["encoder.b"]))

    def log_px(self, x):
        """log p(x) = log sum_k p(x|k) / K in nats, exact.    x (B, D)  ->  (B,)"""
        nll = nll_each(x, self.params["decoder.W"], self.params["decoder.b"])
        return np.logaddexp.reduce(-nll, axis=-1) - np.log(nll.shape[-1])

    def loss(self, x, eps=None, beta=1.0):
        """recon (B,) = E_q[-log p(x|z)] and kl (B,) = KL(q || p(z)) in nats, both exact."""
        q = self.encode(x)
        nll = nll_each(x, self.params["decoder.W"], self.params["decoder.b"])
        return (q * nll).sum(axis=-1), kl_to_uniform(q)

    def loss_and_grads(self, x, eps=None, beta=1.0, labels=None):
        """loss = mean(recon + beta kl), recon (B,), kl (B,) and d loss / d params.

        ``labels`` (B,) of ints: the class where it is known, -1 elsewhere.  A known class takes the
        place of q: recon is -log p(x|label), and kl is -log q(label|x), which teaches the encoder.
        """
        p = self.params
        # fmt: off
        q = self.encode(x)                                        # (B, K)
        nll = nll_each(x, p["decoder.W"], p["decoder.b"])         # (B, K)
        known = np.zeros(len(x), bool) if labels is None else labels >= 0
        weight = np.where(known[:, None], np.eye(q.shape[1])[labels if known.any() else 0], q)
        recon = (weight * nll).sum(axis=-1)                       # (B,)
        kl = np.where(known, -(weight * _log(q)).sum(axis=-1), kl_to_uniform(q))
        loss = np.mean(recon + beta * kl)

        drecon, dkl = np.full(len(x), 1 / len(x)), np.full(len(x), beta / len(x))
        dnll = drecon[:, None] * weight                           # (B, K)
        dq_unknown = drecon[:, None] * nll + kl_to_uniform_backward(dkl, q)
        da = softmax_backward(dq_unknown, q)
        da = np.where(known[:, None], dkl[:, None] * (q - weight), da)  # of -log q(label)
        dW, db = nll_each_backward(dnll, x, p["decoder.W"], p["decoder.b"])
        _, dV, dc = linear_backward(da, x, p["encoder.W"])
        names = ("encoder.W", "encoder.b", "decoder.W", "decoder.b")
        return loss, recon, kl, dict(zip(names, (dV, dc, dW, db), strict=True))
