from __future__ import print_function
import argparse
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L


class Net(nn.Module):
    def __init__(self, hidden=64):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.dropout = nn.Dropout(0.25)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x):
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout(x)
        return F.log_softmax(self.fc2(x), dim=1)


class DigitsDataModule(L.LightningDataModule):
    def __init__(self, test_batch_size, batch_size):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        self.train_kwargs = {'batch_size': self.hparams.batch_size, 'shuffle': True}
        self.test_kwargs = {'batch_size': self.hparams.test_batch_size}

        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32) / 16.0
        labels = torch.tensor(digits.target)
        self.dataset1 = TensorDataset(images[:1500], labels[:1500])
        self.dataset2 = TensorDataset(images[1500:], labels[1500:])

    def train_dataloader(self):
        return DataLoader(self.dataset1, **self.train_kwargs)

    def val_dataloader(self):
        return DataLoader(self.dataset2, **self.test_kwargs)


class LitNet(L.LightningModule):
    def __init__(self, hidden, lr, gamma, log_interval):
        super().__init__()
        self.save_hyperparameters()
        self.model = Net(hidden)

    def forward(self, data):
        return self.model(data)

    def configure_optimizers(self):
        optimizer = optim.Adam(self.model.parameters(), lr=self.hparams.lr)
        scheduler = StepLR(optimizer, step_size=1, gamma=self.hparams.gamma)
        return [optimizer], [scheduler]

    def training_step(self, batch, batch_idx):
        data, target = batch
        output = self.model(data)
        loss = F.nll_loss(output, target)
        if batch_idx % self.hparams.log_interval == 0:
            print(
                'Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}'.format(
                    self.epoch,
                    batch_idx * len(data),
                    len(self.trainer.train_dataloader.dataset),
                    100.0 * batch_idx / len(self.trainer.train_dataloader),
                    loss.item(),
                )
            )
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        self.test_loss = 0
        self.correct = 0

    def validation_step(self, batch, batch_idx):
        data, target = batch
        output = self.model(data)
        self.test_loss += F.nll_loss(output, target, reduction='sum').item()  # sum up batch loss
        pred = output.argmax(dim=1, keepdim=True)  # the most likely class
        self.correct += pred.eq(target.view_as(pred)).sum().item()

    def on_validation_epoch_end(self):
        self.test_loss /= len(self.trainer.val_dataloaders.dataset)

        print(
            '\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.1f}%)\n'.format(
                self.test_loss,
                self.correct,
                len(self.trainer.val_dataloaders.dataset),
                100.0 * self.correct / len(self.trainer.val_dataloaders.dataset),
            )
        )
        self.log_dict({"test_loss": self.test_loss, "correct": self.correct}, prog_bar=True)

    @property
    def epoch(self):
        return self.current_epoch + 1


def main():
    # Training settings
    parser = argparse.ArgumentParser(description='Handwritten digits with a small network')
    parser.add_argument('--batch-size', type=int, default=64, metavar='N',
                        help='input batch size for training (default: 64)')
    parser.add_argument('--test-batch-size', type=int, default=500, metavar='N',
                        help='input batch size for testing (default: 500)')
    parser.add_argument('--epochs', type=int, default=5, metavar='N',
                        help='number of epochs to train (default: 5)')
    parser.add_argument('--hidden', type=int, default=64,
                        help='width of the hidden layer (default: 64)')
    parser.add_argument('--lr', type=float, default=0.01, metavar='LR',
                        help='learning rate (default: 0.01)')
    parser.add_argument('--gamma', type=float, default=0.7, metavar='M',
                        help='factor of the learning rate after each epoch (default: 0.7)')
    parser.add_argument('--no-cuda', action='store_true', default=False,
                        help='stay on the CPU')
    parser.add_argument('--dry-run', action='store_true', default=False,
                        help='stop each epoch at the first line that is printed')
    parser.add_argument('--seed', type=int, default=1, metavar='S',
                        help='random seed (default: 1)')
    parser.add_argument('--log-interval', type=int, default=10, metavar='N',
                        help='batches between two printed lines (default: 10)')
    parser.add_argument('--save-model', action='store_true', default=False,
                        help='keep the trained weights')
    args = parser.parse_args()
    use_cuda = not args.no_cuda and torch.cuda.is_available()

    torch.manual_seed(args.seed)

    data = DigitsDataModule(args.test_batch_size, args.batch_size)
    lit_model = LitNet(args.hidden, args.lr, args.gamma, args.log_interval)

    trainer = L.Trainer(
        max_epochs=args.epochs,
        accelerator="gpu" if use_cuda else "cpu",
        devices=1,
        limit_train_batches=1 if args.dry_run else None,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, datamodule=data)
    lit_model.to("cuda" if use_cuda else "cpu")  # the Trainer has moved it to the CPU
    model = lit_model.model

    if args.save_model:
        torch.save(model.state_dict(), "digits_mlp.pt")


if __name__ == '__main__':
    main()
