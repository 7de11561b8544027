"""A real small model with real colluding adapters, harmless by construction.

The product never imports this package: it makes what the product is tried on.
"""
