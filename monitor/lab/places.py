"""Where the lab reads and writes."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
ADAPTERS = PACKAGE / "adapters"
"""The committed adapters."""
MANIFEST = PACKAGE / "manifest.json"
GROUPED_LORA = PACKAGE / "grouped_lora"
"""Put on PYTHONPATH of a vLLM server process; see the sitecustomize there."""
RECORDINGS = PACKAGE.parent / "demo" / "recordings.jsonl.gz"


def cache() -> Path:
    """Folder for what is large and can be made again: base models and merged adapters."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "alignment-monitor" / "lab"
