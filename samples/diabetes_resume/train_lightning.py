"""Tabular regression with train, validation and test parts; goes on where an earlier run stopped."""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
import torchlift as L


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


class Batches:
    """The batches of a loader. Its iterator is made at the first batch, and it ends early when told to stop."""

    def __init__(self, loader):
        self.loader = loader
        self.stopped = False

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        self.stopped = False
        for batch in self.loader:
            yield batch
            if self.stopped:
                return


class DiabetesDataModule(L.LightningDataModule):
    def __init__(self, batch_size, seed):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        if hasattr(self, "train_set"):
            return
        self.train_set, self.val_set, self.test_set = get_data(self.hparams.seed)

    def train_dataloader(self):
        return Batches(DataLoader(self.train_set, batch_size=self.hparams.batch_size, shuffle=True))

    def val_dataloader(self):
        return DataLoader(self.val_set, batch_size=self.hparams.batch_size)

    def test_dataloader(self):
        return DataLoader(self.test_set, batch_size=self.hparams.batch_size)


class LitMLP(L.LightningModule):
    def __init__(self, lr, weight_decay, state):
        super().__init__()
        self.save_hyperparameters(ignore=["state"])
        self.args = state
        self.model = MLP([10, 64, 32, 1])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=weight_decay)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.95)

    def forward(self, x):
        return self.model(x)

    def configure_optimizers(self):
        return [self.optimizer], [self.scheduler]

    def on_train_epoch_start(self):
        self.total_loss = 0.0

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self.model(x), y)
        self.total_loss += loss.item() * len(x)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        self.total_loss /= len(self.trainer.datamodule.train_set)
        self.total, self.count = 0.0, 0

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.total += F.mse_loss(self.model(x), y, reduction="sum").item()
        self.count += len(x)

    def on_validation_epoch_end(self):
        val_loss = self.total / self.count
        marker = ""
        if val_loss <= self.best:
            self.best = val_loss
            marker = " *"
            torch.save(self.model.state_dict(), "best.pt")
        print(f"epoch {self.epoch:3d} | train {self.total_loss:.4f} | val {val_loss:.4f}{marker}")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "epoch": self.epoch,
                "best": self.best,
            },
            self.args,
        )
        self.log("total_loss", self.total_loss, prog_bar=True)

    @property
    def epoch(self):
        return self.current_epoch + self.start_epoch


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

    data = DiabetesDataModule(args.batch_size, args.seed)
    data.setup("fit")  # the data is made here, as it was
    torch.manual_seed(args.seed)

    lit_model = LitMLP(args.lr, args.weight_decay, args.state)
    model = lit_model.model
    optimizer = lit_model.optimizer
    scheduler = lit_model.scheduler

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

    lit_model.best = best
    lit_model.start_epoch = start_epoch
    trainer = L.Trainer(
        max_epochs=max(0, args.epochs - start_epoch),
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, datamodule=data)
    lit_model.to(device)  # the Trainer has moved it to the CPU
    model.eval()

    model.load_state_dict(torch.load("best.pt", map_location=device))
    print(f"test error of the best model: {evaluate(model, data.test_dataloader(), device):.4f}")


if __name__ == "__main__":
    main()
