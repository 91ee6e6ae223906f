"""Breast cancer screening: malignant or benign from 30 measurements of cell nuclei."""
import os

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L

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


class BreastCancerDataModule(L.LightningDataModule):
    def setup(self, stage):
        if hasattr(self, "train_loader"):
            return
        self.train_loader, self.val_loader = make_loaders(BATCH)

    def train_dataloader(self):
        return self.train_loader

    def test_dataloader(self):
        return self.val_loader


class LitModel(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = build_model(30)
        self.criterion = nn.BCEWithLogitsLoss()
        self.best_val = float("inf")
        self.bad_epochs = 0

    def forward(self, xb):
        return self.model(xb)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.model.parameters(), lr=1e-2, weight_decay=1e-2)

    def on_train_epoch_start(self):
        # ---- training ----
        self.running_loss = 0.0
        self.seen = 0

    def training_step(self, batch, batch_idx):
        xb, yb = batch
        logits = self.model(xb).squeeze(1)
        loss = self.criterion(logits, yb)
        self.running_loss += loss.item() * xb.size(0)
        self.seen += xb.size(0)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        train_loss = self.running_loss / self.seen

        # ---- validation ----
        self.model.eval()
        val_loss = 0.0
        hits = 0
        with torch.no_grad():
            for xb, yb in self.trainer.datamodule.test_dataloader():
                if torch.cuda.is_available():
                    xb, yb = xb.to(self.device), yb.to(self.device)
                logits = self.model(xb).squeeze(1)
                val_loss += self.criterion(logits, yb).item() * xb.size(0)
                hits += ((logits > 0).float() == yb).sum().item()
        val_loss /= len(self.trainer.datamodule.test_dataloader().dataset)
        val_acc = hits / len(self.trainer.datamodule.test_dataloader().dataset)
        print(
            f"epoch {self.current_epoch + 1:2d}/{EPOCHS}  train {train_loss:.4f}  val {val_loss:.4f}  acc {val_acc:.3f}"
        )
        self.log("val_acc", val_acc, prog_bar=True)
        if val_loss < self.best_val:
            self.best_val = val_loss
            self.bad_epochs = 0
            torch.save(self.model.state_dict(), os.path.join("checkpoints", "best.pt"))
        else:
            self.bad_epochs += 1
            if self.bad_epochs >= PATIENCE:
                print(f"no improvement for {PATIENCE} epochs, stopping")
                self.trainer.should_stop = True


def main():
    torch.manual_seed(7)
    data = BreastCancerDataModule()
    data.setup("fit")  # the data is made here, as it was

    lit_model = LitModel()
    model = lit_model.model
    os.makedirs("checkpoints", exist_ok=True)

    model.train()
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, datamodule=data)
    lit_model.to("cuda" if torch.cuda.is_available() else "cpu")  # the Trainer has moved it to the CPU

    print(f"best validation loss {lit_model.best_val:.4f}")


if __name__ == "__main__":
    main()
