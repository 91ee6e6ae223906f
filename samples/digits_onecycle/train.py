import argparse
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from sklearn.datasets import load_digits
from tqdm import tqdm


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


def train_one_epoch(loader, model, criterion, optimizer, scheduler, epoch, device):
    losses = AverageMeter()
    top1 = AverageMeter()
    model.train()

    pbar = tqdm(loader, desc=f"epoch {epoch}", leave=False)
    for images, target in pbar:
        images = images.to(device, non_blocking=True)
        target = target.to(device, non_blocking=True)

        output = model(images)
        loss = criterion(output, target)

        losses.update(loss.item(), images.size(0))
        top1.update(accuracy(output, target), images.size(0))

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()

        pbar.set_postfix(loss=losses.avg, acc=top1.avg)
    return losses.avg, top1.avg


@torch.no_grad()
def validate(loader, model, criterion, device):
    losses = AverageMeter()
    top1 = AverageMeter()
    model.eval()
    for images, target in loader:
        images, target = images.to(device), target.to(device)
        output = model(images)
        losses.update(criterion(output, target).item(), images.size(0))
        top1.update(accuracy(output, target), images.size(0))
    return losses.avg, top1.avg


def main(opt):
    torch.manual_seed(opt.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    train_loader = DataLoader(DigitImages(train=True, noise=0.1), batch_size=opt.bs, shuffle=True)
    val_loader = DataLoader(DigitImages(train=False), batch_size=256)

    model = get_model().to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.AdamW(model.parameters(), lr=opt.max_lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=opt.max_lr, epochs=opt.epochs, steps_per_epoch=len(train_loader)
    )

    for epoch in range(opt.epochs):
        train_loss, train_acc = train_one_epoch(train_loader, model, criterion, optimizer, scheduler, epoch, device)
        val_loss, val_acc = validate(val_loader, model, criterion, device)
        print(f"{epoch}: train {train_loss:.4f} ({train_acc:.2%})  val {val_loss:.4f} ({val_acc:.2%})  "
              f"lr {scheduler.get_last_lr()[0]:.6f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--epochs", type=int, default=6)
    p.add_argument("--bs", type=int, default=100)
    p.add_argument("--max-lr", type=float, default=0.02)
    p.add_argument("--seed", type=int, default=0)
    main(p.parse_args())
