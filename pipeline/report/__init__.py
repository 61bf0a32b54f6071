"""HTML report of a run: summary, scores, caveats, figures, model card."""
