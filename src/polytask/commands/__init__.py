"""The commands of the command line: one file each; each parses its own arguments and returns an exit code."""
