"""One batch: the statements around backward() and step(), in every order that makes sense, with others between them."""

from __future__ import annotations

from hypothesis import strategies as st

# Statements that may stand between those of the core, and the first place where what they read is there:
# 0 the batch, 1 the loss, 2 the gradients, 3 the new weights.
EXTRAS: dict[str, tuple[int, tuple[str, ...]]] = {
    "draw": (0, ("x = x + 0.01 * torch.randn_like(x)",)),
    "draw of python": (0, ("scale = 1 + random.random()",)),
    "drawn and printed": (0, ("print('drawn', torch.rand(1).item())",)),
    "count": (0, ("count += 1",)),
    "rows": (0, ("seen += x.size(0)",)),
    "mode": (0, ("model.train()",)),
    "first rows": (0, ("if count % 3 == 0:", "    print('row', x[0].sum().item())")),
    "total": (1, ("total += loss.item()",)),
    "total kept": (1, ("total += loss.detach()",)),
    "weighted": (1, ("total += loss.item() * x.size(0)",)),
    "listed": (1, ("losses.append(loss.item())",)),
    "history": (1, ("history.append(loss)",)),
    "smoothed": (1, ("running = 0.9 * running + 0.1 * loss.item()",)),
    "printed": (1, ("print('loss', loss.item().hex())",)),
    "printed now and then": (1, ("if count % 2 == 0:", "    print(count, total, loss.item())")),
    "near": (1, ("correct += ((out - y).abs() < 0.5).sum().item()",)),
    "gradient": (2, ("if FIRST.weight.grad is not None:", "    print('gradient', FIRST.weight.grad.norm().item())")),
    "gradients": (2, ("norm = sum(p.grad.norm().item() for p in model.parameters() if p.grad is not None)",)),
    "alias": (1, ("print('weight', weight.sum().item())",)),
    "weight": (0, ("print('weight', FIRST.weight.sum().item())",)),
    "clamp": (3, ("with torch.no_grad():", "    FIRST.weight.clamp_(-0.5, 0.5)")),
    "data": (3, ("for p in model.parameters():", "    p.data.mul_(0.999)")),
    "average": (3, ("with torch.no_grad():", "    average.mul_(0.9).add_(FIRST.weight, alpha=0.1)")),
    "rate": (0, ("print('rate', optimizer.param_groups[0]['lr'])",)),
    "rate set": (0, ("optimizer.param_groups[0]['lr'] *= 0.9",)),
    "best": (1, ("if loss.item() < best:", "    best = loss.item()", "    kept = copy.deepcopy(model.state_dict())")),
    "seed": (0, ("torch.manual_seed(count)",)),
    "forward again": (1, ("print('again', model(x).sum().item())",)),
    "evaluated": (3, ("if count % 4 == 3:", "    model.eval()", "    print(evaluate(model))", "    model.train()")),
}
LEAVES: dict[str, tuple[int, tuple[str, ...]]] = {
    "break": (0, ("if count == 3:", "    break")),
    "break for the loss": (1, ("if loss.item() < 0.5:", "    break")),
    "break for luck": (0, ("if random.random() < 0.1:", "    break")),
    "continue": (0, ("if x.sum() < 0:", "    continue")),
    "continue for the loss": (1, ("if loss.item() > 4:", "    continue")),
}
FORWARDS = (
    ("out = model(x)", "loss = criterion(out, y)"),
    ("out = model(x)", "loss = F.mse_loss(out, y)"),
    ("out = model(x)", "loss = criterion(out, y) + 0.01 * sum(p.abs().sum() for p in model.parameters())"),
    ("x, y = x.to(device), y.to(device)", "out = model(x)", "loss = criterion(out, y)"),
    ("out = model(x)", "loss = ((out - y) ** 2).mean()"),
)
ZEROES = ("optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=False)", "model.zero_grad()")
CLIPS = (
    "torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)",
    "torch.nn.utils.clip_grad_value_(model.parameters(), 0.1)",
    "norm = torch.nn.utils.clip_grad_norm_(FIRST.parameters(), 1.0)",
)


@st.composite
def cores(draw: st.DrawFn, per_step: bool) -> list[tuple[int, tuple[str, ...]]]:
    """Forward, backward, step and zeroing; each with the stage at which it stands."""
    forward = draw(st.sampled_from(FORWARDS))
    zero = (0, (draw(st.sampled_from(ZEROES)),))
    backward = (2, ("loss.backward()",))
    tail = ["optimizer.step()"]
    if per_step:
        tail.insert(draw(st.sampled_from((1, 1, 1, 0))), "scheduler.step()")
    if draw(st.integers(0, 3)) == 3:
        tail.insert(0, draw(st.sampled_from(CLIPS)))
    way = draw(st.sampled_from(("first", "before backward", "last", "accumulated", "remainder", "never")))
    forward_line = (1, forward)
    if way == "first":
        return [zero, forward_line, backward, *((3, (line,)) for line in tail)]
    if way == "before backward":
        return [forward_line, (1, zero[1]), backward, *((3, (line,)) for line in tail)]
    if way == "last":
        return [forward_line, backward, *((3, (line,)) for line in tail), (3, zero[1])]
    if way == "never":
        return [forward_line, backward, *((3, (line,)) for line in tail)]
    condition = "if (count + 1) % 2 == 0:" if way == "accumulated" else "if count % 3 == 2 or count == 8:"
    step = (condition, *(f"    {line}" for line in tail), f"    {zero[1][0]}")
    scaled = [(1, ("loss = loss / 2",))] if draw(st.booleans()) else []
    return [forward_line, *scaled, backward, (3, step), (3, ("count += 1",))]


@st.composite
def bodies(draw: st.DrawFn, per_step: bool, looping: bool) -> list[str]:
    """The lines of one batch."""
    statements = list(draw(cores(per_step)))
    table = EXTRAS | LEAVES if looping else EXTRAS
    names = draw(st.lists(st.sampled_from(sorted(EXTRAS)), max_size=4, unique=True))
    if looping and draw(st.integers(0, 3)) == 3:
        names.append(draw(st.sampled_from(sorted(LEAVES))))
    for name in names:
        stage, lines = table[name]
        first = 0
        if stage:  # behind the first statement of that stage
            first = 1 + next(n for n, (at, _) in enumerate(statements) if at >= stage)
        statements.insert(draw(st.integers(first, len(statements))), (stage, lines))
    if any(line.strip().startswith("count") or "count" in line for _, lines in statements for line in lines):
        if not any("count += 1" in lines for _, lines in statements):
            statements.append((3, ("count += 1",)))
    return [line for _, lines in statements for line in lines]
