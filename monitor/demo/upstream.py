"""An HTTP server that speaks vLLM's API and answers with recorded generations of a real vLLM.

It stands in for vLLM in the demo where neither torch nor vLLM is installed. It never invents a text: what was not
recorded is an error. That it is recorded shows in every response (headers `x-recorded` and `Server`), in /version and
in `owned_by`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from monitor.demo import shapes
from monitor.demo.asks import Ask, AskError, ChatAsk, CompletionAsk, LoadAsk, read_ask
from monitor.demo.recordings import PACKAGED, Generation, Recordings, RecordingsError, load_recordings

MAX_REQUEST_BYTES = 64 * 1024 * 1024
KEEPALIVE_S = 5.0
"""vLLM's own keep-alive time."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _RefusedError(Exception):
    """A request that gets an error object instead of an answer."""

    def __init__(self, body: shapes.Body) -> None:
        super().__init__(body["error"]["message"])
        self.body = body


class RecordedServer:
    """The served names that are loaded now, and which recorded answer each prompt gets next."""

    def __init__(self, recordings: Recordings, speed: float = 1.0) -> None:
        """`speed` divides all recorded waiting times; 0 means no waiting at all."""
        self._recordings = recordings
        self._pace = 1 / speed if speed else 0.0
        self._base = recordings.header.base
        self._loaded = {name: served.root for name, served in recordings.served.items()}
        self._asked: Counter[tuple[str, str]] = Counter()

    def application(self) -> web.Application:
        """The aiohttp application with all routes."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[_errors_as_vllm])
        app.on_response_prepare.append(self._mark)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/version", self._version),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._completions),
                web.post("/v1/load_lora_adapter", self._load),
                web.post("/v1/unload_lora_adapter", self._unload),
            ]
        )
        return app

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-recorded"] = "true"
        response.headers["Server"] = f"recorded ({self._recordings.header.server})"

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, request: web.Request) -> web.Response:
        header = self._recordings.header
        version = header.server.rpartition(" ")[2]
        return _json(
            {"version": version, "recorded": True, "recorded_on": header.recorded, "recorded_from": header.server}
        )

    async def _models(self, request: web.Request) -> web.Response:
        now = int(time.time())
        cards = [
            shapes.model_card(name, root, None if name == self._base else self._base, now)
            for name, root in self._loaded.items()
        ]
        return _json({"object": "list", "data": cards})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, read_ask(await request.read(), ChatAsk), "chatcmpl")

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, read_ask(await request.read(), CompletionAsk), "cmpl")

    async def _generate(self, request: web.Request, ask: Ask, prefix: str) -> web.StreamResponse:
        model = self._served_name(ask.model)
        per_prompt = [self._next_answers(model, text, ask.n or 1) for text in ask.texts]
        generations = [generation for several in per_prompt for generation in several]
        tokens = shapes.usage([several[0] for several in per_prompt], generations)
        request_id = request.headers.get("X-Request-Id") or uuid.uuid4().hex
        answer = shapes.Answer(id=f"{prefix}-{request_id}", created=int(time.time()), model=model)
        if ask.stream:
            return await self._stream(request, ask, answer, generations, tokens)
        await asyncio.sleep(self._pace * max(_times(generation)[-1] for generation in generations))
        shape = shapes.chat_response if isinstance(ask, ChatAsk) else shapes.completion_response
        return _json(shape(answer, generations, tokens))

    async def _stream(
        self,
        request: web.Request,
        ask: Ask,
        answer: shapes.Answer,
        generations: Sequence[Generation],
        tokens: shapes.Body,
    ) -> web.StreamResponse:
        """Send the recorded pieces at the recorded pace; the choices of one response interleave by time."""
        chat = isinstance(ask, ChatAsk)
        shape = shapes.chat_event if chat else shapes.completion_event
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        start = asyncio.get_running_loop().time()
        schedule = sorted(
            (at, index, number, shape(answer, index, text, finish))
            for index, generation in enumerate(generations)
            for number, (at, (text, finish)) in enumerate(
                zip(_times(generation), shapes.pieces(generation), strict=True)
            )
        )
        await asyncio.sleep(self._pace * schedule[0][0])
        await response.prepare(request)
        if chat:
            for index in range(len(generations)):
                await response.write(_event(shapes.chat_role_event(answer, index)))
        for at, _, _, body in schedule:
            wait = start + self._pace * at - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.sleep(wait)
            await response.write(_event(body))
        if ask.include_usage:
            kind = "chat.completion.chunk" if chat else "text_completion"
            await response.write(_event(shapes.usage_event(answer, kind, tokens)))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _served_name(self, requested: str | None) -> str:
        """The name that answers: none and "" mean the base model, as in vLLM. Raises _RefusedError."""
        if not requested:
            return self._base
        if requested not in self._loaded:
            raise _RefusedError(shapes.error(f"The model `{requested}` does not exist.", "NotFoundError", 404, "model"))
        return requested

    def _next_answers(self, model: str, text: str, count: int) -> list[Generation]:
        """The next recorded answers to a prompt, in turn, from the first again after the last. Raises _RefusedError."""
        prompt = self._recordings.find_prompt(text)
        recorded = self._recordings.generations.get((model, prompt.prompt_id), ()) if prompt else ()
        if prompt is None or not recorded:
            message = (
                f"This is a recorded server: it holds no answer of `{model}` to this prompt. It answers the "
                f"{len(self._recordings.prompts)} recorded prompts alone, as the last user turn or as the prompt."
            )
            raise _RefusedError(shapes.error(message, "NotFoundError", 404, "messages"))
        key = (model, prompt.prompt_id)
        first = self._asked[key]
        self._asked[key] += count
        return [recorded[(first + offset) % len(recorded)] for offset in range(count)]

    async def _load(self, request: web.Request) -> web.Response:
        ask = read_ask(await request.read(), LoadAsk)
        name = ask.lora_name
        if not name or not ask.lora_path:
            raise _RefusedError(
                shapes.error("Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput", 400)
            )
        if name == self._base:
            message = f"The lora adapter '{name}' conflicts with a served base model."
            raise _RefusedError(shapes.error(message, "InvalidUserInput", 400))
        if name in self._loaded and not ask.load_inplace:
            message = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                "set 'load_inplace' to True."
            )
            raise _RefusedError(shapes.error(message, "InvalidUserInput", 400))
        if name not in self._recordings.served:
            known = ", ".join(sorted(set(self._recordings.served) - {self._base}))
            message = f"This is a recorded server: nothing was recorded of '{name}'. It can load {known}."
            raise _RefusedError(shapes.error(message, "NotFoundError", 404))
        self._loaded[name] = ask.lora_path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = read_ask(await request.read(), LoadAsk).lora_name
        if not name:
            message = "'lora_name' needs to be provided to unload a LoRA adapter."
            raise _RefusedError(shapes.error(message, "InvalidUserInput", 400))
        if name not in self._loaded or name == self._base:
            raise _RefusedError(shapes.error(f"The lora adapter '{name}' cannot be found.", "NotFoundError", 404))
        del self._loaded[name]
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")


@web.middleware
async def _errors_as_vllm(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _RefusedError as refused:
        return _json(refused.body, status=refused.body["error"]["code"])
    except AskError as error:
        return _json(shapes.error(str(error), "Bad Request", 400), status=400)
    except web.HTTPException as error:
        return _json({"detail": error.reason}, status=error.status)


def _times(generation: Generation) -> list[float]:
    """Seconds after the request at which each streamed piece was sent."""
    count = sum(1 for _ in shapes.pieces(generation))
    return [generation.first_s + generation.gap_s * number for number in range(count)]


def _event(body: shapes.Body) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _json(body: shapes.Body, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def serve(recordings: Recordings, host: str, port: int, speed: float) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError when the address cannot be used."""
    runner = web.AppRunner(
        RecordedServer(recordings, speed).application(),
        handler_cancellation=True,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=1.0,
        access_log=None,
    )
    await runner.setup()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        print(f"recorded upstream ({recordings.header.server}) on {' '.join(_addresses(runner))}", flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()


def _addresses(runner: web.AppRunner) -> list[str]:
    return [f"http://{address[0]}:{address[1]}" for address in runner.addresses]


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's entry: one line and exit code 1 for what cannot be served."""
    parser = argparse.ArgumentParser(prog="python -m monitor.demo.upstream", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one and prints it")
    parser.add_argument("--recordings", type=Path, default=PACKAGED, help="recordings file (default: the packaged one)")
    parser.add_argument("--speed", type=float, default=1.0, help="times faster than recorded; 0: no waiting at all")
    parser.add_argument("--served", action="append", metavar="NAME", help="serve this name; all of them when not given")
    args = parser.parse_args(arguments)
    if args.speed < 0:
        parser.error("--speed must not be negative")
    try:
        recordings = load_recordings(args.recordings)
        if args.served:
            recordings = recordings.only({recordings.header.base, *args.served})
        asyncio.run(serve(recordings, args.host, args.port, args.speed))
    except (RecordingsError, OSError) as error:
        print(f"recorded upstream: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
