"""Data is made and drawn in the order of the script: whatever draws in between shows in the first loss."""

from __future__ import annotations

import pytest

LOOP = """
for epoch in range(3):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    print(epoch, total / len(test_loader))
"""
TRAIN_ONLY = """
for epoch in range(3):
    for x, y in BATCHES:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""
TENSORS = """
inputs = torch.randn(56, 4)
targets = inputs.sum(dim=1, keepdim=True)
"""
LOADERS = """
train_loader = DataLoader(TensorDataset(inputs[:40], targets[:40]), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(inputs[40:], targets[40:]), batch_size=8)
"""
MODEL = """
model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
criterion = nn.MSELoss()
"""
SPLIT = """
first, second = random_split(TensorDataset(inputs, targets), [40, 16])
train_loader = DataLoader(first, batch_size=8, shuffle=True)
test_loader = DataLoader(second, batch_size=8)
"""

ORDERS = {
    "data, then model": (TENSORS + LOADERS, MODEL),
    "model, then data": (MODEL, TENSORS + LOADERS),
    "model between the data and its split": (TENSORS, MODEL + SPLIT),
    "split, then model": (TENSORS + SPLIT, MODEL),
    "a batch looked at between": (TENSORS + LOADERS, "sample, _ = next(iter(train_loader))\n" + MODEL.lstrip()),
    "a batch looked at behind": (
        TENSORS + LOADERS,
        MODEL + "sample, _ = next(iter(train_loader))\nprint(sample.sum())\n",
    ),
    "all batches looked at": (
        TENSORS + LOADERS,
        MODEL + "mean = 0.0\nfor x, _ in train_loader:\n    mean += x.mean().item()\nprint(mean)\n",
    ),
}


@pytest.mark.parametrize(("data", "model"), ORDERS.values(), ids=ORDERS)
def test_order_of_draws(traps, data: str, model: str) -> None:
    traps.exact(LOOP, data=data, model=model)


def test_value_of_the_first_batch_used_in_the_loop(traps) -> None:
    model = MODEL.replace("criterion", "sample, _ = next(iter(train_loader))\ncriterion")
    traps.exact(LOOP.replace("model(x), y)\n        loss", "model(x - sample.mean()), y)\n        loss"), model=model)


LOADERS_OF_A_KIND = {
    "shuffled test set": LOADERS.replace("targets[40:]), batch_size=8", "targets[40:]), batch_size=8, shuffle=True"),
    "ragged last batch": LOADERS.replace("batch_size=8", "batch_size=7"),
    "last batch dropped": LOADERS.replace("shuffle=True", "shuffle=True, drop_last=True").replace("size=8", "size=7"),
    "weighted sampler": """
weights = [1.0] * 20 + [3.0] * 20
sampler = torch.utils.data.WeightedRandomSampler(weights, 40)
train_loader = DataLoader(TensorDataset(inputs[:40], targets[:40]), batch_size=8, sampler=sampler)
test_loader = DataLoader(TensorDataset(inputs[40:], targets[40:]), batch_size=8)
""",
    "test set with its own generator": LOADERS.rstrip()[:-1]
    + ", shuffle=True, generator=torch.Generator().manual_seed(2))",
    "training set in order, with its own generator": LOADERS.replace("shuffle=True", "generator=torch.Generator()"),
}


@pytest.mark.parametrize("loaders", LOADERS_OF_A_KIND.values(), ids=LOADERS_OF_A_KIND)
def test_kind_of_loader(traps, loaders: str) -> None:
    traps.exact(LOOP, data=TENSORS + loaders)


DATASETS = {
    "draws when it is made": """
class Rows(Dataset):
    def __init__(self, count):
        self.rows = torch.randn(count, 4)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index], self.rows[index].sum().unsqueeze(0)
""",
    "draws each row": """
