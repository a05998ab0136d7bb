import numpy as np


def kl(q, p):
    d = q["mean"] - p["mean"]
    return 0.5 * np.sum(p["logvar"] - q["logvar"] + (np.exp(q["logvar"]) + d**2) / np.exp(p["logvar"]) - 1, axis=-1)
