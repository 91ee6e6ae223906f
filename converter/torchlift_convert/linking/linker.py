"""Link what a script uses of its local modules into its text, from name to name."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from torchlift_convert.linking.assembly import Edit, Unlinkable, assemble
from torchlift_convert.linking.companions import companions
from torchlift_convert.linking.library import Library, Module, importing
from torchlift_convert.linking.lookup import External, Local, Lookup, Meaning, Whole
from torchlift_convert.linking.loudness import is_loud
from torchlift_convert.linking.mentions import deals_in_globals, mentions, patches
from torchlift_convert.links import Links, Name

MOST = 400  # modules of one project that are looked at


def link(text: str, tree: ast.Module, library: Library, package: str) -> Links | None:
    """The script with its local definitions; None when it imports nothing of its project."""
    script = Module("__main__", library.script, package, text, tree)
    loaded = loads(script, library)
    if not loaded or len(loaded) > MOST:
        return None
    patched: set[tuple[str, str]] = set()
    for module in [script, *loaded]:
        patched |= set(patches(module, library))
        patched |= {(module.name, "*")} if deals_in_globals(module.tree) else set()
    opaque: set[tuple[str, str]] = set()
    while True:
        try:
            return Linker(script, library, loaded, Lookup(library, set(opaque), frozenset(patched))).link()
        except Unlinkable as unlinkable:  # from now on, something whose definition is not known
            assert unlinkable.known not in opaque, unlinkable
            opaque.add(unlinkable.known)


def loads(script: Module, library: Library) -> dict[Module, ast.stmt]:
    """The local modules that the script's imports load, in that order, each with the import that starts it."""
    found: dict[Module, ast.stmt] = {}
    entered: set[Module] = set()

    def load(module: Module, trigger: ast.stmt) -> None:
        if module in entered or len(entered) > MOST:
            return
        entered.add(module)
        for _, inner in library.imported(module, list(importing(module.tree.body))):
            load(inner, trigger)
        found[module] = trigger

    for stmt, module in library.imported(script, list(importing(script.tree.body))):
        load(module, stmt)
    return found


