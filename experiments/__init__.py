"""One file per table of evidence; not installed. Each starts with the command that runs it."""
