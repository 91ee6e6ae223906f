from __future__ import print_function
import argparse
import os
import torch
import torch.utils.data
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F
import torchlift as L


parser = argparse.ArgumentParser(description='VAE on 8x8 digits')
parser.add_argument('--batch-size', type=int, default=100, metavar='N',
                    help='input batch size for training (default: 100)')
parser.add_argument('--epochs', type=int, default=6, metavar='N',
                    help='number of epochs to train (default: 6)')
parser.add_argument('--seed', type=int, default=1, metavar='S',
                    help='random seed (default: 1)')
parser.add_argument('--log-interval', type=int, default=5, metavar='N',
                    help='how many batches to wait before logging training status')
parser.add_argument('--resume', default='', metavar='PATH',
                    help='checkpoint to go on from')
args = parser.parse_args()

torch.manual_seed(args.seed)

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


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


class DigitsDataModule(L.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        self.images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)

    def train_dataloader(self):
        return Batches(
            (
                torch.utils.data.DataLoader(
                    torch.utils.data.TensorDataset(self.images[:1500]), batch_size=self.hparams.batch_size, shuffle=True
                )
            )
        )

    def val_dataloader(self):
        return torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(self.images[1500:]), batch_size=self.hparams.batch_size, shuffle=False
        )


data = DigitsDataModule(args.batch_size)


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()

        self.fc1 = nn.Linear(64, 48)
        self.fc21 = nn.Linear(48, 8)
        self.fc22 = nn.Linear(48, 8)
        self.fc3 = nn.Linear(8, 48)
        self.fc4 = nn.Linear(48, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5*logvar)
        eps = torch.randn_like(std)
        return mu + eps*std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


class LitVAE(L.LightningModule):
    def __init__(self, log_interval):
        super().__init__()
        self.save_hyperparameters()
        self.model = VAE()
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-3)

    def forward(self, data):
        return self.model(data)

    def configure_optimizers(self):
        return self.optimizer

    def on_train_epoch_start(self):
        self.train_loss = 0

    def training_step(self, batch, batch_idx):
        (data,) = batch
        recon_batch, mu, logvar = self.model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        self.train_loss += loss.item()
        if batch_idx % self.hparams.log_interval == 0:
            print(
                'Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}'.format(
                    self.epoch,
                    batch_idx * len(data),
                    len(self.trainer.train_dataloader.loader.dataset),
                    100.0 * batch_idx / len(self.trainer.train_dataloader.loader),
                    loss.item() / len(data),
                )
            )
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        print(
            '====> Epoch: {} Average loss: {:.4f}'.format(
                self.epoch, self.train_loss / len(self.trainer.train_dataloader.loader.dataset)
            )
        )
        self.test_loss = 0

    def validation_step(self, batch, batch_idx):
        (data,) = batch
        recon_batch, mu, logvar = self.model(data)
        self.test_loss += loss_function(recon_batch, data, mu, logvar).item()

    def on_validation_epoch_end(self):
        self.test_loss /= len(self.trainer.val_dataloaders.dataset)
        print('====> Test set loss: {:.4f}'.format(self.test_loss))
        torch.save(
            {'epoch': self.epoch + 1, 'state_dict': self.model.state_dict(), 'optimizer': self.optimizer.state_dict()},
            'results/checkpoint.pth',
        )
        sample = torch.randn(16, 8).to(self.device)
        sample = self.model.decode(sample).cpu()
        torch.save(sample.view(16, 8, 8), 'results/sample_' + str(self.epoch) + '.pt')
        self.log("test_loss", self.test_loss, prog_bar=True)

    @property
    def epoch(self):
        return self.current_epoch + start_epoch


lit_model = LitVAE(args.log_interval)
model = lit_model.model
optimizer = lit_model.optimizer
start_epoch = 1

if args.resume:
    if os.path.isfile(args.resume):
        print("=> loading checkpoint '{}'".format(args.resume))
        checkpoint = torch.load(args.resume)
        start_epoch = checkpoint['epoch']
        model.load_state_dict(checkpoint['state_dict'])
        optimizer.load_state_dict(checkpoint['optimizer'])
    else:
        print("=> no checkpoint found at '{}'".format(args.resume))


# Reconstruction + KL divergence, summed over all elements and the batch
def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction='sum')

    # KL between a diagonal normal and the standard normal, Kingma and Welling (2014), appendix B
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    return BCE + KLD


if __name__ == "__main__":
    os.makedirs('results', exist_ok=True)
    trainer = L.Trainer(
        max_epochs=max(0, args.epochs + 1 - start_epoch),
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, datamodule=data)
    lit_model.to(device)  # the Trainer has moved it to the CPU
