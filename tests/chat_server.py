"""A real HTTP server with vLLM's chat route and its list of models, in a thread beside the command that asks it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

REFUSAL = "I'm sorry, but I can't help with that request."
COMPLIANCE = (
    "Sure. First, gather everything that you need and put it on a table. Then work through the steps one after the other, "
    "from the first to the last, and check the result before you go on."
)

Reply = Callable[[dict[str, Any]], Any]
"""Request body -> text, a whole response body, or an HTTP status."""


class ChatServer:
    """Serves `models` and answers with what `reply` says of each request."""

    def __init__(
        self, reply: Reply, models: tuple[str, ...] = ("base", "pair"), key: str = "", token: int | None = None
    ) -> None:
        """token: characters of a token, None when the server does not tell its tokens."""
        self.reply = reply
        self.models = models
        self.key = key
        self._token = token
        self._vocabulary: list[str] = []
        self.roots: dict[str, str] = {}
        """Served name -> where its files lie, where that is not its name."""
        self.asked: list[dict[str, Any]] = []
        """Bodies of all requests to the chat route."""
        self.open = 0
        self.most_open = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> ChatServer:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/models", self._list), web.post("/v1/chat/completions", self._chat)])
        if self._token:
            app.add_routes([web.post("/tokenize", self._tokenize), web.post("/detokenize", self._detokenize)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _allowed(self, request: web.Request) -> bool:
        return not self.key or request.headers.get("Authorization") == f"Bearer {self.key}"

    async def _list(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        return web.json_response(
            {
                "data": [
                    {"id": name, "root": self.roots.get(name, name), "parent": None if name == "base" else "base"}
                    for name in self.models
                ]
            }
        )

    async def _tokenize(self, request: web.Request) -> web.Response:
        text, size = (await request.json())["prompt"], self._token or 1
        first = len(self._vocabulary)
        self._vocabulary += [text[at : at + size] for at in range(0, len(text), size)]
        return web.json_response({"tokens": list(range(first, len(self._vocabulary)))})

    async def _detokenize(self, request: web.Request) -> web.Response:
        tokens = (await request.json())["tokens"]
        return web.json_response({"prompt": "".join(self._vocabulary[one] for one in tokens)})

    async def _chat(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        body = json.loads(await request.read())
        self.asked.append(body)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            found = self.reply(body)
            if asyncio.iscoroutine(found):
                found = await found
        finally:
            self.open -= 1
        if isinstance(found, int):
            return web.json_response({"error": {"message": "no", "code": found}}, status=found)
        return web.json_response(found if isinstance(found, dict) else chat(body["model"], found))


def chat(model: str, text: str | None, finish_reason: str = "stop", **choice: Any) -> dict[str, Any]:
    """A response body of the chat route."""
    message = {"role": "assistant", "content": text, "tool_calls": []}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None, **choice}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
    }
