"""Classify digits with a Trainer class of our own."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Trainer:
    def __init__(self, model, train_data, test_data, optimizer, save_every):
        self.model = model
        self.train_data = train_data
        self.test_data = test_data
        self.optimizer = optimizer
        self.save_every = save_every
        self.best = 0.0

    def _run_batch(self, source, targets):
        self.optimizer.zero_grad()
        output = self.model(source)
        loss = F.cross_entropy(output, targets)
        loss.backward()
        self.optimizer.step()

    def _run_epoch(self, epoch):
        print(f"Epoch {epoch} | Batchsize: {self.train_data.batch_size} | Steps: {len(self.train_data)}")
        for source, targets in self.train_data:
            self._run_batch(source, targets)

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

    def train(self, max_epochs):
        for epoch in range(max_epochs):
            self._run_epoch(epoch)
            accuracy = self._evaluate()
            self.best = max(self.best, accuracy)
            print(f"accuracy {accuracy:.4f}")
            if epoch % self.save_every == 0:
                self._save_checkpoint(epoch)


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
