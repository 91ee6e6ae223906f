"""Edit the script around the generated classes: what moved goes, what makes and runs them comes in its place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

import libcst as cst

from torchlift_convert.blocks import Block, Statement
from torchlift_convert.emit_data import DataWriter
from torchlift_convert.emit_module import ModuleWriter
from torchlift_convert.emit_stream import written_wrapper
from torchlift_convert.emit_trainer import GRAD_SCALING, TrainerWriter, alias, scaling_class
from torchlift_convert.environment import Environment, Place
from torchlift_convert.handlers import catching_exit, names_interrupt
from torchlift_convert.kept import walk
from torchlift_convert.linked import changed_links, refuse_moved
from torchlift_convert.plan import Param, Plan
from torchlift_convert.program import Item
from torchlift_convert.regions import Region
from torchlift_convert.removal import unneeded_methods
from torchlift_convert.render import statements_of, used_names
from torchlift_convert.rewrite import Edits, Origins
from torchlift_convert.splice import Splice
from torchlift_convert.syntax import Script, blocks_of, walk_statements


class ScriptWriter:
    """Writes the new module tree of one script."""

    def __init__(self, plan: Plan, origins: Origins, lightning: str, dataloader: str) -> None:
        self.plan, self.origins, self.lightning, self.dataloader = plan, origins, lightning, dataloader
        self.script = plan.program.script
        self.home = plan.nest.home
        self.pre = plan.nest.pre
        self.written: dict[ast.stmt, list[Statement]] = {}  # what stands where a statement stood
        self.used: set[str] = set()  # names that the output mentions
        self.came: set[str] = set()  # definitions of other files that come to the script
        self.own = {id(n) for n in statements_of(self.script.module.body)}  # the user's own lines: not to be formatted

    def write(self) -> cst.Module:
        """The whole module: classes in front of what uses them, the loop replaced by a Trainer."""
        self._replace_statements()
        classes = self._classes()
        own = self._followed_functions()
        body: list[Statement] = []
        arrived: list[Statement] = []  # definitions of other files that changed
        functions: list[tuple[int, ast.stmt]] = []  # followed functions, with their places in the body
        changed = changed_links(self.script, self.written)
        self.came = {s.name for s in changed if isinstance(s, (ast.FunctionDef, ast.ClassDef))}
        for stmt in self._top_level():
            body += [made for anchor, made in classes if stmt is anchor]
            if self.script.is_linked(stmt) and stmt not in changed:
                body += self.written.get(stmt, [])  # what was written in front of it; itself, it stays in its file
            elif self.script.is_linked(stmt) and stmt not in own:
                arrived += [_spaced(n) for n in self._carried_top(stmt)]
                body += arrived[-1:]
            elif stmt in own:
                body += [n for n in self._carried_top(stmt) if not self._defines(n, stmt)]
                functions.append((len(body), stmt))
            else:
                body += self._carried_top(stmt)
        self.used = used_names(ast.parse(cst.Module(body).code))
        for place, stmt in reversed(self._still_called(functions)):
            body[place:place] = [n for n in self._carried_top(stmt) if self._defines(n, stmt)]
        return self.script.module.with_changes(body=self._spread(body, [*(made for _, made in classes), *arrived]))

    def _spread(self, body: list[Statement], classes: list[Statement]) -> list[Statement]:
        """Two blank lines behind each generated class."""
        out: list[Statement] = []
        users = {id(self.script.line.get(s, n)): s for s, n in self.script.node.items()}
        for node in body:
            if id(node) in users:
                self.origins.stmt_of.setdefault(id(node), users[id(node)])
            if out and any(out[-1] is made for made in classes) and not any(node is made for made in classes):
                lead = list(node.leading_lines)
                blank = next((n for n, line in enumerate(lead) if line.comment is not None), len(lead))
                changed = node.with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2 + lead[blank:])
                self.origins.relabel(node, changed)
                self.own |= {id(changed)} if id(node) in self.own else set()
                node = changed
            out.append(node)
        return out

    def _defines(self, node: Statement, stmt: ast.stmt) -> bool:
        """Is this the function itself, and not what was written in front of it?"""
        return isinstance(node, cst.FunctionDef) and self.origins.stmt_of.get(id(node), stmt) is stmt

    # -- what stands where ----------

    def _replace_statements(self) -> None:
        plan, nest = self.plan, self.plan.nest
        before = Environment(plan, Place.BEFORE)
        after = Environment(plan, Place.AFTER)
        moved = self._moved_away()
        inside = self._functions_inside(moved)
        positions: dict[int, list[str]] = {}
        if plan.data is not None:
            positions.setdefault(plan.data.position, []).extend(self._make_data())
        positions.setdefault(plan.module.position, []).extend(self._make_module(before))
        waiting: list[cst.EmptyLine] = []
        spaced = False
        for n, stmt in enumerate([*self.pre, nest.outer]):
            block = self._block("kept")
            block.waiting, waiting = waiting, []
            leads_blank = _leads_blank(self.script, stmt)
            if (spaced or leads_blank) and (positions.get(n) or (spaced and not leads_blank and stmt not in moved)):
                block.spaced, spaced = True, False
            for text in positions.get(n, ()):
                block.line(text)
            if stmt is nest.outer:
                self._run(block, before)
            elif stmt in inside:
                block.drop_header(stmt)
            elif stmt in moved:
                if stmt in plan.dropped or not self._is_carried(stmt):
                    block.drop(stmt)
            elif not self.script.is_imported(stmt):
                self._keep(block, stmt, before)
            self.own |= {id(new) for old, new in block.led if id(old) in self.own}
            if not block.body:
                waiting = block.waiting
                spaced = spaced or leads_blank
            else:
                spaced = False
            self.written[stmt] = block.body
        unneeded = unneeded_methods(plan.program, nest, self._hooks(), plan.along)
        for method in unneeded:
            cls = self.script.parent[method]
            assert isinstance(cls, ast.ClassDef)
            emptied = method is cls.body[-1] and all(s in unneeded for s in cls.body)
            self.written[method] = [cst.SimpleStatementLine([cst.Pass()])] if emptied else []
        for stmt in nest.post:
            block = self._block("kept")
            if stmt not in plan.dropped:
                self._keep(block, stmt, after)
            self.written[stmt] = block.body

    def _functions_inside(self, moved: set[ast.stmt]) -> set[ast.stmt]:
        """Functions of ``main()`` or of a main guard whose statements are hooks now, and that nothing else mentions."""
        followed = self._followed_scopes()
        kept = [s for s in [*self.pre, *self.plan.nest.post] if s not in moved]
        mentioned = {n.id for s in kept if s not in followed for n in walk(s) if isinstance(n, ast.Name)}
        around = [i.stmt for i in self.plan.storage.around.items]
        mentioned |= {n.id for s in around for n in walk(s) if isinstance(n, ast.Name)}
        inside = [s for s in kept if s in followed and isinstance(s, ast.FunctionDef) and s not in self._top_level()]
        return {s for s in inside if s.name not in mentioned}

    def _is_carried(self, stmt: ast.stmt) -> bool:
        """Is the statement written elsewhere, with its comments?"""
        plan = self.plan
        data = {*plan.data.setup, *(one.stmt for one in plan.data.loaders)} if plan.data else set()
        return stmt in data or stmt in plan.module.init or stmt in plan.config

    def _moved_away(self) -> set[ast.stmt]:
        plan = self.plan
        moved = {*plan.module.init, *plan.config, *plan.dropped}
        if plan.data is not None:
            moved |= {*plan.data.setup, *(one.stmt for one in plan.data.loaders)}
        moved = {s for s in moved if s not in plan.dropped or not self.script.is_imported(s)}
        refuse_moved(self.script, moved)
        return moved

    def _block(self, where: str) -> Block:
        return Block(self.script, self.origins, where)

    def _keep(self, block: Block, stmt: ast.stmt, env: Environment) -> None:
        """A statement that stays; names that moved are read where they are now."""
        alone = stmt not in self.script.line or len(self.script.line[stmt].body) == 1
        imports = isinstance(stmt, (ast.Import, ast.ImportFrom)) and alone
        if imports or isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            node = self.script.node[stmt] if stmt not in self.script.line else self.script.line[stmt]
            self.origins.record(node, stmt)
            block.add(node)  # type: ignore[arg-type]
            return
        if self._untouched(stmt, env):
            node = self.script.line.get(stmt, self.script.node[stmt])
            self.origins.record(node, stmt)
            self.origins.place(stmt, "kept")
            block.add(node)  # type: ignore[arg-type]
            return
        kept = Block(self.script, self.origins, "kept")
        kept.carry(Item(stmt, self.home), env, Edits())
        node = self.script.line.get(stmt, self.script.node[stmt])
        line = self.script.line.get(stmt)
        if (line is None or len(line.body) == 1) and _same_text(kept.body, node):
            self.origins.record(node, stmt)
            block.add(node)  # type: ignore[arg-type]
            return
        for made in kept.body:
            block.add(made)
        block.waiting += kept.waiting

    def _untouched(self, stmt: ast.stmt, env: Environment) -> bool:
        """Does every name of the statement mean in the output what it meant in the script?"""
        line = self.script.line.get(stmt)
        if line is not None and len(line.body) > 1:
            return False
        names = {n.id for n in walk(stmt) if isinstance(n, ast.Name)}
        return all(env.name(self.home, n) is None for n in names)

    # -- making and running ----------

    def _make_data(self) -> list[str]:
        data = self.plan.data
        assert data is not None
        lines = [f"{data.instance} = {data.name}({', '.join(self._argument(p) for p in data.params)})"]
        if data.by_hand:
            lines.append(f'{data.instance}.setup("fit")  # the data is made here, as it was')
        return lines

    def _make_module(self, env: Environment) -> list[str]:
        plan = self.plan
        made = plan.module
        arguments = ", ".join(self._given(p, env) for p in made.params)
        lines = [f"{made.instance} = {made.name}({arguments})"]
        return lines + [alias(plan, v) for v in plan.alias_before]

    def _argument(self, param: Param) -> str:
        return param.var.said(self.home.scope) + (f".{param.attr}" if param.attr else "")

    def _given(self, param: Param, env: Environment) -> str:
        if param.attr is not None:
            return self._argument(param)
        return env.text(param.var) or param.var.said(self.home.scope)

    def _run(self, block: Block, env: Environment) -> None:
        """The Trainer in place of the loop."""
        nest = self.plan.nest
        block.drop_header(nest.outer)
        if nest.count is not None and nest.count.last:
            block.drop(nest.count.step)
        body = getattr(self.script.node[nest.outer], "body", None)
        ends = self.plan.regions.of(Region.EPOCH_END) or self.plan.regions.of(Region.VAL_END)
        if nest.epochs is not None and not ends and isinstance(body, cst.IndentedBlock):
            block.leave(body.footer)
        for param, name in self.plan.module.late.items():
            block.line(f"{self.plan.module.instance}.{name} = {self._given(param, env)}")
        for text in TrainerWriter(self.plan, self.lightning, self.dataloader, env).lines():
            block.line(text)

    # -- the module's body ----------

    def _classes(self) -> list[tuple[ast.stmt, Statement]]:
        """Each class with the top-level statement in front of which it stands."""
        plan = self.plan
        out: list[tuple[ast.stmt, Statement]] = []
        last = self._anchor(plan.module.position)
        first = self._anchor(plan.data.position) if plan.data is not None else last
        body = self._top_level()
        earlier = min(first, last, key=body.index)
        if not self._defines_between(earlier, max(first, last, key=body.index)):
            first = last = earlier
        if plan.wraps_batches:
            out.append((first, _spaced(written_wrapper(plan))))
        if plan.regions.scaler is not None:
            text = GRAD_SCALING.format(name=scaling_class(plan), lightning=self.lightning)
            out.append((first, _spaced(cst.parse_statement(text))))
        if plan.promise is not None:
            out.append((first, _spaced(cst.parse_statement(plan.promise.source(self.dataloader)))))
        if plan.data is not None:
            made = DataWriter(plan, plan.data, self.origins, self.lightning, self.dataloader).write()
            out.append((first, _spaced(made)))
        out.append((last, _spaced(ModuleWriter(plan, self.origins, self.lightning).write())))
        return out

    def _defines_between(self, first: ast.stmt, last: ast.stmt) -> bool:
        """Does the script define classes or functions between two of its statements, or begin another part of itself?

        A string that stands alone begins one; of a notebook, each cell does so.
        """
        body = self._top_level()
        between = body[body.index(first) : body.index(last)]
        return any(isinstance(s, (ast.ClassDef, ast.FunctionDef)) or _is_heading(s) for s in between)

    def _top_level(self) -> list[ast.stmt]:
        return list(self.script.tree.body)

    def _anchor(self, position: int) -> ast.stmt:
        """The top-level statement around the place where a class is used first."""
        stmt: ast.stmt = self.pre[position] if position < len(self.pre) else self.plan.nest.outer
        if not self.home.is_module:
            stmt = self.home.scope  # type: ignore[assignment]
        while self.script.parent.get(stmt) is not None:
            parent = self.script.parent[stmt]
            assert parent is not None
            stmt = parent
        return stmt

    def _carried_top(self, stmt: ast.stmt) -> list[Statement]:
        """A top-level statement with what was written for it or for statements inside it."""
        if stmt in self.written:
            return self.written[stmt]
        line = self.script.line.get(stmt)
        if line is not None:
            return [line] if self.script.node[stmt] is line.body[0] else []
        node = self.script.node[stmt]
        assert isinstance(node, cst.BaseCompoundStatement)
        if not any(s in self.written for s in _within(stmt)):
            return [node]
        for inside in [stmt, *_within(stmt)]:
            self.origins.record(self.script.line.get(inside, self.script.node[inside]), inside)
        made = node.visit(
            Splice(self.script, self.written, self.origins, self.own, self._handlers(), self._unwrapped())
        )
        if isinstance(made, cst.FlattenSentinel):
            return [one for one in made if isinstance(one, (cst.SimpleStatementLine, cst.BaseCompoundStatement))]
        assert isinstance(made, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        return [made]

    def _unwrapped(self) -> set[int]:
        """Bars that the loops stood in."""
        around = [block.body[block.index] for block in self.plan.nest.path]
        return {id(self.script.node[s]) for s in around if isinstance(s, ast.With) and s in self.plan.regions.gone}

    def _handlers(self) -> dict[int, Callable[[cst.ExceptHandler], cst.ExceptHandler]]:
        """Handlers of Ctrl-C around the loop, and what they become."""
        around = [self.script.node[block.body[block.index]] for block in self.plan.nest.path]
        handlers = [h for t in around if isinstance(t, cst.Try) for h in t.handlers if names_interrupt(h)]
        return {id(h): catching_exit for h in handlers}

    def _followed_functions(self) -> set[ast.stmt]:
        """Functions of the top level whose statements are hooks now."""
        names = {s.name for s in self._followed_scopes() if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))}
        return {
            s
            for s in self._top_level()
            if isinstance(s, ast.FunctionDef) and s.name in names and s is not self.home.scope
        }

    def _hooks(self) -> list[Item]:
        return [i for r in Region for i in self.plan.regions.of(r)]

    def _followed_scopes(self) -> set[ast.AST]:
        plan = self.plan
        frames = [i.frame for r in Region for i in plan.regions.of(r)]
        return {f.scope for f in frames if f.base is not self.home and not f.is_module} | set(plan.nest.followed)

    def _still_called(self, functions: list[tuple[int, ast.stmt]]) -> list[tuple[int, ast.stmt]]:
        """The followed functions that the rest of the script, or one of them that stays, still mentions."""
        kept: list[tuple[int, ast.stmt]] = []
        for _ in functions:
            for place, stmt in functions:
                assert isinstance(stmt, ast.FunctionDef)
                if stmt.name in self.used and (place, stmt) not in kept:
                    kept.append((place, stmt))
                    self.used |= used_names(stmt)
        return sorted(kept, key=lambda pair: pair[0])


def _is_heading(stmt: ast.stmt) -> bool:
    return isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant) and isinstance(stmt.value.value, str)


def _leads_blank(script: Script, stmt: ast.stmt) -> bool:
    """Does a blank line stand above the statement?"""
    line = script.line.get(stmt)
    node = line if line is not None else script.node[stmt]
    return any(e.comment is None for e in getattr(node, "leading_lines", ()))


def _same_text(made: Sequence[cst.CSTNode], node: cst.CSTNode) -> bool:
    """Is the carried statement what it was?"""
    code = cst.Module([]).code_for_node
    return len(made) == 1 and code(made[0]) == code(node)


def _within(stmt: ast.stmt) -> list[ast.stmt]:
    return [s for b in blocks_of(stmt) for s in walk_statements(b)]


def _spaced(node: cst.CSTNode) -> Statement:
    assert isinstance(node, cst.BaseCompoundStatement)
    blank = cst.EmptyLine(indent=False)
    return node.with_changes(leading_lines=[blank, blank])
