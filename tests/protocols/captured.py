"""Exchanges that a real vLLM 0.32 answered, as a proxy worker hands them over.

Every file holds a request and the bytes of its response, asked of a small model with an adapter named `alpha` on a base named
`base`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitor.records import Ending, Exchange

FOLDER = Path(__file__).parent / "captures"
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def captured(name: str, **changed: Any) -> Exchange:
    """The exchange in this file, with some fields changed; the whole lengths follow the bodies."""
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    request, response = found["request"].encode(), found["response"].encode()
    fields: dict[str, Any] = {
        "started": 1000.0,
        "method": found["method"],
        "target": found["target"],
        "status": found["status"],
        "ending": Ending.COMPLETE,
        "inclusion": 1.0,
        "request": request,
        "response": response,
        "request_encoding": "",
        "response_type": found["response_type"],
        "response_encoding": "",
        "first_byte_s": 0.02,
        "duration_s": 0.3,
        "adapter_header": found["adapter_header"],
    }
    fields.update(changed)
    fields.setdefault("request_bytes", len(fields["request"]))
    fields.setdefault("response_bytes", len(fields["response"]))
    return Exchange(**fields)
