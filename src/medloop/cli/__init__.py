"""The command line: flags to requests, results to text. Nothing heavy is imported before a verb is called."""

from __future__ import annotations

import sys

from medloop.requests import VERBS
from medloop.version import VERSION

_HELP = """usage: medloop VERB [flags]

Learns to diagnose from labelled medical images, and says honestly how well.

{verbs}

Every verb has --help, --json (one JSON object on standard output, nothing else there) and --workspace DIR
(where medloop keeps its work; by default medloop-workspace in the current folder).

Begin with:   medloop demo
Your data:    medloop inspect scans/ --labels labels.csv
              medloop learn   scans/ --labels labels.csv --budget 5m
Exit codes:   0 done; 2 the input or the flags are wrong; 3 refused on purpose; 1 a defect of ours
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(_HELP.format(verbs="\n".join(f"  {verb:10} {about}" for verb, (about, _) in VERBS.items())))
        return 0
    if words[0] in ("-V", "--version", "version"):
        print(f"medloop {VERSION}")
        return 0
    try:
        from medloop.cli.run import run

        return run(words)
    except KeyboardInterrupt:  # while the modules were still being read
        return 130
