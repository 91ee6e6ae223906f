"""Whole scripts: an epoch around the batches, evaluations, trainings, and the place in which all of that stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st
from tests.converter.grammar.bodies import bodies
from tests.converter.grammar.parts import IMPORTS, MODELS, OPTIMIZERS, ROWS, SCHEDULERS, Feed, feeds

EVALUATE = """
def evaluate(model):
    MODE
    total = 0.0
    GUARD
        for a, b in test_loader:
            total += F.mse_loss(model(a), b).item()
    return total / len(test_loader)

"""
INLINE = (
    "model.eval()",
    "held_out = 0.0",
    "with torch.no_grad():",
    "    for a, b in test_loader:",
    "        held_out += criterion(model(a), b).item()",
    "print('held out', held_out)",
)
EVALUATIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "inline": INLINE,
    "inline, back in training": (*INLINE, "model.train()"),
    "no mode": INLINE[1:],
    "function": ("held_out = evaluate(model)", "print('held out', held_out)"),
    "function in a print": ("print(f'{epoch}: {evaluate(model)}')",),
    "now and then": ("if epoch % 2 == 1:", "    print('held out', evaluate(model))"),
    "best": (
        "held_out = evaluate(model)",
        "if held_out < best:",
        "    best = held_out",
        "    torch.save(model.state_dict(), 'best.pt')",
    ),
    "patience": ("if evaluate(model) > 0.9 * best:", "    break", "best = evaluate(model)"),
    "list": (
        "model.eval()",
        "with torch.no_grad():",
        "    outs = torch.cat([model(a) for a, b in test_loader])",
        "print(outs.sum().item())",
    ),
    "draws": (
        "model.eval()",
        "with torch.inference_mode():",
        "    print('sample', model(torch.randn(4, 3)).sum().item())",
    ),
}
# Between the epochs, in front of the batches or behind them.
AROUND: dict[str, tuple[str, ...]] = {
    "mode": ("model.train()",),
    "draw": ("noise = torch.randn(1)", "print('noise', noise.item())"),
    "seed": ("torch.manual_seed(epoch)",),
    "rate": ("print('rate', optimizer.param_groups[0]['lr'])",),
    "sums": ("print(epoch, count, seen, total)",),
    "clear": ("total, seen = 0.0, 0",),
    "random": ("print(random.random(), torch.rand(1).item())",),
    "weights": ("print('weight', weight.sum().item())",),
    "listed": ("history.append(total)",),
    "saved": ("torch.save(model.state_dict(), f'epoch{epoch}.pt')",),
    "optimizer saved": ("torch.save(optimizer.state_dict(), 'optimizer.pt')",),
    "zero": ("optimizer.zero_grad()",),
    "rate set": ("for group in optimizer.param_groups:", "    group['lr'] = 0.02 / (1 + epoch)"),
    "frozen": ("FIRST.weight.requires_grad_(epoch != 1)",),
    "shuffled": ("random.shuffle(order)",),
    "gradient": ("print(None if FIRST.weight.grad is None else FIRST.weight.grad.sum().item())",),
}
BEHIND: dict[str, tuple[str, ...]] = {
    "weights": ("print([p.sum().item().hex() for p in model.parameters()])",),
    "mode": ("print(model.training)",),
    "sums": ("print(count, seen, total, correct, best)",),
    "listed": ("print(losses, [float(one) for one in history])",),
    "evaluated": ("print('in the end', evaluate(model))",),
    "optimizer": ("print(optimizer.state_dict()['param_groups'][0]['lr'], len(optimizer.state))",),
    "draws": ("print(torch.rand(1).item(), random.random())",),
    "predicted": ("print(model(X).sum().item())",),
    "gradients": ("print([p.grad is None for p in model.parameters()])",),
    "average": ("print(average.sum().item(), weight.sum().item())",),
    "saved": ("torch.save(model.state_dict(), 'final.pt')",),
    "kept": ("model.load_state_dict(kept)",),
}
STATE = (
    "count = 0",
    "seen = 0",
    "correct = 0",
    "total = 0.0",
    "running = 0.0",
    "losses = []",
    "history = []",
    "best = float('inf')",
    "order = list(range(36))",
    "weight = FIRST.weight",
    "average = FIRST.weight.detach().clone()",
    "kept = copy.deepcopy(model.state_dict())",
)
# Other spellings: what a converter adds must not meet what stands there.
SPELLINGS = (
    {},
    {"model": "net"},
    {"loss": "log", "count": "global_step"},
    {"optimizer": "trainer", "x": "batch_idx"},
    {"model": "L"},
)


def inside(header: str, lines: Iterable[str]) -> list[str]:
    """Lines under a header; without one, or without lines, as they are."""
    body = list(lines)
    return body if not header else [header, *(f"    {line}" for line in body or ["pass"])]


def reading(lines: list[str], state: tuple[str, ...]) -> list[str]:
    """The statements that bind what the lines read, no others."""
    text = " ".join(lines)
    return [one for one in state if re.search(rf"\b{one.split()[0]}\b", text)]


@dataclass(frozen=True)
class Loops:
    """The lines of one training, and what else it takes."""

    lines: list[str]
    behind: list[str]


def pick(draw: st.DrawFn, table: dict[str, tuple[str, ...]], most: int) -> list[str]:
    """Lines of some entries of a table, in any order."""
    names = draw(st.lists(st.sampled_from(sorted(table)), max_size=most, unique=True))
    return [line for name in names for line in table[name]]


@st.composite
def loops(draw: st.DrawFn, feed: Feed, scheduler: str) -> Loops:
    """The nest: epochs around batches, with what stands around both."""
    when = SCHEDULERS[scheduler][1]
    per_step = when == "any" and draw(st.booleans())
    body = draw(bodies(per_step, bool(feed.header)))
    batches = inside(feed.header, [*feed.head, *body])
    before, after = pick(draw, AROUND, 2), pick(draw, AROUND, 2)
    evaluation = list(EVALUATIONS[draw(st.sampled_from(sorted(EVALUATIONS)))])
    stepping = []
    if scheduler and not per_step:
        stepping = ["scheduler.step(total)" if when == "watches" else "scheduler.step()"]
    behind_batches = [stepping, evaluation, after]
    epoch = before + batches + [line for part in draw(st.permutations(behind_batches)) for line in part]
    if draw(st.integers(0, 4)) == 4:
        epoch.insert(
            draw(st.sampled_from((0, len(epoch)))),
            draw(st.sampled_from(("if epoch == 1: break", "if epoch == 1: continue"))),
        )
    epochs = draw(st.sampled_from((2, 3, 1, 0)))
    way = draw(st.sampled_from(("range", "range", "from one", "while", "list")))
    if way == "while":
        nest = ["epoch = 0", *inside(f"while epoch < {epochs}:", ["epoch += 1", *epoch])]
    else:
        counted = {"range": f"range({epochs})", "from one": f"range(1, {epochs + 1})", "list": f"{list(range(epochs))}"}
        nest = inside(f"for epoch in {counted[way]}:", epoch)
    if draw(st.integers(0, 4)) == 4:
        nest = ["print('at first', evaluate(model))", *nest]
    behind = pick(draw, BEHIND, 3)
    return Loops(reading(nest + behind, STATE) + nest, behind)


@st.composite
def scripts(draw: st.DrawFn) -> str:
    """A script that runs by itself."""
    feed = draw(feeds())
    definition, model, first = MODELS[draw(st.sampled_from(sorted(MODELS)))]
    scheduler = draw(st.sampled_from(sorted(SCHEDULERS)))
    training = draw(loops(feed, scheduler))
    setup = [model, f"optimizer = {draw(st.sampled_from(OPTIMIZERS))}", "criterion = nn.MSELoss()"]
    if scheduler:
        setup.insert(2, f"scheduler = {SCHEDULERS[scheduler][0]}")
    setup = [*feed.setup, *setup] if draw(st.booleans()) else [*setup, *feed.setup]
    whole = "\n".join(training.lines + training.behind)
    if "device" in whole:
        setup.insert(0, "device = 'cpu'")
    evaluating = ""
    held_out = "test_loader = DataLoader(TensorDataset(X[24:], Y[24:]), batch_size=6)"
    if "evaluate(" in whole:
        mode = draw(st.sampled_from(("model.eval()", "model.eval()", "model.train(False)", "pass")))
        guard = draw(st.sampled_from(("with torch.no_grad():", "with torch.inference_mode():", "if True:")))
        evaluating = EVALUATE.replace("MODE", mode).replace("GUARD", guard)
    data = [*ROWS.splitlines(), *([held_out] if "test_loader" in whole + evaluating else [])]
    seeds = ["torch.manual_seed(1)"] if draw(st.booleans()) else []

    def first_layer(lines: list[str]) -> list[str]:
        return [line.replace("FIRST", first) for line in lines]

    training = Loops(first_layer(training.lines), first_layer(training.behind))
    placed = draw(st.sampled_from(sorted(PLACES)))
    text = (
        "\n".join(
            [
                IMPORTS,
                *seeds,
                *data,
                definition,
                feed.definitions,
                evaluating,
                *PLACES[placed](first_layer(setup), training),
            ]
        )
        + "\n"
    )
    text = re.sub(r"\n{3,}", "\n\n\n", text)
    for old, new in draw(st.sampled_from(SPELLINGS)).items():
        text = re.sub(rf"(?<![.\w']){old}(?!\w|=[^= ])", new, text)
    return text


def _module(setup: list[str], training: Loops) -> list[str]:
    return setup + training.lines + training.behind


def _guard(setup: list[str], training: Loops) -> list[str]:
    return setup + inside('if __name__ == "__main__":', training.lines + training.behind)


def _main(setup: list[str], training: Loops) -> list[str]:
    return inside("def main():", setup + training.lines + training.behind) + ["", "", "main()"]


def _function(setup: list[str], training: Loops) -> list[str]:
    """The loops in a function that takes the model and the optimizer."""
    train = inside("def train(model, optimizer):", training.lines + training.behind)
    return [*train, "", "", *setup, "train(model, optimizer)", "print(model(X).sum().item())"]


def _keyword(setup: list[str], training: Loops) -> list[str]:
    train = inside(
        "def train(network, opt=None):", ["model, optimizer = network, opt", *training.lines, *training.behind]
    )
    return [*train, "", "", *setup, "train(model, opt=optimizer)"]


def _twice(setup: list[str], training: Loops) -> list[str]:
    """Two trainings in a row of the same model."""
    return setup + training.lines + training.behind + ["print('again')"] + training.lines + training.behind


def _folds(setup: list[str], training: Loops) -> list[str]:
    """A fresh model for each of two trainings."""
    return inside("for fold in range(2):", setup + training.lines + training.behind) + ["print(torch.rand(1).item())"]


def _object(setup: list[str], training: Loops) -> list[str]:
    """An object that holds model and optimizer, and whose method trains."""
    names = ("model", "optimizer", "scheduler", "criterion", "loader", "other_loader", "batches", "device")

    def held(lines: list[str]) -> list[str]:
        return [re.sub(rf"(?<![.\w'])({'|'.join(names)})(?!\w|=)", r"self.\1", line) for line in lines]

    made = inside("def __init__(self):", held(setup))
    run = inside("def run(self):", held(training.lines + training.behind))
    body = [*made, "", *run]
    return [
        *inside("class Runner:", body),
        "",
        "",
        "runner = Runner()",
        "runner.run()",
        "print(runner.model(X).sum().item())",
    ]


PLACES = {
    "module": _module,
    "guard": _guard,
    "main": _main,
    "function": _function,
    "keyword": _keyword,
    "twice": _twice,
    "folds": _folds,
    "object": _object,
}
