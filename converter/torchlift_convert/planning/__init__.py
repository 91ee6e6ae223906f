"""From regions to a plan: which statements move into which generated class, and how each value gets there."""
