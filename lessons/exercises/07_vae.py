"""Exercise 7: training a VAE.

Replace each `raise NotImplementedError`.  Then, as often as you like:

    tinyvae check 07_vae.py

`dv` is the derivative of the loss by v, and has the shape of v.
"""

import numpy as np

EXERCISE = 7  # tells `tinyvae check` which laws apply


def loss(recon, kl, beta):
    """What training minimises, in nats: the mean over the batch of recon + beta kl.

    recon (B,) = -log p(x|z), kl (B,) = KL( q(z|x) || p(z) ), beta a number  ->  ()

    By hand: (1 + 2 * 3 + 5 + 2 * 7) / 2.

    >>> print(loss(np.array([1.0, 5.0]), np.array([3.0, 7.0]), 2.0))
    13.0
    """
    raise NotImplementedError


def q_backward(dz, dkl, mu, logvar, eps):
    """mu and logvar are used twice: their derivatives along both paths add up.

        z = mu + exp(logvar / 2) eps                          by the decoder
        kl = 1/2 sum_j [ mu_j^2 + exp(logvar_j) - 1 - logvar_j ]

    dz, mu, logvar, eps (B, Z), dkl (B,)  ->  dmu (B, Z), dlogvar (B, Z)

    By hand: mu = 3, dz = 10 and dkl = 1 give dmu = 10 + 3.

    >>> one = np.ones((1, 1))
    >>> dmu, dlogvar = q_backward(10 * one, np.ones(1), 3 * one, 0 * one, 2 * one)
    >>> print(dmu, dlogvar)
    [[13.]] [[10.]]
    """
    raise NotImplementedError


def adam_step(p, dp, m, v, t, rate, beta1=0.9, beta2=0.999, tiny=1e-8):
    """One step of Adam (Kingma and Ba, 2015), elementwise.

        m <- beta1 m + (1 - beta1) dp               m_hat = m / (1 - beta1^t)
        v <- beta2 v + (1 - beta2) dp^2             v_hat = v / (1 - beta2^t)
        p <- p - rate m_hat / (sqrt(v_hat) + tiny)

    p, dp, m, v (n,), t = 1, 2, ... the number of this step, rate a number
    ->  p, m, v (n,): new arrays; those that came in stay as they are

    By hand: in the first step, m = v = 0, only the sign of dp counts.

    >>> zero = np.zeros(2)
    >>> p, m, v = adam_step(zero, np.array([5.0, -0.1]), zero, zero, 1, 0.25)
    >>> print(p.round(6))
    [-0.25  0.25]
    """
    raise NotImplementedError