@dataclass(eq=False)
class Linker:
    """One attempt, with what is known to be opaque by now."""

    script: Module
    library: Library
    loaded: dict[Module, ast.stmt]
    lookup: Lookup
    direct: dict[str, Meaning] = field(default_factory=dict)  # names of the script's imports
    paths: dict[str, str] = field(default_factory=dict)  # local modules, and what the script calls them
    keys: dict[tuple[str, str], str] = field(default_factory=dict)  # what is linked, and its name in the text
    said: dict[tuple[str, str], str] = field(default_factory=dict)  # as ``utils.step`` in the script
    names: dict[str, Name] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    stmts: dict[Module, dict[ast.stmt, list[Edit]]] = field(default_factory=dict)

    def link(self) -> Links:
        """Raises Unlinkable, with what has to be opaque in the next attempt."""
        self.words = set(re.findall(r"\w+", self.script.text))
        for module in self.loaded:
            self.words |= set(re.findall(r"\w+", module.text))
        self._look_at_imports()
        edits: list[Edit] = []
        found = list(mentions(self.script, self.script.tree, self.lookup))
        for mention in found:
            if isinstance(mention.meaning, Local) and "." in mention.path:
                self.said.setdefault((mention.meaning.module.name, mention.meaning.name), mention.path)
        for mention in found:
            match mention.meaning:
                case Local(module, own, stmt) if module is not self.script and (stmt or "." in mention.path):
                    key = self._key(mention.meaning, own)
                    if key != mention.path and mention.path in self.direct:
                        raise Unlinkable((module.name, own))  # the script knows it by two names
                    if key != mention.path:
                        edits.append(Edit(mention.node, mention.path, key))
        text, lines = assemble(self.script, edits, self.stmts, self.heads, self.loaded)
        local, loud = self._local_names()
        return Links(text, self.script.tree, lines, self.names, local, loud)

    def _look_at_imports(self) -> None:
        """What the script's imports give it; the first name of a thing is its name in the text."""
        script = self.script
        named = [
            n for n in script.bindings if all(isinstance(s, (ast.Import, ast.ImportFrom)) for s in script.bindings[n])
        ]
        if any(self.library.module(script.absolute(s)) is not None for s in script.stars):
            mentioned = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)}
            named += sorted(mentioned - set(script.bindings))
        for name in named:
            meaning = self.lookup.meaning(script, name)
            match meaning:
                case Whole(module):
                    self.paths.setdefault(module.name, name)
                case Local(module, own, stmt) if module is not script and stmt is not None:
                    self.keys.setdefault((module.name, own), name)
                case External(full=full):
                    self.keys.setdefault(("", full), name)
                case _:
                    continue
            self.direct[name] = meaning

    def _local_names(self) -> tuple[frozenset[str], frozenset[str]]:
        noisy = {m for m in self.loaded if is_loud(m, self.lookup)}
        local: set[str] = set()
        loud: set[str] = set()
        triggers = {t for m, t in self.loaded.items() if m in noisy}
        for stmt, _ in self.library.imported(self.script, list(importing(self.script.tree.body))):
            assert isinstance(stmt, (ast.Import, ast.ImportFrom))
            bound = {
                a.asname or (a.name if isinstance(stmt, ast.ImportFrom) else a.name.split(".")[0]) for a in stmt.names
            }
            local |= bound
            loud |= bound if stmt in triggers else set()
        return frozenset(local), frozenset(loud)

    # -- what is linked ----------

    def _key(self, meaning: Meaning, plain: str) -> str:
        """The name of something in the text, where it is put if need be. ``plain``: its name where it is mentioned."""
        match meaning:
            case Local(module, own):
                known = (module.name, own)
            case External(full=full):
                known = ("", full)
            case Whole(module):
                known = (module.name, "")
        if known not in self.keys:
            made = self._name(meaning, plain)
            self.keys[known] = made.key
            self.names[made.key] = made
        if isinstance(meaning, Local) and meaning.stmt is not None:
            self._want(meaning, meaning.stmt)
        return self.keys[known]

    def _name(self, meaning: Meaning, plain: str) -> Name:
        """Give a thing a name that stands nowhere in the project; what is no definition is imported by it."""
        match meaning:
            case Local(module, own, stmt):
                key = self._free(f"{module.name.rpartition('.')[2]}_{own}")
                held = self.paths.get(module.name)
                path = self.said.get((module.name, own)) or (f"{held}.{own}" if held is not None else None)
                if stmt is None:
                    self.heads.append(f"from {module.name} import {own} as {key}")
                if not self.lookup.changes(module, own):
                    return Name(key, path, f"from {module.name} import {own}", own, own)
                above, _, last = module.name.rpartition(".")
                return Name(
                    key, path, f"from {above} import {last}" if above else f"import {last}", last, last, f".{own}"
                )
            case External(full, line):
                key = self._free(f"lib_{full.replace('.', '_')}")
                self.heads.append(f"import {full} as {key}" if line.startswith("import") else f"{line} as {key}")
                bare = (
                    line.partition(" ")[2].partition(".")[0] if line.startswith("import") else full.rpartition(".")[2]
                )
                return Name(key, None, line, bare, plain)
            case Whole(module):
                key = self._free(f"module_{module.name.replace('.', '_')}")
                self.heads.append(f"import {module.name} as {key}")
                bare = module.name.partition(".")[0]
                return Name(key, self.paths.get(module.name), f"import {module.name}", bare, plain)

    def _free(self, base: str) -> str:
        while base in self.words:
            base += "_"
        self.words.add(base)
        return base

    def _want(self, meaning: Local, definition: ast.stmt) -> None:
        """Link a definition, with everything that it mentions."""
        held = self.stmts.setdefault(meaning.module, {})
        if definition in held:
            return
        held[definition] = []
        others = companions(meaning, self.loaded, self.lookup)
        if others is None:
            raise Unlinkable((meaning.module.name, meaning.name))
        for stmt in [definition, *others]:
            held[stmt] = self._edits(stmt, meaning)

    def _edits(self, stmt: ast.stmt, of: Local) -> list[Edit]:
        """The global names of a statement that are called otherwise in the text."""
        found: list[Edit] = []
        for mention in mentions(of.module, stmt, self.lookup):
            if mention.meaning is None:
                if mention.path in self.script.bindings or mention.path in self.direct:
                    raise Unlinkable((of.module.name, of.name))  # a builtin, but not in the script
                continue
            if self._stands_elsewhere(mention.meaning):
                raise Unlinkable((of.module.name, of.name))
            key = self._key(mention.meaning, mention.path.rpartition(".")[2])
            if key != mention.path:
                found.append(Edit(mention.node, mention.path, key))
        if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            key = self.keys[of.module.name, of.name]
            if key != stmt.name:
                found.append(Edit(stmt, stmt.name, key))
        return found

    def _stands_elsewhere(self, meaning: Meaning) -> bool:
        """Something of the script itself, or ``import a.b`` where the script calls something else ``a``."""
        if isinstance(meaning, External) and meaning.line not in (f"import {meaning.full}", f"from {meaning.full}"):
            whole = meaning.line.startswith("import ") and "." not in meaning.full
            return whole and meaning.full in self.script.bindings and ("", meaning.full) not in self.keys
        return isinstance(meaning, Local) and meaning.module is self.script
