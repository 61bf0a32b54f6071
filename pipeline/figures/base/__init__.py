"""Style, layout and files of all figures."""
