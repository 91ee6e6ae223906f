import argparse
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
import torchlift as L
from sklearn.datasets import load_digits


class AverageMeter(object):
    """Keeps the latest value, the sum and the running mean."""
    def __init__(self):
        self.reset()

    def reset(self):
        self.val = 0
        self.avg = 0
        self.sum = 0
        self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count


class DigitImages(Dataset):
    def __init__(self, train=True, noise=0.0):
        bunch = load_digits()
        keep = slice(0, 1400) if train else slice(1400, None)
        self.x = torch.tensor(bunch.images[keep], dtype=torch.float32).unsqueeze(1) / 16
        self.y = torch.tensor(bunch.target[keep])
        self.noise = noise

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        img = self.x[i]
        if self.noise:
            img = img + self.noise * torch.randn_like(img)
        return img, self.y[i]


def get_model():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(32, 10))


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean().item()


class DigitImagesDataModule(L.LightningDataModule):
    def __init__(self, bs):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return DataLoader(DigitImages(train=True, noise=0.1), batch_size=self.hparams.bs, shuffle=True)

    def val_dataloader(self):
        return DataLoader(DigitImages(train=False), batch_size=256)


class LitModel(L.LightningModule):
    def __init__(self, max_lr, epochs):
        super().__init__()
        self.save_hyperparameters()
        self.model = get_model()
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.05)

    def forward(self, images):
        return self.model(images)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.hparams.max_lr)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.hparams.max_lr,
            epochs=self.hparams.epochs,
            steps_per_epoch=len(self.trainer.datamodule.train_dataloader()),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self):
        self.losses = AverageMeter()
        self.top1 = AverageMeter()

    def training_step(self, batch, batch_idx):
        images, target = batch
        output = self.model(images)
        loss = self.criterion(output, target)

        self.losses.update(loss.item(), images.size(0))
        self.top1.update(accuracy(output, target), images.size(0))
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        self.train_loss, self.train_acc = self.losses.avg, self.top1.avg
        self.validate_losses = AverageMeter()
        self.validate_top1 = AverageMeter()

    def validation_step(self, batch, batch_idx):
        images, target = batch
        output = self.model(images)
        self.validate_losses.update(self.criterion(output, target).item(), images.size(0))
        self.validate_top1.update(accuracy(output, target), images.size(0))

    def on_validation_epoch_end(self):
        val_loss, val_acc = self.validate_losses.avg, self.validate_top1.avg
        print(
            f"{self.current_epoch}: train {self.train_loss:.4f} ({self.train_acc:.2%})  val {val_loss:.4f} ({val_acc:.2%})  "
            f"lr {self.lr_schedulers().get_last_lr()[0]:.6f}"
        )


def main(opt):
    torch.manual_seed(opt.seed)

    data = DigitImagesDataModule(opt.bs)
    data.setup("fit")  # the data is made here, as it was
    model = LitModel(opt.max_lr, opt.epochs)

    trainer = L.Trainer(
        max_epochs=opt.epochs,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(model, datamodule=data)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--epochs", type=int, default=6)
    p.add_argument("--bs", type=int, default=100)
    p.add_argument("--max-lr", type=float, default=0.02)
    p.add_argument("--seed", type=int, default=0)
    main(p.parse_args())
