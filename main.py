"""Train, sample and score a cascade: see the README, or `python main.py --help`."""

from l2d_jax.cli import main

if __name__ == "__main__":
    main()
