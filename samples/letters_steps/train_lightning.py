"""A next-letter model trained by steps, with accumulated gradients, warm-up by hand and an estimate now and then."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchlift as L

# -----------------------------------------------------------------------------
eval_interval = 10
eval_iters = 4
gradient_accumulation_steps = 2
batch_size = 8
block_size = 16
learning_rate = 1e-2
max_iters = 30
warmup_iters = 5
min_lr = 1e-3
# -----------------------------------------------------------------------------
torch.manual_seed(1337)
text = "the quick brown fox jumps over the lazy dog. " * 60
stoi = {ch: i for i, ch in enumerate(sorted(set(text)))}
data = torch.tensor([stoi[ch] for ch in text], dtype=torch.long)
n = int(0.9 * len(data))
train_data, val_data = data[:n], data[n:]


def get_batch(split):
    data = train_data if split == "train" else val_data
    ix = torch.randint(len(data) - block_size, (batch_size,))
    x = torch.stack([data[i : i + block_size] for i in ix])
    y = torch.stack([data[i + 1 : i + 1 + block_size] for i in ix])
    return x, y


class Letters(nn.Module):
    def __init__(self, vocab_size, width=32):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.mix = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, idx, targets):
        x, _ = self.mix(self.embed(idx))
        logits = self.head(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return logits, loss


class Batches:
    """What a loop goes over, made anew for each epoch at its first batch; it ends early when told to stop.

    How many batches there are shows at their end: the length is a bound. Without one, a Trainer would fetch ahead.
    """

    def __init__(self, make):
        self.make = make
        self.stopped = False

    def __len__(self):
        return 2**31 - 1

    def __iter__(self):
        self.stopped = False
        for batch in self.make():
            yield batch
            if self.stopped:
                return


class LitLetters(L.LightningModule):
    def __init__(self, learning_rate):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False  # backward, zero_grad or step depends on a condition
        self.grad_clip = 1.0
        self.model = Letters(len(stoi))
        self.iter_num = 0
        self.best_val_loss = 1e9

    def forward(self, X, Y):
        return self.model(X, Y)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.model.parameters(), lr=self.hparams.learning_rate)

    def train_dataloader(self):
        return Batches(self.batches)

    def batches(self):
        while True:
            yield 0  # the step finds its data itself

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        # determine and set the learning rate for this iteration
        lr = get_lr(self.iter_num)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr

        # evaluate the loss on train/val sets and write checkpoints
        if self.iter_num % eval_interval == 0:
            losses = estimate_loss()
            print(f"step {self.iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
            if losses["val"] < self.best_val_loss:
                self.best_val_loss = losses["val"]
                torch.save(self.model.state_dict(), "ckpt.pt")

        # forward backward update, with gradient accumulation
        for micro_step in range(gradient_accumulation_steps):
            logits, loss = self.model(self.X, self.Y)
            loss = loss / gradient_accumulation_steps
            self.X, self.Y = get_batch("train")
            self.manual_backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        self.iter_num += 1
        # termination conditions
        if self.iter_num > max_iters:
            self.trainer.should_stop = True


lit_model = LitLetters(learning_rate)
model = lit_model.model


@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ["train", "val"]:
        losses = torch.zeros(eval_iters)
        for k in range(eval_iters):
            X, Y = get_batch(split)
            logits, loss = model(X, Y)
            losses[k] = loss.item()
        out[split] = losses.mean()
    model.train()
    return out


def get_lr(it):
    # linear warmup, then cosine decay to the minimum
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    decay_ratio = (it - warmup_iters) / (max_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


X, Y = get_batch("train")  # fetch the very first batch
lit_model.X = X
lit_model.Y = Y
trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False)
trainer.fit(lit_model)

print(f"best val loss {lit_model.best_val_loss:.4f}")
