import numpy as np


def gauss_KL(mu1, logstd1, mu2, logstd2):
    var1 = np.exp(2 * logstd1)
    var2 = np.exp(2 * logstd2)
    kl = np.sum(logstd2 - logstd1 + (var1 + np.square(mu1 - mu2)) / (2 * var2) - 0.5)
    return kl
