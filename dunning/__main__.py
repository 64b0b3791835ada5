"""`python -m dunning` is the `dunning` command."""

from dunning.cli import main

if __name__ == "__main__":
    main()
