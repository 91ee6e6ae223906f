"""``torchlift eject``: the way back, a LightningModule and its Trainer calls turned into a plain PyTorch loop.

``find`` sees the classes, Trainers and calls; ``options``, ``optimizers`` and ``logs`` read what these ask for.
``sanity`` looks for what a loop could not keep. ``layer`` lays the hooks into the loop that ``loop`` and ``fitting``
write, ``classes`` writes the classes. ``api`` is the line through all of them.
"""
