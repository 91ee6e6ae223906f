import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes

np.random.seed(3)
torch.manual_seed(3)

# body mass index -> progression of the disease one year later
bunch = load_diabetes()
order = np.argsort(bunch.data[:, 2])
x_train = bunch.data[order, 2:3].astype(np.float32) * 20
y_train = (bunch.target[order, None] / 100).astype(np.float32)

inputs = torch.from_numpy(x_train)
targets = torch.from_numpy(y_train)

net = nn.Sequential(
    nn.Linear(1, 24),
    nn.Tanh(),
    nn.Linear(24, 1),
)
loss_func = nn.MSELoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

history = []
for t in range(300):
    prediction = net(inputs)
    loss = loss_func(prediction, targets)

    optimizer.zero_grad()   # clear gradients for this step
    loss.backward()         # backpropagation
    optimizer.step()        # apply gradients

    history.append(loss.item())
    if t % 50 == 0:
        print(f"step {t:3d}  loss {loss.item():.5f}")

# Draw what was learned
fitted = net(inputs).detach().numpy()
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(x_train, y_train, "k.", alpha=0.4, label="patients")
left.plot(x_train, fitted, "r-", label="network")
left.legend()
right.plot(history)
right.set_xlabel("step")
right.set_ylabel("loss")
fig.savefig("curve.png", metadata={"Software": None})
print(f"final loss {history[-1]:.5f}, best {min(history):.5f} at step {int(np.argmin(history))}")
