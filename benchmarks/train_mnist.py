"""Ten epochs of the PyTorch example's VAE on grey MNIST, start to finish, by one of four loops.

784-400-20, relu, Adam 1e-3, batches of 128; prints the test loss, recon + kl in nats, and the peak
memory of processes that helped, in MB.

python -m benchmarks.train_mnist tinyvae|shared|example|tuned [EPOCHS]

``tinyvae`` is one process, ``shared`` one for each core, as in `fit(..., processes=2)`.
``example`` is the loop of the PyTorch example: a DataLoader that converts and collates image by
image, nn.Module, binary cross-entropy of sigmoids, Adam.  It reads the files as tinyvae does, for
torchvision is not needed to be slow.  ``tuned`` is what a PyTorch user does next: the data as one
tensor, slices of a permutation, logits, fused Adam.
"""

import os
import re
import sys
from pathlib import Path

import numpy as np

from benchmarks.pairs import THREADS
from tinyvae import data


def by_tinyvae(epochs, processes):
    import tinyvae

    mnist, helped = data.load("mnist"), []
    rng = np.random.default_rng(0)
    vae = tinyvae.VAE.create(784, (400,), 20, rng=rng, activation="relu")
    tinyvae.fit(vae, mnist.x_train, epochs=epochs, batch_size=128, rng=rng, binarize=False,
                processes=processes,
                report=lambda row: helped.append(peak_of_helpers()))  # fmt: skip
    return sum(tinyvae.train.mean_loss(vae, mnist.x_test, rng, binarize=False)), helped[-1]


def peak_of_helpers():
    """MB that the processes which this one has started have had at most, in all"""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in children]
    return sum(int(re.search(r"VmHWM:\s*(\d+) kB", text)[1]) for text in status) / 1024


def by_torch(epochs, tuned):
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(1)
    mnist = data.load("mnist")

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(784, 400)
            self.fc21, self.fc22 = nn.Linear(400, 20), nn.Linear(400, 20)
            self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return self.fc4(F.relu(self.fc3(z))), mu, logvar

    def loss(x):
        logits, mu, logvar = twin(x)
        if tuned:
            recon = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        else:
            recon = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
        return recon - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    class Images(torch.utils.data.Dataset):
        def __init__(self, x):
            self.levels = torch.tensor(x.levels)

        def __len__(self):
            return len(self.levels)

        def __getitem__(self, i):
            return self.levels[i].float().div(255)

    def batches(x, shuffle):
        if not tuned:
            yield from torch.utils.data.DataLoader(Images(x), batch_size=128, shuffle=shuffle)
            return
        levels = torch.tensor(x.levels)
        order = torch.randperm(len(levels)) if shuffle else torch.arange(len(levels))
        for rows in order.split(128):
            yield levels[rows].float().div_(255)

    twin = Twin()
    adam = torch.optim.Adam(twin.parameters(), 1e-3, fused=tuned)
    for _ in range(epochs):
        for x in batches(mnist.x_train, shuffle=True):
            adam.zero_grad()
            value = loss(x)
            value.backward()
            value.item()  # the example adds it up
            adam.step()
    with torch.no_grad():
        return sum(loss(x).item() for x in batches(mnist.x_test, shuffle=False)) / 10_000


if __name__ == "__main__":
    loop, epochs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    if loop in ("tinyvae", "shared"):
        print(*by_tinyvae(epochs, processes=THREADS if loop == "shared" else 1))
    else:
        print(by_torch(epochs, tuned=loop == "tuned"), 0)
