import torch


def kl(student_mean, student_logvar, teacher_mean, teacher_logvar):
    each = teacher_logvar - student_logvar - 1 + ((student_mean - teacher_mean) ** 2 + student_logvar.exp()) / teacher_logvar.exp()
    return 0.5 * each.sum(dim=-1).mean()
