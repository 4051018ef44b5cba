"""An MCP server by the official Python SDK, over streamable HTTP on a free port of the loopback, which it prints.

It wants `Authorization: Bearer` and the key it is given, and says so with 401. It stops when its input ends. The second
argument is a folder: each run of `order`, `look` and `reserve` is a line of `runs` there, and does not end while there is a
file `hold`. A file `mute` there goes with the first request that belongs to no session, which gets no answer.
"""

import asyncio
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("menu")
folder = Path(sys.argv[2])


@server.tool()
def price(dish: str, guests: int = 1) -> dict:
    """What a dish costs for so many guests."""
    return {"dish": dish, "price": 7 * guests}


@server.tool()
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Hello {name}"


@server.tool()
def fail() -> str:
    """Never works."""
    raise ToolError("the kitchen is closed")


async def work(what):
    with open(folder / "runs", "a") as runs:
        runs.write(what + "\n")
    while (folder / "hold").exists():
        await asyncio.sleep(0.05)
    return what


@server.tool()
async def order(dish: str) -> str:
    """Orders a dish."""
    return await work(f"order {dish}")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
async def look(dish: str) -> str:
    """Looks whether there is a dish."""
    return await work(f"look {dish}")


@server.tool(annotations=ToolAnnotations(idempotentHint=True))
async def reserve(dish: str) -> str:
    """Sees to it that a dish is there."""
    return await work(f"reserve {dish}")


def guarded(app, key):
    async def guard(scope, receive, send):
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if given != f"Bearer {key}":
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b"no key"})
                return
            if b"mcp-session-id" not in dict(scope["headers"]) and (folder / "mute").exists():
                (folder / "mute").unlink()
                await asyncio.Event().wait()
        await app(scope, receive, send)

    return guard


def stop_with_parent():
    sys.stdin.read()
    os._exit(0)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
threading.Thread(target=stop_with_parent, daemon=True).start()
print(listener.getsockname()[1], flush=True)
app = guarded(server.streamable_http_app(), sys.argv[1])
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
