import numpy as np


def klDivergence(muQ, logVarQ, muP, logVarP):
    return 0.5 * np.sum(logVarP - logVarQ + np.exp(logVarQ - logVarP) + (muQ - muP) ** 2 / np.exp(logVarP) - 1, axis=-1)
