"""`python -m tracekit`: the command line, where the script `tracekit` is not on the path."""

from tracekit.cli.main import main

if __name__ == "__main__":
    main()
