"""Classify digits with a Trainer class of our own."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L


class LitModel(L.LightningModule):
    def __init__(self, model, optimizer, best, save_every, test_data):
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "test_data"])
        self.model = model
        self.optimizer = optimizer
        self.test_data = test_data
        self.best = best

    def forward(self, source):
        return self.model(source)

    def configure_optimizers(self):
        return self.optimizer

    def on_train_epoch_start(self):
        print(
            f"Epoch {self.current_epoch} | Batchsize: {self.trainer.train_dataloader.batch_size} | Steps: {len(self.trainer.train_dataloader)}"
        )

    def training_step(self, batch, batch_idx):
        source, targets = batch
        output = self.model(source)
        loss = F.cross_entropy(output, targets)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        accuracy = self._evaluate()
        self.best = max(self.best, accuracy)
        print(f"accuracy {accuracy:.4f}")
        if self.current_epoch % self.hparams.save_every == 0:
            self._save_checkpoint(self.current_epoch)

    def _evaluate(self):
        correct = 0
        self.model.eval()
        with torch.no_grad():
            for source, targets in self.test_data:
                correct += (self.model(source).argmax(1) == targets).sum().item()
        self.model.train()
        return correct / len(self.test_data.dataset)

    def _save_checkpoint(self, epoch):
        torch.save(self.model.state_dict(), "checkpoint.pt")
        print(f"Epoch {epoch} | checkpoint saved")


class Trainer:
    def __init__(self, model, train_data, test_data, optimizer, save_every):
        self.model = model
        self.train_data = train_data
        self.test_data = test_data
        self.optimizer = optimizer
        self.save_every = save_every
        self.best = 0.0

    def train(self, max_epochs):
        model = LitModel(self.model, self.optimizer, self.best, self.save_every, self.test_data)
        trainer = L.Trainer(
            max_epochs=max_epochs, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False
        )
        trainer.fit(model, self.train_data)
        self.best = model.best


def load_train_objs():
    digits = load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    train_set = TensorDataset(images[:1500], labels[:1500])
    test_set = TensorDataset(images[1500:], labels[1500:])
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return train_set, test_set, model, optimizer


def main(total_epochs=3, save_every=2, batch_size=64):
    torch.manual_seed(0)
    train_set, test_set, model, optimizer = load_train_objs()
    train_data = DataLoader(train_set, batch_size=batch_size, shuffle=True)
    test_data = DataLoader(test_set, batch_size=256)
    trainer = Trainer(model, train_data, test_data, optimizer, save_every)
    trainer.train(total_epochs)
    print(f"best accuracy {trainer.best:.4f}")


if __name__ == "__main__":
    main()
