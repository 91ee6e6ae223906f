"""Objects that are reached by a way that is easy to overlook: defaults, class bodies, hooks, closures, growing data."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

PARTS = {"@IMPORTS\n": IMPORTS, "@DATA\n": DATA, "@MODEL\n": MODEL, "@END\n": END}


def whole(short: str) -> str:
    """A script with its usual parts in their places."""
    text = dedent(short).lstrip("\n")
    for mark, part in PARTS.items():
        text = text.replace(mark, part)
    return text


SAME = {
    "a default argument that holds the model": """
        @IMPORTS
        @DATA
        @MODEL
        def report(m=model, seen=[]):
            seen.append(sum(p.sum().item() for p in m.parameters()))
            return len(seen), seen[-1]
        for epoch in range(2):
            for x, y in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                print(report())
        @END
    """,
    "a class attribute that holds the model": """
        @IMPORTS
        @DATA
        @MODEL
        class Reg:
            net = model
            def norm(self, m=model):
                return m.fc1.weight.sum().item()
        for epoch in range(2):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
                print(Reg.net.fc1.weight.sum().item(), Reg().norm())
        @END
    """,
    "a lambda's default": """
        @IMPORTS
        @DATA
        @MODEL
        show = lambda m=model: m.fc1.weight.sum().item()
        for epoch in range(2):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
                print(show())
        @END
    """,
    "a tensor's hook that reads a global": """
        @IMPORTS
        @DATA
        @MODEL
        scale = 1.0
        def hook(grad):
            return grad * scale
        model.fc1.weight.register_hook(hook)
        for epoch in range(3):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
                scale = scale * 0.8
            print(epoch, loss.item())
        @END
    """,
    "a hook that collects": """
        @IMPORTS
        @DATA
        @MODEL
        norms = []
        model.fc1.weight.register_hook(lambda g: norms.append(g.norm().item()))
        for epoch in range(2):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
                print(len(norms))
        @END
    """,
    "an autograd function that reads a global": """
        @IMPORTS
        k = 1.0
        class Flip(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()
            @staticmethod
            def backward(ctx, g):
                return g * k
        @DATA
        @MODEL
        for epoch in range(2):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(Flip.apply(model(x)), t)
                loss.backward()
                optimizer.step()
                k *= 0.5
            print(loss.item())
        @END
    """,
    "a list that grows": """
        @IMPORTS
        @DATA
        @MODEL
        rows = [(X[i], y[i]) for i in range(16)]
        tl = DataLoader(rows, batch_size=8)
        for epoch in range(3):
            for x, t in tl:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            rows.extend((X[i], y[i]) for i in range(16, 24))
            print(epoch, loss.item(), len(tl))
        @END
    """,
    "a dataset that grows by a method": """
        @IMPORTS
        @DATA
        @MODEL
        class Pool(torch.utils.data.Dataset):
            def __init__(self): self.n = 8
            def __len__(self): return self.n
            def __getitem__(self, i): return X[i], y[i]
            def grow(self): self.n += 8
        pool = Pool()
        tl = DataLoader(pool, batch_size=4, shuffle=True)
        for epoch in range(3):
            for x, t in tl:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            pool.grow()
            print(epoch, loss.item(), len(tl))
        @END
    """,
    "a dataset that grows by an attribute": """
        @IMPORTS
        @DATA
        @MODEL
        class Pool(torch.utils.data.Dataset):
            def __init__(self): self.n = 8
            def __len__(self): return self.n
            def __getitem__(self, i): return X[i], y[i]
        pool = Pool()
        tl = DataLoader(pool, batch_size=4, shuffle=True)
        for epoch in range(3):
            for x, t in tl:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            tl.dataset.n += 4
            print(epoch, loss.item(), len(tl))
        @END
    """,
    "a list for evaluation that grows": """
        @IMPORTS
        @DATA
        @MODEL
        rows = [(X[i], y[i]) for i in range(8)]
        vl = DataLoader(rows, batch_size=4)
        for epoch in range(3):
            model.train()
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            model.eval()
            tot = 0
            with torch.no_grad():
                for x, t in vl:
                    tot += F.cross_entropy(model(x), t).item()
            rows.append((X[epoch + 9], y[epoch + 9]))
            print(epoch, loss.item(), tot)
        @END
    """,
    "gradients added between two trainings": """
        @IMPORTS
        @DATA
        @MODEL
        for epoch in range(2):
            for x, y in train_loader:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            print(loss.item())
        F.cross_entropy(model(X[:4]), y[:4] if len(y) >= 4 else y).backward()
        for epoch in range(2):
            for x, y in train_loader:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            print(loss.item())
        @END
    """,
}
REFUSED = {
    "lambdas that are kept": (
        "TL106",
        """
        @IMPORTS
        @DATA
        @MODEL
        fns = []
        for epoch in range(3):
            for i, (x, y) in enumerate(train_loader):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            fns.append(lambda: (epoch, loss.item()))
        print([f() for f in fns])
        @END
    """,
    ),
    "a closure that binds a variable of main": (
        "TL106",
        """
        @IMPORTS
        def main():
            X, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
            tl = DataLoader(TensorDataset(X[:32], y[:32]), batch_size=8, shuffle=True)
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            scale = 1.0
            def shrink():
                nonlocal scale
                scale *= 0.9
            for epoch in range(2):
                for x, t in tl:
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(x), t) * scale
                    loss.backward()
                    optimizer.step()
                    shrink()
                print(loss.item(), scale)
            print(scale, [p.sum().item() for p in model.parameters()])
        main()
    """,
    ),
    "a closure that binds the loss": (
        "TL106",
        """
        @IMPORTS
        def main():
            X, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
            tl = DataLoader(TensorDataset(X[:32], y[:32]), batch_size=8, shuffle=True)
            model = Net()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            criterion = nn.CrossEntropyLoss()
            def reset():
                nonlocal criterion
                criterion = nn.CrossEntropyLoss(label_smoothing=0.3)
            for epoch in range(2):
                for x, t in tl:
                    optimizer.zero_grad()
                    loss = criterion(model(x), t)
                    loss.backward()
                    optimizer.step()
                reset()
                print(loss.item())
            print([p.sum().item() for p in model.parameters()])
        main()
    """,
    ),
    "a function that binds the loss": (
        "TL106",
        """
        @IMPORTS
        @DATA
        @MODEL
        criterion = nn.CrossEntropyLoss()
        def reset():
            global criterion
            criterion = nn.CrossEntropyLoss(label_smoothing=0.3)
        for epoch in range(3):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), t)
                loss.backward()
                optimizer.step()
            if epoch == 1:
                reset()
            print(epoch, loss.item())
        @END
    """,
    ),
    "a function that binds the optimizer": (
        "TL106",
        """
        @IMPORTS
        @DATA
        @MODEL
        def reset():
            global optimizer
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for epoch in range(3):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            if epoch == 1:
                reset()
            print(epoch, loss.item())
        @END
    """,
    ),
    "a function that binds the loader": (
        "TL106",
        """
        @IMPORTS
        @DATA
        @MODEL
        def smaller():
            global train_loader
            train_loader = DataLoader(TensorDataset(X[:16], y[:16]), batch_size=4, shuffle=True)
        for epoch in range(3):
            for x, t in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            if epoch == 0:
                smaller()
            print(epoch, loss.item())
        @END
    """,
    ),
    "a model under another name": (
        "TL106",
        """
        @IMPORTS
        @DATA
        @MODEL
        net = model
        del model
        for epoch in range(2):
            for x, y in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x), y)
                loss.backward()
                optimizer.step()
                del loss
            print(epoch, "loss" in globals())
        model = net
        @END
    """,
    ),
    "a method's list as default": (
        "TL104",
        """
        @IMPORTS
        @DATA
        @MODEL
        class T:
            def __init__(self, model, opt):
                self.model = model
                self.opt = opt
            def note(self, v, seen=[]):
                seen.append(v)
                return sum(seen)
            def fit(self, loader):
                for epoch in range(2):
                    for x, y in loader:
                        self.opt.zero_grad()
                        loss = F.cross_entropy(self.model(x), y)
                        loss.backward()
                        self.opt.step()
                        s = self.note(loss.item())
                    print(epoch, s)
        t = T(model, optimizer)
        print(t.note(1.0))
        t.fit(train_loader)
        print(t.note(1.0))
        @END
    """,
    ),
    "a list as default": (
        "TL104",
        """
        @IMPORTS
        @DATA
        @MODEL
        def step(x, y, seen=[]):
            seen.append(1)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * len(seen)
            loss.backward()
            optimizer.step()
            return loss.item()
        for epoch in range(2):
            for x, y in train_loader:
                l = step(x, y)
            print(l)
        @END
    """,
    ),
    "a default that is bound anew later": (
        "TL104",
        """
        @IMPORTS
        @DATA
        @MODEL
        scale = 1.0
        def step(x, y, s=scale):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * s
            loss.backward()
            optimizer.step()
            return loss.item()
        scale = 3.0
        for epoch in range(2):
            for x, y in train_loader:
                l = step(x, y)
            print(l)
        @END
    """,
    ),
}


@pytest.mark.parametrize("short", SAME.values(), ids=SAME.keys())
def test_what_is_reached_that_way_is_seen(short: str, tmp_path: Path) -> None:
    same(whole(short), tmp_path)


@pytest.mark.parametrize(("code", "short"), REFUSED.values(), ids=REFUSED.keys())
def test_what_hooks_cannot_follow_is_refused(code: str, short: str) -> None:
    result = convert(whole(short), Options())
    assert result.status is Status.REFUSED
    assert result.diagnostics[0].code == code


def test_defaults_that_last_are_followed(tmp_path: Path) -> None:
    short = """
        @IMPORTS
        @DATA
        @MODEL
        def step(x, y, net=model, factor=-1.0, parts=(1, 2), criterion=nn.CrossEntropyLoss()):
            optimizer.zero_grad()
            loss = criterion(net(x), y) * -factor * parts[1]
            loss.backward()
            optimizer.step()
            return loss.item()


        for epoch in range(2):
            for x, y in train_loader:
                last = step(x, y)
            print(last)
        @END
        """
    same(whole(short), tmp_path)
