"""`python -m monitor.lab`: the same commands as `alignment-monitor lab`."""

import argparse
import sys

from monitor.lab import cli

parser = argparse.ArgumentParser(prog="python -m monitor.lab", description=cli.__doc__)
cli.add_arguments(parser)
sys.exit(cli.main(parser.parse_args()))
