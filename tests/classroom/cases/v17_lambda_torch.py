import torch


kl_div = lambda m, lv: (0.5 * (m**2 + lv.exp() - 1 - lv)).sum(dim=1).mean()
