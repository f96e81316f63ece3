"""Train, sample and score a cascade: see the README, or `python main.py --help`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while importing: ends, says nothing

from l2d_jax.cli import main

if __name__ == "__main__":
    main()
