"""Tabular regression with train, validation and test parts; goes on where an earlier run stopped."""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class MLP(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        layers = []
        for n_in, n_out in zip(sizes[:-1], sizes[1:]):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.net(x)


def get_data(seed):
    data = load_diabetes()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = x / x.std(dim=0)
    y = torch.tensor(data.target, dtype=torch.float32).view(-1, 1)
    y = (y - y.mean()) / y.std()
    generator = torch.Generator().manual_seed(seed)
    return random_split(TensorDataset(x, y), [0.7, 0.15, 0.15], generator=generator)


def evaluate(model, loader, device):
    """Mean squared error over the whole loader."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            total += F.mse_loss(model(x), y, reduction="sum").item()
            count += len(x)
    return total / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--state", type=Path, default=Path("state.pt"))
    args = parser.parse_args()

    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")

    train_set, val_set, test_set = get_data(args.seed)
    torch.manual_seed(args.seed)
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=args.batch_size)
    test_loader = DataLoader(test_set, batch_size=args.batch_size)

    model = MLP([10, 64, 32, 1]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)

    start_epoch = 0
    best = float("inf")
    if args.state.exists():
        state = torch.load(args.state, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        start_epoch = state["epoch"] + 1
        best = state["best"]
        print(f"resuming at epoch {start_epoch}")

    for epoch in range(start_epoch, args.epochs):
        model.train()
        total_loss = 0.0
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(x)
        total_loss /= len(train_set)

        val_loss = evaluate(model, val_loader, device)
        marker = ""
        if val_loss <= best:
            best = val_loss
            marker = " *"
            torch.save(model.state_dict(), "best.pt")
        print(f"epoch {epoch:3d} | train {total_loss:.4f} | val {val_loss:.4f}{marker}")

        scheduler.step()
        torch.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "epoch": epoch,
                "best": best,
            },
            args.state,
        )

    model.load_state_dict(torch.load("best.pt", map_location=device))
    print(f"test error of the best model: {evaluate(model, test_loader, device):.4f}")


if __name__ == "__main__":
    main()
