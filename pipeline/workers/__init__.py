"""Worker processes on this machine, and Ray actors on a cluster, behind one protocol."""
