"""A local MCP server by hand: `python stdio_server.py [LOG]`, which appends each line it reads to LOG.

Its tools do what tests need: answer, report progress, wait to be cancelled, die, print nonsense, ask back.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[1]) if len(sys.argv) > 1 else None
LOCK = threading.Lock()
CANCELLED: dict[Any, threading.Event] = {}
ANSWERS: dict[Any, Any] = {}
ASKED = threading.Event()
TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "count", "wait", "die")]


def send(message: dict[str, Any]) -> None:
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def call(request_id: Any, params: dict[str, Any]) -> None:
    name, arguments = params["name"], params.get("arguments", {})
    if name == "count":
        for number in range(arguments["to"]):
            token = params["_meta"]["progressToken"]
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})
    elif name == "wait":
        CANCELLED[request_id].wait()
        return
    elif name == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "babble":
        with LOCK:
            sys.stdout.write("Starting up ...\n\n{not json\n")
            sys.stderr.write("to the log\n" * 10_000)
    elif name == "long":
        with LOCK:
            sys.stdout.write("x" * arguments["size"] + "\n")
            sys.stdout.flush()
    elif name == "ask":
        send({"id": "p", "method": "ping"})
        send({"id": "s", "method": "sampling/createMessage", "params": {}})
        ASKED.wait()
        send({"id": request_id, "result": {"answers": ANSWERS}})
        return
    elif name == "environment":
        send({"id": request_id, "result": {"environment": dict(os.environ)}})
        return
    elif name == "child":
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        send({"id": request_id, "result": {"pid": child.pid}})
        return
    elif name == "changed":
        send({"method": "notifications/tools/list_changed"})
    send({"id": request_id, "result": {"echo": arguments, "pid": os.getpid()}})


def handle(message: dict[str, Any]) -> None:
    method, request_id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        ANSWERS[request_id] = message.get("error", message.get("result"))
        if len(ANSWERS) == 2:
            ASKED.set()
    elif method == "initialize":
        if "WAITS_FOR" in os.environ:
            Path(os.environ["WAITS_FOR"]).read_text(encoding="utf-8")
        version = os.environ.get("PROTOCOL_VERSION", params["protocolVersion"])
        send({"id": request_id, "result": {"protocolVersion": version, "capabilities": {}, "serverInfo": {}}})
    elif method == "tools/list":
        send({"id": request_id, "result": {"tools": TOOLS}})
    elif method == "tools/call":
        CANCELLED[request_id] = threading.Event()
        threading.Thread(target=call, args=(request_id, params), daemon=True).start()
    elif method == "notifications/cancelled":
        CANCELLED[params["requestId"]].set()


if "DIES_AT_ONCE" in os.environ and LOG is not None:
    with LOG.open("a") as log:
        log.write('{"method": "died"}\n')
    sys.exit(3)
for line in sys.stdin:
    if LOG is not None:
        with LOG.open("a") as log:
            log.write(line)
    handle(json.loads(line))
