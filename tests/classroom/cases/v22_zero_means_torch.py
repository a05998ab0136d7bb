import torch


def kl_zero_mean(S_q, S_p):
    A = torch.linalg.solve(S_p, S_q)
    return 0.5 * (A.diagonal(dim1=-2, dim2=-1).sum(-1) - torch.logdet(A) - S_q.shape[-1])
