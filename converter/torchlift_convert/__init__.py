"""Turn plain PyTorch training scripts into Lightning-style code.

The package reads source text and writes source text. It never imports torch and never runs the code it converts.
"""
