"""For `python -m wicket.cli`."""

from wicket.cli.start import main

if __name__ == "__main__":
    main()
