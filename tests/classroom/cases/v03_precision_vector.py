import numpy as np


def kl(mean_a, prec_a, mean_b, prec_b):
    each = np.log(prec_a / prec_b) + prec_b / prec_a + prec_b * (mean_a - mean_b) ** 2 - 1
    return 0.5 * each.sum(-1)
