"""Fit a curve: everything at module level, full batches, noise, a moving average of the weights, a plateau."""

import json
import time

import numpy as np
import torch
import torch.nn as nn

start = time.time()
torch.manual_seed(3)
np.random.seed(3)
X = torch.linspace(-1, 1, 50).unsqueeze(1)
y = torch.sin(3 * X) + 0.1 * torch.tensor(np.random.randn(50, 1), dtype=torch.float32)

model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
average = nn.Linear(16, 1)
average.load_state_dict(model[2].state_dict())
for p in average.parameters():
    p.requires_grad_(False)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)

losses = []
for epoch in range(30):
    noise = 0.05 * torch.randn_like(X)
    loss = criterion(model(X + noise), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for p, q in zip(average.parameters(), model[2].parameters()):
            p.mul_(0.9).add_(q, alpha=0.1)
    losses.append(loss.item())
    scheduler.step(loss.item())
    if (epoch + 1) % 10 == 0:
        print(f"epoch {epoch + 1}: loss {loss.item():.5f}, lr {optimizer.param_groups[0]['lr']:g}")

model.eval()
with torch.no_grad():
    error = (model(X) - y).abs().mean().item()
print(f"trained in {time.time() - start:.3f}s")
print("mean error", round(error, 6))
torch.save(average.state_dict(), "average.pt")
with open("results.json", "w") as f:
    json.dump({"losses": losses, "error": error}, f)
