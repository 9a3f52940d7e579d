"""Front door A: the proxy at `POST /mcp`. Read `gateway.py` first."""
