"""Loops that run through an object of another framework, as the plain loops that they are in one process."""
