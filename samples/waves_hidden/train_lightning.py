"""A recurrent network on a long wave: the hidden state is carried from batch to batch and cut from its history."""

import numpy as np
import torch
from torch import nn
import torchlift as L

torch.manual_seed(1)

# Hyper Parameters
TIME_STEP = 10
INPUT_SIZE = 1
LR = 0.02


class RNN(nn.Module):
    def __init__(self):
        super(RNN, self).__init__()
        self.rnn = nn.RNN(input_size=INPUT_SIZE, hidden_size=16, num_layers=1, batch_first=True)
        self.out = nn.Linear(16, 1)

    def forward(self, x, h_state):
        r_out, h_state = self.rnn(x, h_state)
        outs = []
        for time_step in range(r_out.size(1)):
            outs.append(self.out(r_out[:, time_step, :]))
        return torch.stack(outs, dim=1), h_state


class LitRNN(L.LightningModule):
    def __init__(self, LR):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = RNN()
        self.loss_func = nn.MSELoss()
        self.h_state = None  # for initial hidden state

    def forward(self, x, h_state):
        return self.rnn(x, h_state)

    def configure_optimizers(self):
        return torch.optim.Adam(self.rnn.parameters(), lr=self.hparams.LR)

    def training_step(self, batch, batch_idx):
        step = batch
        start, end = step * np.pi, (step + 1) * np.pi  # time range
        # use sin predicts cos
        steps = np.linspace(start, end, TIME_STEP, dtype=np.float32, endpoint=False)
        x = torch.from_numpy(np.sin(steps)[np.newaxis, :, np.newaxis])
        y = torch.from_numpy(np.cos(steps)[np.newaxis, :, np.newaxis])

        prediction, self.h_state = self.rnn(x, self.h_state)  # rnn output
        # !! next step is important !!
        self.h_state = self.h_state.data  # repack the hidden state, break the connection from last iteration

        loss = self.loss_func(prediction, y)  # calculate loss
        if step % 10 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
        self.log("train_loss", loss, prog_bar=True)
        # clear gradients for this training step
        # backpropagation, compute gradients
        # apply gradients
        return loss


model = LitRNN(LR)
rnn = model.rnn
print(rnn)

trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False)
trainer.fit(model, torch.utils.data.DataLoader(range(40), batch_size=None, generator=torch.Generator()))
