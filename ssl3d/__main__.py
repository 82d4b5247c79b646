"""`python -m ssl3d` does what the program `ssl3d` does."""

from ssl3d.cli import main

if __name__ == "__main__":
    main()
