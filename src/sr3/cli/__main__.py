"""`python -m sr3.cli`, for where the script is not on the path."""

from sr3.cli import main

main()
