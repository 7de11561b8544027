"""Write the rules as a PrometheusRule of the Prometheus operator: the same text, comments included, one level deeper.

python dashboards/rules/manifest.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path

RULES = Path(__file__).parent / "alignment.rules.yml"
MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "prometheus-rule.yaml"
HEAD = """\
# Written by dashboards/rules/manifest.py from dashboards/rules/alignment.rules.yml: change that file, and run it again.
# The labels must be those that `ruleSelector` of your Prometheus asks for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: alignment-monitor
  labels: {app: alignment-monitor}
spec:
"""


def manifest(rules: str) -> str:
    """The manifest with these rules; what their head says of their own name becomes the manifest's."""
    return HEAD + textwrap.indent(rules.replace(RULES.name, MANIFEST.name), "  ")


if __name__ == "__main__":
    MANIFEST.write_text(manifest(RULES.read_text()))
