"""One command that shows the monitor at work: a recorded or real upstream, the sidecar, traffic and a terminal view."""
