import torch
import torch.nn as nn


class VRNN(nn.Module):
    def __init__(self, x_dim=28, h_dim=10, z_dim=16):
        super().__init__()
        self.phi_x = nn.Sequential(nn.Linear(x_dim, h_dim), nn.ReLU())
        self.enc_mean = nn.Linear(h_dim, z_dim)

    def _kld_gauss(self, mean_1, std_1, mean_2, std_2):
        """Using std to compute KLD"""
        kld_element = (
            2 * torch.log(std_2)
            - 2 * torch.log(std_1)
            + (std_1.pow(2) + (mean_1 - mean_2).pow(2)) / std_2.pow(2)
            - 1
        )
        return 0.5 * torch.sum(kld_element)
