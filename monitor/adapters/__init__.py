"""What is loaded on the server and what it is made of."""

from monitor.adapters.catalog import OTHER, UNLISTED, Catalog, Identity, ServedModel
from monitor.adapters.registry import Registry, load_registry

__all__ = ["OTHER", "UNLISTED", "Catalog", "Identity", "Registry", "ServedModel", "load_registry"]
