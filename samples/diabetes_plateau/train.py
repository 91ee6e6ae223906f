#!/usr/bin/env python
import argparse
import csv
import json
import random

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset


def set_seed(seed: int):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


class Regressor(nn.Module):
    def __init__(self, in_dim: int, hidden: int, p: float):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(in_dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(p),
            nn.Linear(hidden, hidden), nn.ReLU(),
        )
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.body(x)).squeeze(-1)


def run(args):
    set_seed(args.seed)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    X, y = load_diabetes(return_X_y=True)
    X = torch.as_tensor(X, dtype=torch.float32) * 20
    y = torch.as_tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    n_val = 92
    train_loader = DataLoader(TensorDataset(X[n_val:], y[n_val:]), batch_size=args.batch_size, shuffle=True, drop_last=True)
    val_loader = DataLoader(TensorDataset(X[:n_val], y[:n_val]), batch_size=n_val)

    model = Regressor(X.shape[1], args.hidden, args.dropout).to(device)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1)

    train_losses, val_losses, lrs = [], [], []
    for epoch in range(args.epochs):
        model.train()
        batch_losses = []
        for xb, yb in train_loader:
            xb, yb = xb.to(device), yb.to(device)
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            batch_losses.append(loss.item())
        train_losses.append(np.mean(batch_losses))

        model.eval()
        batch_losses = []
        with torch.no_grad():
            for xb, yb in val_loader:
                xb, yb = xb.to(device), yb.to(device)
                batch_losses.append(criterion(model(xb), yb).item())
        val_losses.append(np.mean(batch_losses))

        scheduler.step(val_losses[-1])
        lrs.append(optimizer.param_groups[0]["lr"])
        print(f"[{epoch:02d}] train={train_losses[-1]:.4f} val={val_losses[-1]:.4f} lr={lrs[-1]:.2e}")

    with open("losses.csv", "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["epoch", "train", "val", "lr"])
        for row in zip(range(args.epochs), train_losses, val_losses, lrs):
            writer.writerow(row)
    with open("summary.json", "w") as f:
        json.dump({"best_epoch": int(np.argmin(val_losses)), "best_val": float(min(val_losses))}, f, indent=2)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--epochs", type=int, default=20)
    ap.add_argument("--batch_size", type=int, default=32)
    ap.add_argument("--hidden", type=int, default=48)
    ap.add_argument("--dropout", type=float, default=0.2)
    ap.add_argument("--lr", type=float, default=1e-2)
    ap.add_argument("--clip", type=float, default=1.0)
    ap.add_argument("--seed", type=int, default=2024)
    run(ap.parse_args())
