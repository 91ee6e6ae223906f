"""``python -m torchlift_convert`` is the command line."""

from torchlift_convert.cli import app

app(prog_name="torchlift")
