"""`wicket demo`: a real server, real MCP servers behind it, and real calls, on one machine.

The process that was started becomes the server. A child of it tells the story over HTTP, as anybody would, and
ends; so what stays up is an ordinary Wicket.
"""
