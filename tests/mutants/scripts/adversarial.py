"""Two networks against each other: two optimizers, a detached batch, accumulation, a frozen part with a buffer."""

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(5)


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((8,), 0.5), requires_grad=False)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += len(x)
        return x * self.scale


data = TensorDataset(torch.randn(70, 8).tanh())
loader = DataLoader(data, batch_size=10, shuffle=True)
generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh())
critic = nn.Sequential(Counted(), nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
criterion = nn.BCEWithLogitsLoss()
opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_c = torch.optim.SGD(critic[1:].parameters(), lr=0.05)

for epoch in range(3):
    for i, (real,) in enumerate(loader):
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = generator(torch.randn(len(real), 4))
        opt_g.zero_grad()
        g_loss = criterion(critic(fake), ones)
        g_loss.backward()
        opt_g.step()
        if i % 2 == 0:
            opt_c.zero_grad()
        c_loss = (criterion(critic(real), ones) + criterion(critic(fake.detach()), zeros)) / 2
        c_loss.backward()
        if i % 2 == 1:
            opt_c.step()
    print(f"epoch {epoch} g {g_loss.item():.4f} c {c_loss.item():.4f} seen {critic[0].seen.item():.0f}")

samples = generator(torch.randn(4, 4)).detach()
torch.save({"generator": generator.state_dict(), "samples": samples}, "generator.pt")
with open("samples.txt", "w") as f:
    for row in samples.tolist():
        f.write(" ".join(f"{v:.3f}" for v in row) + "\n")
