"""Breast cancer screening: malignant or benign from 30 measurements of cell nuclei."""
import os

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 25
PATIENCE = 4
BATCH = 32


def make_loaders(batch_size):
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    rng = np.random.RandomState(7)
    idx = rng.permutation(len(x))
    cut = int(0.8 * len(x))
    tr, va = idx[:cut], idx[cut:]
    train_ds = TensorDataset(torch.tensor(x[tr], dtype=torch.float32), torch.tensor(y[tr], dtype=torch.float32))
    val_ds = TensorDataset(torch.tensor(x[va], dtype=torch.float32), torch.tensor(y[va], dtype=torch.float32))
    return DataLoader(train_ds, batch_size=batch_size, shuffle=True), DataLoader(val_ds, batch_size=batch_size)


def build_model(n_features):
    return nn.Sequential(
        nn.Linear(n_features, 32),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(32, 1),
    )


def main():
    torch.manual_seed(7)
    train_loader, val_loader = make_loaders(BATCH)
    model = build_model(30)
    if torch.cuda.is_available():
        model = model.cuda()

    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)

    best_val = float("inf")
    bad_epochs = 0
    os.makedirs("checkpoints", exist_ok=True)

    model.train()
    for epoch in range(EPOCHS):
        # ---- training ----
        running_loss = 0.0
        seen = 0
        for xb, yb in train_loader:
            if torch.cuda.is_available():
                xb, yb = xb.cuda(), yb.cuda()
            logits = model(xb).squeeze(1)
            loss = criterion(logits, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * xb.size(0)
            seen += xb.size(0)
        train_loss = running_loss / seen

        # ---- validation ----
        model.eval()
        val_loss = 0.0
        hits = 0
        with torch.no_grad():
            for xb, yb in val_loader:
                if torch.cuda.is_available():
                    xb, yb = xb.cuda(), yb.cuda()
                logits = model(xb).squeeze(1)
                val_loss += criterion(logits, yb).item() * xb.size(0)
                hits += ((logits > 0).float() == yb).sum().item()
        val_loss /= len(val_loader.dataset)
        val_acc = hits / len(val_loader.dataset)
        print(f"epoch {epoch + 1:2d}/{EPOCHS}  train {train_loss:.4f}  val {val_loss:.4f}  acc {val_acc:.3f}")

        if val_loss < best_val:
            best_val = val_loss
            bad_epochs = 0
            torch.save(model.state_dict(), os.path.join("checkpoints", "best.pt"))
        else:
            bad_epochs += 1
            if bad_epochs >= PATIENCE:
                print(f"no improvement for {PATIENCE} epochs, stopping")
                break

    print(f"best validation loss {best_val:.4f}")


if __name__ == "__main__":
    main()
