"""Local modules: what a script imports from its project is read (never run), and stands beside it for the analysis."""
