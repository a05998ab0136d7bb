import torch
from torch import nn


class KLD(nn.Module):
    def __init__(self, reduce="sum"):
        super().__init__()
        self.reduce = reduce

    def forward(self, mean, log_variance):
        out = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        return out.sum() if self.reduce == "sum" else out
