"""Cross-validation: the same network on each of three folds."""

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(7)
k_folds = 3
num_epochs = 2
results = {}

digits = load_digits()
dataset = TensorDataset(
    torch.tensor(digits.images[:, None] / 16.0, dtype=torch.float32), torch.tensor(digits.target)
)
kfold = KFold(n_splits=k_folds, shuffle=True, random_state=1)

for fold, (train_ids, test_ids) in enumerate(kfold.split(np.arange(len(dataset)))):
    print(f"FOLD {fold}")
    trainloader = DataLoader(Subset(dataset, train_ids), batch_size=100, shuffle=True)
    testloader = DataLoader(Subset(dataset, test_ids), batch_size=100)

    # A new network for each fold
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()

    for epoch in range(num_epochs):
        current_loss = 0.0
        for inputs, targets in trainloader:
            optimizer.zero_grad()
            outputs = network(inputs)
            loss = loss_function(outputs, targets)
            loss.backward()
            optimizer.step()
            current_loss += loss.item()
        print(f"epoch {epoch + 1}: loss {current_loss / len(trainloader):.4f}")

    # How good is this fold's network?
    correct, total = 0, 0
    with torch.no_grad():
        for inputs, targets in testloader:
            predicted = network(inputs).argmax(1)
            total += targets.size(0)
            correct += (predicted == targets).sum().item()
    print(f"fold {fold}: {100.0 * correct / total:.2f} %")
    results[fold] = 100.0 * correct / total

print(f"average: {sum(results.values()) / len(results):.2f} %")
