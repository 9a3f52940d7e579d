"""Local MCP servers that the configuration file names, as upstreams."""

from wicket.runtime.stdio.pool import StdioPool
from wicket.runtime.stdio.process import StdioCommand, StdioLimits

__all__ = ["StdioCommand", "StdioLimits", "StdioPool"]
