"""Proves that two training scripts train to the same bits, by running both and comparing everything.

    python -m torchlift.verify BEFORE AFTER [--steps N] [-- ARGS...]

`prove.prove` is the whole of it: `run.trace` runs one script in a scratch copy of its folder, with the tracer of
`hooks`, `late`, `printed` and `writes` installed, and returns a `records.Trace`; `compare.compare` takes two traces,
runs nothing and returns a `verdict.Verdict`. docs/verify.md lists what is compared and what is left out.
"""
