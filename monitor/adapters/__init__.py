"""What is loaded on the server and what it is made of."""

from monitor.adapters.catalog import OTHER, UNLISTED, Catalog, Identity, ServedModel
from monitor.adapters.detokenizer import DetokenizeClient, DetokenizeError, Detokenizer
from monitor.adapters.discovery import Discovery, DiscoveryError, client_for
from monitor.adapters.registry import Registry, load_registry

__all__ = [
    "OTHER", "UNLISTED", "Catalog", "DetokenizeClient", "DetokenizeError", "Detokenizer", "Discovery", "DiscoveryError", "Identity",
    "Registry", "ServedModel", "client_for", "load_registry",
]  # fmt: skip
