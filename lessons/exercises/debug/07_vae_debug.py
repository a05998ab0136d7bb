"""Exercise 7: training a VAE, to be mended.

The code below runs. Each of the three functions loss, q_backward and adam_step has one mistake.
Find them, mend them, and check as often as you like:

    tinyvae check 07_vae_debug.py

`dv` is the derivative of the loss by v, and has the shape of v.
"""

import numpy as np

EXERCISE = 7  # tells `tinyvae check` which laws apply


def loss(recon, kl, beta):
    """What training minimises, in nats.    recon, kl (B,), beta a number  ->  ()

    Of one batch; batches of all sizes are comparable.
    """
    return np.sum(recon) + beta * np.sum(kl)


def q_backward(dz, dkl, mu, logvar, eps):
    """Through z = mu + exp(logvar / 2) eps and through KL( N(mu, diag exp(logvar)) || N(0, I) ).

    dz, mu, logvar, eps (B, Z), dkl (B,)  ->  dmu (B, Z), dlogvar (B, Z)
    """
    # z, which the decoder read
    dmu = dz
    dlogvar = dz * eps * 0.5 * np.exp(0.5 * logvar)
    # the KL
    dmu = dkl[:, None] * mu
    dlogvar = dkl[:, None] * 0.5 * (np.exp(logvar) - 1)
    return dmu, dlogvar


def adam_step(p, dp, m, v, t, rate, beta1=0.9, beta2=0.999, tiny=1e-8):
    """One step of Adam (Kingma and Ba, 2015), number t = 1, 2, ...

    p, dp, m, v (n,)  ->  p, m, v (n,): new arrays
    """
    m = beta1 * m + (1 - beta1) * dp
    v = beta2 * v + (1 - beta2) * dp**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - rate * m_hat / np.sqrt(v_hat + tiny), m, v


def report(steps=500):
    """Fit a q to N(1, e^-1) by Adam: the KL to the prior pulls on it, too."""
    q, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        mu, logvar, eps = q[:1, None], q[1:, None], np.ones((1, 1))
        dz = mu + np.exp(logvar / 2) * eps - 1
        dmu, dlogvar = q_backward(dz, np.ones(1), mu, logvar, eps)
        q, m, v = adam_step(q, np.append(dmu, dlogvar), m, v, t, 0.01)
    return f"mu {q[0]:.3f}   logvar {q[1]:.3f}"


if __name__ == "__main__":
    print(report())
