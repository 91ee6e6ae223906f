"""The conversion of a script with what it imports from its project: what changes comes to it, all else stays."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import replace

import libcst as cst

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.links import Links
from torchlift_convert.names import own_nodes
from torchlift_convert.nest import Nest
from torchlift_convert.render import Rendered, end_of_head, used_names
from torchlift_convert.syntax import Script, blocks_of, walk_statements


def refuse_moved(script: Script, moved: Iterable[ast.stmt]) -> None:
    """What a module of the project makes while it is imported cannot be made elsewhere."""
    for stmt in moved:
        if script.is_imported(stmt):
            assert script.links is not None
            file, _ = script.links.place(stmt.lineno)
            raise Refuse(
                "TL107",
                f"This is made while {file} is imported, and would have to be made by the LightningModule.",
                stmt,
                "Make it in a function, and call that from the script.",
            )


def refuse_rebinding(script: Script, nest: Nest) -> None:
    """A function that becomes hooks of the script cannot bind the variables of another file, or ask for its name."""
    frames = [nest.home.scope, *nest.followed, *(i.frame.scope for i in (*nest.before, *nest.body, *nest.after))]
    for scope in dict.fromkeys(frames):
        if isinstance(scope, ast.Module) or not script.is_linked(scope):
            continue
        for node in own_nodes(scope):
            own = isinstance(node, ast.Name) and node.id in ("__name__", "__file__", "__package__")
            if isinstance(node, ast.Global) or own:
                what = "binds a global variable" if isinstance(node, ast.Global) else f"reads {node.id}"  # type: ignore[attr-defined]
                raise Refuse(
                    "TL107",
                    f"{script.plain(scope.name)}() {what} of its own file, and would become a part of the script.",
                    node,  # type: ignore[arg-type]
                    "Hand the value over as an argument, and return it.",
                )


def changed_links(script: Script, written: Collection[ast.stmt]) -> set[ast.stmt]:
    """Linked definitions that are not what they were, and those that mention one of these: they come to the script."""
    linked = [s for s in script.tree.body if script.is_linked(s)]
    changed = {s for s in linked if any(inner in written for b in blocks_of(s) for inner in walk_statements(b))}
    while True:
        names = {s.name for s in changed if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
        more = {
            s for s in linked if s not in changed and any(isinstance(n, ast.Name) and n.id in names for n in walk(s))
        }
        if not more:
            return changed
        changed |= more


def with_links(module: cst.Module, links: Links, used: set[str], came: set[str]) -> tuple[cst.Module, dict[str, str]]:
    """Import what the output mentions of other files, and say what it is called; ``used`` gets the imports' names.

    ``came``: what the output defines itself now.
    """
    tree = ast.parse(module.code)
    taken = used_names(tree) | {n.arg for n in walk(tree) if isinstance(n, ast.arg)}
    taken |= {n.name for n in walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    final = links.final(used | came, taken - set(links.names), came)
    used |= {called.partition(".")[0] for called in final.values()}
    body = list(module.body)
    for line in links.imports(final, came):
        body.insert(end_of_head(body) + 1, cst.parse_statement(line))
    return module.with_changes(body=body), final


def restored(rendered: Rendered, links: Links, final: dict[str, str]) -> Rendered:
    """The text with each linked name as it is called there; it keeps its lines."""
    text = links.restored(rendered.text, final)
    return replace(rendered, text=text, tree=ast.parse(text))
