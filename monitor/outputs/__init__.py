"""Where findings go beside the metrics."""

from monitor.outputs.interface import Output
from monitor.outputs.lines import FileOutput, StreamOutput, finding_line

__all__ = ["FileOutput", "Output", "StreamOutput", "finding_line"]
