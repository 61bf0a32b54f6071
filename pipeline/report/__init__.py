"""One page that explains a run: what was trained, how good it is, what to distrust."""
