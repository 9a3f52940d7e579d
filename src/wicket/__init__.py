"""Wicket: an authorization proxy for AI agents that speak MCP."""

__version__ = "0.1.0"
