"""Options that an ``exec`` or ``globals()`` may set: what stands in the text is not what the run uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS

OPTIONS = 'device = "cuda"\nextra = False\nlr = 0.5\nepochs = 2\n'
SETTING = {
    "exec": "exec(\"device = 'cpu'; extra = True; lr = 0.01; epochs = 3\")\n",
    "globals().update": "globals().update(device='cpu', extra=True, lr=0.01, epochs=3)\n",
    "globals()[...]": "for key, value in dict(device='cpu', extra=True, lr=0.01, epochs=3).items():\n"
    "    globals()[key] = value\n",
}
LOOP = """\
model = nn.Linear(4, 3).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=lr)
for epoch in range(epochs):
    for x, y in train_loader:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        if extra:
            loss = loss * 2
        loss.backward()
        optimizer.step()
    print(epoch, loss.item().hex())
"""


@pytest.mark.parametrize("setting", SETTING.values(), ids=SETTING)
def test_options_are_read_where_the_run_has_them(setting: str, tmp_path: Path) -> None:
    result = same(IMPORTS + OPTIONS + setting + DATA + LOOP + END, tmp_path)
    assert "accelerator=torch.device(device).type" in (result.code or "")


def test_leaves_alone_what_nothing_sets(tmp_path: Path) -> None:
    """A method of that name, or a dictionary, binds no variable."""
    plain = OPTIONS.replace("cuda", "cpu") + "class Runner:\n    def exec(self, text):\n        return text\n\n\n"
    result = same(IMPORTS + plain + "Runner().exec('lr = 9')\n" + DATA + LOOP + END, tmp_path)
    assert 'accelerator="cpu"' in (result.code or "")
