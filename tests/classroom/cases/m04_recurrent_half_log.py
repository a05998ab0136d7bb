import torch


def kld_gauss(mean_1, std_1, mean_2, std_2):
    kld_element = (
        torch.log(std_2)
        - torch.log(std_1)
        + (std_1.pow(2) + (mean_1 - mean_2).pow(2)) / std_2.pow(2)
        - 1
    )
    return 0.5 * torch.sum(kld_element)
