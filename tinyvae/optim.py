"""Optimisers: they change ``params`` in place, key by key, from ``grads`` with the same keys."""

import numpy as np


class SGD:
    """Stochastic gradient descent:  p <- p - learning_rate * dp"""

    def __init__(self, params, learning_rate=1e-2):
        self.params, self.learning_rate = params, learning_rate
        self.moments = {}
        self.t = 0

    def step(self, grads):
        """One step downhill.    grads: dict with the keys of ``params``"""
        self.t += 1
        for name, p in self.params.items():
            p -= self.learning_rate * grads[name]


class Adam:
    """Adam: every parameter's step is scaled by running means of its gradient and its square.

    Algorithm 1 of Kingma and Ba, "Adam: a method for stochastic optimization", 2015, with its
    correction of the bias that m and v have from starting at 0.  ``tiny`` is the paper's epsilon.
    """

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, tiny=1e-8):
        self.params, self.learning_rate = params, learning_rate
        self.beta1, self.beta2, self.tiny = beta1, beta2, tiny
        zeros = {name: np.zeros_like(p) for name, p in params.items()}
        self.moments = {"m": zeros, "v": {name: z.copy() for name, z in zeros.items()}}
        self.t = 0

    def step(self, grads):
        """One step.    grads: dict with the keys of ``params``"""
        self.t += 1
        for name, p in self.params.items():
            dp, m, v = grads[name], self.moments["m"][name], self.moments["v"][name]
            m += (1 - self.beta1) * (dp - m)  # m <- beta1 m + (1 - beta1) dp
            v += (1 - self.beta2) * (dp * dp - v)
            m_hat = m / (1 - self.beta1**self.t)
            v_hat = v / (1 - self.beta2**self.t)
            p -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.tiny)
