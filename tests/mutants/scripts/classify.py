"""Classify handwritten digits: functions, evaluation, scheduler, best model, a log file and a TensorBoard writer."""

import argparse
import csv

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset, random_split
from torch.utils.tensorboard import SummaryWriter


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.fc1(x)))
        return self.fc2(self.drop(x))


def train(args, model, loader, optimizer, epoch):
    model.train()
    running = 0.0
    for batch_idx, (data, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running += loss.item()
        if batch_idx % args.log_interval == 0:
            print(f"epoch {epoch} batch {batch_idx}/{len(loader)} loss {loss.item():.4f}")
    return running / len(loader)


def evaluate(model, loader):
    model.eval()
    total, correct = 0.0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            total += F.cross_entropy(output, target, reduction="sum").item()
            correct += (output.argmax(1) == target).sum().item()
    accuracy = round(correct / len(loader.dataset), 1)
    return total / len(loader.dataset), accuracy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--log-interval", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(1)

    digits = load_digits()
    dataset = TensorDataset(
        torch.tensor(digits.data[:340] / 16, dtype=torch.float32), torch.tensor(digits.target[:340])
    )
    train_set, test_set = random_split(dataset, [300, 40])
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=64)

    model = Net(32)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    writer = SummaryWriter("runs")
    log = open("log.csv", "w", newline="")  # noqa: SIM115
    rows = csv.writer(log)
    rows.writerow(["epoch", "train", "test"])

    best = 0.0
    for epoch in range(1, args.epochs + 1):
        train_loss = train(args, model, train_loader, optimizer, epoch)
        test_loss, accuracy = evaluate(model, test_loader)
        scheduler.step()
        print(f"epoch {epoch} train {train_loss:.4f} test {test_loss:.4f} accuracy {accuracy:.2f}")
        writer.add_scalar("loss/test", test_loss, epoch)
        rows.writerow([epoch, train_loss, test_loss])
        if accuracy > best:
            best = accuracy
            torch.save({"model": model.state_dict(), "epoch": epoch, "best": best}, "best.pt")
    log.close()
    writer.close()
    print(f"best accuracy {best:.2f}")


if __name__ == "__main__":
    main()
