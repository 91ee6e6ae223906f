"""Generated lines are formatted, the user's own are not; imports go when their last use went."""

from __future__ import annotations

import libcst as cst
import pytest

from torchlift_convert.api import convert
from torchlift_convert.render import render, used_names, with_import, without_unused_imports
from torchlift_convert.syntax import parse
from torchlift_convert.types import Options, Target

ODD = """\
import torch, torch.nn as nn
from torch.utils.data import DataLoader,TensorDataset
from torch.optim import SGD   # the optimizer
import   math

X = torch.randn( 16,2 ) ; unused = math.pi
loader = DataLoader(TensorDataset(X),batch_size=4)

def   odd( a,b = 1 ):
        "eight spaces"
        return  {   'a':a,   "b" : b }

class Net( nn.Module ):
    def __init__( self ):
        super( ).__init__( )
        self.fc=nn.Linear( 2,1 )   # small
    def forward( self,x ) :
        return self.fc( x )

model = Net( )
opt = SGD( model.parameters( ),lr = .1 )
for epoch in range( 2 ) :
    for i,( x, ) in enumerate( loader ) :
        opt.zero_grad( )
        loss=model( x ).pow( 2 ).mean( )
        loss.backward( )
        opt.step( )
        if i%2==0 : print( odd( i ),loss.item( ) )
print( 'done' , [ 1,2,
    3 ] )
"""


@pytest.fixture(scope="module")
def converted() -> str:
    code = convert(ODD, Options()).code
    assert code is not None
    return code


UNTOUCHED = [
    'def   odd( a,b = 1 ):\n        "eight spaces"\n        return  {   \'a\':a,   "b" : b }\n',
    "class Net( nn.Module ):\n    def __init__( self ):\n        super( ).__init__( )\n",
    "        self.fc=nn.Linear( 2,1 )   # small\n    def forward( self,x ) :\n        return self.fc( x )\n",
    "print( 'done' , [ 1,2,\n    3 ] )\n",
    "from torch.utils.data import DataLoader,TensorDataset\n",
    "import   math\n",
    "# the optimizer",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_kept_lines_are_byte_for_byte(converted: str, text: str) -> None:
    assert text in converted


def test_generated_lines_are_formatted(converted: str) -> None:
    assert "    def training_step(self, batch, batch_idx):\n" in converted
    assert "trainer = L.Trainer(max_epochs=2" in converted


# -- imports ----------

IMPORTS = [
    ("import torch\nimport tqdm\n", "torch.f(tqdm.tqdm(x))\n", "torch.f(x)\n", "import torch\n"),
    ("import math\n", "x = 1\n", "x = 1\n", "import math\n"),  # unused before: the user's affair
    ("from a import b, c\n", "b(c)\n", "b()\n", "from a import b\n"),
    ("from a import (b, c)\n", "b(c)\n", "c()\n", "from a import (c)\n"),
    ("from a import *\n", "b()\n", "", "from a import *\n"),
    ("import a.b\n", "a.b.c()\n", "x = 1\n", ""),
    ("import a as b\n", "b()\n", "x = 1\n", ""),
    ("import a\n", "a()\n__all__ = ['a']\n", "__all__ = ['a']\n", "import a\n"),  # named in a string
    ("# why\nimport a\nimport c\n", "a(c)\n", "c\n", "# why\nimport c\n"),  # the comment stays
]  # fmt: skip


@pytest.mark.parametrize(("imports", "before", "after", "left"), IMPORTS, ids=[i for i, *_ in IMPORTS])
def test_imports_go_with_their_last_use(imports: str, before: str, after: str, left: str) -> None:
    script = parse(imports + before)
    module = cst.parse_module(imports + after)
    out = without_unused_imports(module, script.tree, used_names(parse(after).tree))
    assert out.code == left + after


PLACES = [
    ("import torch\nx = 1\n", "import torch\nimport torchlift as L\nx = 1\n"),
    ("import os\nimport torch\nfrom torch import nn\nimport sys\n", None),
    ('"""doc"""\nx = 1\n', '"""doc"""\nimport torchlift as L\nx = 1\n'),
    (
        "from __future__ import annotations\nx = 1\n",
        "from __future__ import annotations\nimport torchlift as L\nx = 1\n",
    ),
    ("x = 1\n", "import torchlift as L\nx = 1\n"),
]


@pytest.mark.parametrize(("source", "expected"), PLACES)
def test_place_of_the_import(source: str, expected: str | None) -> None:
    out = with_import(cst.parse_module(source), "L", Target.TORCHLIFT).code
    assert out == expected if expected else "from torch import nn\nimport torchlift as L\nimport sys\n" in out


def test_import_of_the_other_target() -> None:
    assert "import lightning as L\n" in with_import(cst.parse_module("import torch\n"), "L", Target.LIGHTNING).code


# -- formatting ----------


def test_only_statements_that_are_not_the_users_are_formatted() -> None:
    module = cst.parse_module("a=1\nb=2\ndef f( x ):\n    return x+1\n")
    own = {id(module.body[0])}
    assert render(module, own).text == "a=1\nb = 2\ndef f(x):\n    return x + 1\n"


def test_lines_of_each_statement_are_known() -> None:
    module = cst.parse_module("a=1\nif a :\n    b=[1,\n  2]\n")
    done = render(module, {id(module.body[0])})
    lines = {id(n): done.lines[id(n)] for n in module.body}
    assert [str(span) for span in lines.values()] == ["1", "2-3"]


def test_text_that_black_cannot_read_is_left_alone() -> None:
    source = "x = 1 if True else(2)\nprint( 'ä' )\n"
    module = cst.parse_module(source)
    assert render(module, {id(n) for n in module.body}).text == source
