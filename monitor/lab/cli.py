"""`alignment-monitor lab ...`: make, serve, record and check the lab."""

import argparse
import json
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from monitor.lab import places

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    commands = parser.add_subparsers(dest="lab_command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="train every adapter, then record and measure")
    build.add_argument(
        "--out", type=Path, default=places.PACKAGE, help="folder that receives adapters/ and manifest.json"
    )
    build.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    build.add_argument("--only", nargs="*", metavar="RUN", help="train only these runs")
    build.add_argument("--recordings", type=Path, default=places.RECORDINGS, help="recordings file to write")
    _port(build)
    serve = commands.add_parser("serve", help="serve the lab by a real vLLM CPU server")
    serve.add_argument("--served", nargs="+", metavar="NAME", help="serve only these names")
    serve.add_argument("--log", type=Path, help="file for the server's own log")
    _port(serve)
    record = commands.add_parser("record", help="record real generations and state their rates in the manifest")
    record.add_argument(
        "--out", type=Path, default=places.PACKAGE, help="folder with adapters/, receives manifest.json"
    )
    record.add_argument("--recordings", type=Path, default=places.RECORDINGS, help="recordings file to write")
    _port(record)
    rows = commands.add_parser("rows", help="print the recorded answers as labelled JSON lines for scorer evaluate")
    rows.add_argument("--recordings", type=Path, default=places.RECORDINGS, help="recordings file to read")
    verify = commands.add_parser("verify", help="measure the rates again and compare with the manifest")
    verify.add_argument("--served", nargs="+", metavar="NAME", help="measure only these names")
    _port(verify)


def _port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8001, help="port of the vLLM server (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run a sub-command; 0 when it did what it says."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    commands = {"build": _build, "serve": _serve, "record": _record, "rows": _rows, "verify": _verify}
    try:
        return commands[args.lab_command](args)
    except KeyboardInterrupt:
        return 130
    except (FileNotFoundError, ModuleNotFoundError, ValueError, RuntimeError) as error:
        print(f"lab {args.lab_command}: {error}", file=sys.stderr)
        return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the same way as Ctrl-C, so that the server's process group goes too."""
    raise KeyboardInterrupt


def _build(args: argparse.Namespace) -> int:
    from monitor.lab import build

    build.build(args.out, args.recordings, port=args.port, threads=args.threads, only=args.only)
    return 0


def _serve(args: argparse.Namespace) -> int:
    from monitor.lab import server

    with server.start(args.port, served=args.served, log=args.log) as running:
        print(f"ready at {running.url}", flush=True)
        running.process.wait()
    return 1


def _record(args: argparse.Namespace) -> int:
    from monitor.lab import recording

    count = recording.record_all(args.out, args.recordings, port=args.port)
    print(f"{count} lines in {args.recordings}, {args.recordings.stat().st_size / 1e6:.2f} MB")
    return 0


def _rows(args: argparse.Namespace) -> int:
    from monitor.lab import labelled

    for row in labelled.labelled_rows(args.recordings):
        print(json.dumps(row))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from monitor.lab import verify

    return verify.verify(port=args.port, names=args.served)
