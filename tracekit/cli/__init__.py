"""The command line: one file per command, each found through the entry-point group `tracekit.commands`."""
