"""Configuration: the model, and its loading."""

from monitor.config.load import ConfigError, load_config
from monitor.config.model import Config

__all__ = ["Config", "ConfigError", "load_config"]
