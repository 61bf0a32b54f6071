"""Worker pools with one interface: processes on this machine, and Ray actors."""
