"""Commands of the command line: their arguments and their printed output."""
