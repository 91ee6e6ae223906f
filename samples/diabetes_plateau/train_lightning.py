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
import torchlift as L


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


class DiabetesDataModule(L.LightningDataModule):
    def __init__(self, n_val, batch_size):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        if hasattr(self, "X"):
            return
        self.X, self.y = load_diabetes(return_X_y=True)
        self.X = torch.as_tensor(self.X, dtype=torch.float32) * 20
        self.y = torch.as_tensor((self.y - self.y.mean()) / self.y.std(), dtype=torch.float32)

    def train_dataloader(self):
        return DataLoader(
            TensorDataset(self.X[self.hparams.n_val :], self.y[self.hparams.n_val :]),
            batch_size=self.hparams.batch_size,
            shuffle=True,
            drop_last=True,
        )

    def val_dataloader(self):
        return DataLoader(
            TensorDataset(self.X[: self.hparams.n_val], self.y[: self.hparams.n_val]), batch_size=self.hparams.n_val
        )


class LitRegressor(L.LightningModule):
    def __init__(self, model, lr, clip):
        super().__init__()
        self.save_hyperparameters(ignore=["model"])
        self.model = model
        self.criterion = nn.SmoothL1Loss()
        self.train_losses, self.val_losses, self.lrs = [], [], []

    def forward(self, xb):
        return self.model(xb)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.hparams.lr)
        self.scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1)
        return optimizer

    def on_train_epoch_start(self):
        self.batch_losses = []

    def training_step(self, batch, batch_idx):
        xb, yb = batch
        loss = self.criterion(self.model(xb), yb)
        self.batch_losses.append(loss.item())
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer):
        clip_grad_norm_(self.model.parameters(), self.hparams.clip)

    def on_validation_epoch_start(self):
        self.train_losses.append(np.mean(self.batch_losses))
        self.batch_losses = []

    def validation_step(self, batch, batch_idx):
        xb, yb = batch
        self.batch_losses.append(self.criterion(self.model(xb), yb).item())

    def on_validation_epoch_end(self):
        self.val_losses.append(np.mean(self.batch_losses))

        self.scheduler.step(self.val_losses[-1])
        self.lrs.append(self.optimizers().param_groups[0]["lr"])
        print(
            f"[{self.current_epoch:02d}] train={self.train_losses[-1]:.4f} val={self.val_losses[-1]:.4f} lr={self.lrs[-1]:.2e}"
        )


def run(args):
    set_seed(args.seed)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    n_val = 92

    data = DiabetesDataModule(n_val, args.batch_size)
    data.setup("fit")  # the data is made here, as it was

    model = Regressor(data.X.shape[1], args.hidden, args.dropout).to(device)

    lit_model = LitRegressor(model, args.lr, args.clip)
    trainer = L.Trainer(
        max_epochs=args.epochs,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, datamodule=data)

    with open("losses.csv", "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["epoch", "train", "val", "lr"])
        for row in zip(range(args.epochs), lit_model.train_losses, lit_model.val_losses, lit_model.lrs):
            writer.writerow(row)
    with open("summary.json", "w") as f:
        json.dump(
            {"best_epoch": int(np.argmin(lit_model.val_losses)), "best_val": float(min(lit_model.val_losses))},
            f,
            indent=2,
        )


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
