"""The analysis process: its parts, put together in the order of the flow."""