class Rows(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        row = torch.randn(4)
        return row, row.sum().unsqueeze(0)
""",
    "remembers what it drew": """
class Rows(Dataset):
    def __init__(self, count):
        self.count, self.drawn = count, {}

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index not in self.drawn:
            self.drawn[index] = torch.randn(4)
        return self.drawn[index], self.drawn[index].sum().unsqueeze(0)
""",
    "streams, with a length": """
class Rows(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        for _ in range(self.count):
            row = torch.randn(4)
            yield row, row.sum().unsqueeze(0)
""",
}
AT_ONCE = "train_loader = DataLoader(Rows(40), batch_size=8)\ntest_loader = DataLoader(Rows(16), batch_size=8)\n"
NAMED = """
train_set, test_set = Rows(40), Rows(16)
train_loader = DataLoader(train_set, batch_size=8)
test_loader = DataLoader(test_set, batch_size=8)
"""
WITHOUT_MODES = LOOP.replace("    model.train()\n", "").replace(
    "    model.eval()\n", ""
)  # evaluated by a loop of its own


@pytest.mark.parametrize("loop", [LOOP, WITHOUT_MODES], ids=["validation hooks", "a loop in a hook"])
@pytest.mark.parametrize("loaders", [AT_ONCE, NAMED], ids=["made at once", "named"])
@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_dataset_of_the_scripts_own(traps, dataset: str, loaders: str, loop: str) -> None:
    traps.exact(loop, data=dataset + "\n\n" + loaders)


def test_stream_without_a_length(traps) -> None:
    """A Trainer fetches one batch ahead of the step: draws of the stream and of dropout would change places."""
    dataset = DATASETS["streams, with a length"].replace("__len__", "how_many")
    traps.exact(TRAIN_ONLY.replace("BATCHES:", "train_loader:"), data=dataset + "\n\n" + AT_ONCE)


def test_shuffling_by_a_generator_of_its_own(traps) -> None:
    """The sampler draws once more when it is asked for a batch behind the last; a Trainer does not ask."""
    loaders = LOADERS.replace("shuffle=True", "shuffle=True, generator=torch.Generator().manual_seed(3)")
    traps.exact(TRAIN_ONLY.replace("BATCHES:", "train_loader:"), data=TENSORS + loaders)


def test_batches_of_a_list(traps) -> None:
    """Lightning takes a list for several loaders: it comes in one."""
    batches = "batches = [(inputs[i : i + 8], targets[i : i + 8]) for i in range(0, 40, 8)]\n"
    traps.exact(TRAIN_ONLY.replace("BATCHES:", "batches:"), data=TENSORS + batches)


def test_batches_that_are_no_loader(traps) -> None:
    """Lightning takes a tuple for several loaders, and a zip for one without a length."""
    batches = "batches = tuple((inputs[i : i + 8], targets[i : i + 8]) for i in range(0, 40, 8))\n"
    traps.exact(TRAIN_ONLY.replace("BATCHES:", "batches:"), data=TENSORS + batches)
    loop = TRAIN_ONLY.replace("x, y in BATCHES:", "(x, y), _ in zip(train_loader, test_loader):")
    traps.exact(loop)


def test_batches_cut_by_hand(traps) -> None:
    rows = TRAIN_ONLY.replace("    for x, y in BATCHES:\n", "    for i in range(0, 40, 8):\n        x, y = PART\n")
    part = "inputs[i : i + 8], targets[i : i + 8]"
    traps.exact(rows.replace("PART", part), data=TENSORS)
    shuffled = rows.replace("PART", part.replace("[i : i + 8]", "[order[i : i + 8]]"))
    by_torch = shuffled.replace("    for i", "    order = torch.randperm(40)\n    for i")
    traps.exact(by_torch, data=TENSORS)


def test_batches_shuffled_by_python(traps) -> None:
    loop = """
    order = list(range(40))
    for epoch in range(3):
        random.shuffle(order)
        for i in range(0, 40, 8):
            optimizer.zero_grad()
            loss = criterion(model(inputs[order[i : i + 8]]), targets[order[i : i + 8]])
            loss.backward()
            optimizer.step()
    print(loss.item(), random.random())
    """
    traps.exact(loop, data=TENSORS)


def test_a_cycled_loader_replays_its_first_epoch(traps) -> None:
    loop = """
    stream = itertools.cycle(train_loader)
    for step in range(20):
        x, y = next(stream)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    print(loss.item())
    """
    traps.exact(loop)


def test_dictionaries_as_batches(traps) -> None:
    data = """
    class Rows(Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            row = torch.full((4,), index / 40)
            return {"x": row, "y": row.sum().unsqueeze(0)}


    rows = Rows()
    train_loader = DataLoader(rows, batch_size=8, shuffle=True)
    """
    loop = TRAIN_ONLY.replace("x, y in BATCHES", "batch in train_loader")
    traps.exact(loop.replace("model(x), y", 'model(batch["x"]), batch["y"]'), data=data)


HEADERS = ["x, y in train_loader", "(x), (y) in train_loader", "[x, y] in train_loader"]
HEADERS += ["i, (x, y) in enumerate(train_loader)", "i, ( x, y ) in enumerate(train_loader)"]


@pytest.mark.parametrize("header", HEADERS)
def test_ways_to_unpack_a_batch(traps, header: str) -> None:
    traps.exact(TRAIN_ONLY.replace("x, y in BATCHES", header))


def test_nested_batches(traps) -> None:
    data = """
    rows = [((torch.full((4,), i / 9), torch.ones(4)), (torch.ones(1), torch.zeros(1))) for i in range(40)]
    train_loader = DataLoader(rows, batch_size=8, shuffle=True)
    """
    loop = TRAIN_ONLY.replace("x, y in BATCHES", "(x, z), (y, w) in train_loader")
    traps.exact(loop.replace("model(x), y", "model(x * z), y + w"), data=data)


def test_full_batch_without_a_loader(traps) -> None:
    loop = """
    for step in range(20):
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if step % 5 == 4:
            print(step, loss.item())
    """
    assert traps.exact(loop, data=TENSORS).datamodule


DRAWN = DATASETS["draws each row"] + "\n\n" + NAMED
LOOKED_AT = {
    "a row": "sample = train_set[0][0].mean()",
    "rows": "sample = sum(train_set[i][0].mean() for i in range(3))",
    "rows of a part": "sample = torch.utils.data.Subset(train_set, range(4))[1][0].mean()",
    "its length": "sample = 1.0 / len(train_set)",
}


@pytest.mark.parametrize("look", LOOKED_AT.values(), ids=LOOKED_AT)
def test_rows_looked_at_before_the_loop(traps, look: str) -> None:
    """A dataset may draw when it is asked for a row, so nothing that draws may change sides with the asking."""
    model = MODEL.replace("criterion", look + "\ncriterion")
    traps.exact(
        LOOP.replace("model(x), y)\n        loss", "model(x - sample), y)\n        loss"), data=DRAWN, model=model
    )


PAIR = """
train_dataloader, val_dataloader = (
    DataLoader(TensorDataset(inputs[:40], targets[:40]), batch_size=8, shuffle=True),
    DataLoader(TensorDataset(inputs[40:], targets[40:]), batch_size=8),
)
"""
METHODS = LOOP.replace("train_loader", "train_dataloader").replace("test_loader", "val_dataloader")
HOOKS = """
trainer = torch.randn(56, 4)
setup = trainer.sum(dim=1, keepdim=True)
prepare_data = TensorDataset(trainer[:40], setup[:40])
hparams = TensorDataset(trainer[40:], setup[40:])
train_loader = DataLoader(prepare_data, batch_size=8, shuffle=True)
test_loader = DataLoader(hparams, batch_size=8)
"""


@pytest.mark.parametrize(
    ("data", "loop"),
    [
        (
            TENSORS + LOADERS.replace("train_loader", "train_dataloader").replace("test_loader", "val_dataloader"),
            METHODS,
        ),
        (TENSORS + PAIR, METHODS),
        (HOOKS, LOOP),
    ],
    ids=["loaders", "loaders made together", "datasets"],
)
def test_names_that_a_data_module_has_taken(traps, data: str, loop: str) -> None:
    assert traps.exact(loop, data=data).datamodule
