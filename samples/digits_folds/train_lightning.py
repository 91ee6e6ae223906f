"""Cross-validation: the same network on each of three folds."""

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold
from torch.utils.data import DataLoader, Subset, TensorDataset
import torchlift as L

torch.manual_seed(7)
k_folds = 3
num_epochs = 2
results = {}

digits = load_digits()
dataset = TensorDataset(
    torch.tensor(digits.images[:, None] / 16.0, dtype=torch.float32), torch.tensor(digits.target)
)
kfold = KFold(n_splits=k_folds, shuffle=True, random_state=1)


class DataModule(L.LightningDataModule):
    def __init__(self, test_ids, dataset, train_ids):
        super().__init__()
        self.test_ids = test_ids
        self.dataset = dataset
        self.train_ids = train_ids

    def train_dataloader(self):
        return DataLoader(Subset(self.dataset, self.train_ids), batch_size=100, shuffle=True)

    def test_dataloader(self):
        return DataLoader(Subset(self.dataset, self.test_ids), batch_size=100)


class LitModel(L.LightningModule):
    def __init__(self):
        super().__init__()
        # A new network for each fold
        self.network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        self.loss_function = nn.CrossEntropyLoss()

    def forward(self, inputs):
        return self.network(inputs)

    def configure_optimizers(self):
        return torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def on_train_epoch_start(self):
        self.current_loss = 0.0

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        outputs = self.network(inputs)
        loss = self.loss_function(outputs, targets)
        self.current_loss += loss.item()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        print(f"epoch {self.current_epoch + 1}: loss {self.current_loss / len(self.trainer.train_dataloader):.4f}")


for fold, (train_ids, test_ids) in enumerate(kfold.split(np.arange(len(dataset)))):
    print(f"FOLD {fold}")

    data = DataModule(test_ids, dataset, train_ids)

    model = LitModel()

    trainer = L.Trainer(max_epochs=num_epochs, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False)
    trainer.fit(model, datamodule=data)
    network = model.network

    # How good is this fold's network?
    correct, total = 0, 0
    with torch.no_grad():
        for inputs, targets in data.test_dataloader():
            predicted = network(inputs).argmax(1)
            total += targets.size(0)
            correct += (predicted == targets).sum().item()
    print(f"fold {fold}: {100.0 * correct / total:.2f} %")
    results[fold] = 100.0 * correct / total

print(f"average: {sum(results.values()) / len(results):.2f} %")
