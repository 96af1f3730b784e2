"""`python -m karat`: the command line, where its script is not on the path."""

from karat.cli import main

main()
