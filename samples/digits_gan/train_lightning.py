import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L

n_epochs = 6
batch_size = 64
latent_dim = 16
sample_interval = 50

cuda = True if torch.cuda.is_available() else False
torch.manual_seed(5)
os.makedirs("images", exist_ok=True)


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(latent_dim, 32, normalize=False),
            *block(32, 64),
            nn.Linear(64, 64),
            nn.Tanh()
        )

    def forward(self, z):
        img = self.model(z)
        return img.view(img.size(0), 8, 8)


class Discriminator(nn.Module):
    def __init__(self):
        super(Discriminator, self).__init__()

        self.model = nn.Sequential(
            nn.Linear(64, 64),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(64, 1),
            nn.Sigmoid(),
        )

    def forward(self, img):
        return self.model(img.view(img.size(0), -1))


class DigitsDataModule(L.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        # Configure data loader
        self.imgs_all = torch.tensor(load_digits().images / 8 - 1, dtype=torch.float32)

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.imgs_all), batch_size=self.hparams.batch_size, shuffle=True)


class LitModel(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False  # 2 optimizers step in turn
        # Loss function
        self.adversarial_loss = torch.nn.BCELoss()
        # Initialize generator and discriminator
        self.generator = Generator()
        self.discriminator = Discriminator()

    def configure_optimizers(self):
        # Optimizers
        optimizer_G = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        optimizer_D = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        return optimizer_G, optimizer_D

    def training_step(self, batch, batch_idx):
        (imgs,) = batch
        optimizer_G, optimizer_D = self.optimizers()
        # Adversarial ground truths
        valid = torch.ones(imgs.size(0), 1)
        fake = torch.zeros(imgs.size(0), 1)
        if cuda:
            valid, fake = valid.to(self.device), fake.to(self.device)

        # -----------------
        #  Train Generator
        # -----------------

        optimizer_G.zero_grad()

        # Sample noise as generator input
        z = torch.randn(imgs.shape[0], latent_dim)
        if cuda:
            z = z.to(self.device)

        # Generate a batch of images
        gen_imgs = self.generator(z)

        # Loss measures generator's ability to fool the discriminator
        g_loss = self.adversarial_loss(self.discriminator(gen_imgs), valid)

        self.manual_backward(g_loss)
        optimizer_G.step()

        # ---------------------
        #  Train Discriminator
        # ---------------------

        optimizer_D.zero_grad()

        # Measure discriminator's ability to classify real from generated samples
        real_loss = self.adversarial_loss(self.discriminator(imgs), valid)
        fake_loss = self.adversarial_loss(self.discriminator(gen_imgs.detach()), fake)
        d_loss = (real_loss + fake_loss) / 2

        self.manual_backward(d_loss)
        optimizer_D.step()

        batches_done = self.current_epoch * len(self.trainer.train_dataloader) + batch_idx
        if batches_done % sample_interval == 0:
            print(
                "[Epoch %d/%d] [Batch %d/%d] [D loss: %f] [G loss: %f]"
                % (
                    self.current_epoch,
                    n_epochs,
                    batch_idx,
                    len(self.trainer.train_dataloader),
                    d_loss.item(),
                    g_loss.item(),
                )
            )
            np.save("images/%d.npy" % batches_done, gen_imgs.data[:25].cpu().numpy())
        self.log("g_loss", g_loss, prog_bar=True)
        self.log("d_loss", d_loss, prog_bar=True)


model = LitModel()

data = DigitsDataModule(batch_size)

# ----------
#  Training
# ----------

trainer = L.Trainer(
    max_epochs=n_epochs, accelerator="gpu" if cuda else "cpu", devices=1, enable_checkpointing=False, logger=False
)
trainer.fit(model, datamodule=data)
