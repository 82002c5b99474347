"""`python -m sr3`."""

from sr3.cli import main

main()
