import math


def kl_loss(mus, sigmas):
    total = 0.0
    for m, s in zip(mus, sigmas):
        total += 0.5 * (s**2 + m**2 - 1.0) - math.log(s)
    return total
