"""Run timmyd as `python -m timmyd`."""

from timmyd.cli import main

if __name__ == "__main__":
    main()
