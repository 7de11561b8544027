"""One attempt to send a message: says in one word what went wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final

import aiohttp

from monitor.config import ConfigError
from monitor.config.model import WebhookSection
from monitor.lifecycle import in_thread
from monitor.outputs.credentials import address, signing_key, token, trusted
from monitor.outputs.message import FORMATS, Message

REJECTED: Final = "rejected"
"""The receiver will not take this message in whatever number of attempts; it may well take the next."""
LONGEST_WAIT_S: Final = 300.0
"""A receiver may ask for a pause of so much at most."""


class ReceiverError(Exception):
    """The message was not taken; the text is one of `telemetry.webhook_metrics.ERRORS`."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        """retry_after_s: the pause that the receiver asked for."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Receiver:
    """Sends to the configured address and no other: redirects and proxies of the environment are not followed."""

    session: aiohttp.ClientSession
    section: WebhookSection

    async def send(self, message: Message) -> None:
        """Returns when the receiver has taken it. Raises ReceiverError."""
        body = FORMATS[self.section.format](message)
        try:
            async with asyncio.timeout(self.section.timeout_s):
                url, headers = await in_thread("webhook secrets", self._addressed, message.id, body)
                async with self.session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    if not 200 <= response.status < 300:
                        raise ReceiverError(_of_status(response.status), _retry_after(response))
        except ConfigError as error:
            raise ReceiverError("secret") from error
        except TimeoutError:
            raise ReceiverError("timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ReceiverError("connection") from error

    def _addressed(self, identity: str, body: bytes) -> tuple[str, dict[str, str]]:
        """Where to, and under which headers. Secrets are read anew for every attempt, because mounted ones are replaced; in a
        thread, because the mount may hang. Raises ConfigError."""
        headers = {"Content-Type": "application/json", "webhook-id": f"msg_{identity}"}
        if self.section.token_file:
            headers["Authorization"] = f"Bearer {token(self.section.token_file)}"
        if self.section.signing_key_file:
            key = signing_key(self.section.signing_key_file)
            now = int(time.time())
            headers |= {
                "webhook-timestamp": str(now),
                "webhook-signature": signature(key, headers["webhook-id"], now, body),
            }
        return address(self.section), headers


def signature(key: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """By which the receiver knows that a message is ours: https://www.standardwebhooks.com, version 1."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def receiver_session(section: WebhookSection) -> aiohttp.ClientSession:
    """Connections to the receiver: no proxy of the environment, no cookies. Raises ConfigError."""
    context = trusted(section)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, ssl=True if context is None else context),
        headers={"User-Agent": "alignment-monitor"},
        timeout=aiohttp.ClientTimeout(total=None),  # the configured one is set around every attempt
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _of_status(status: int) -> str:
    if status in {401, 403, 407}:
        return "unauthorized"
    if status in {400, 413, 415, 422}:
        return REJECTED
    return "overloaded" if status in {429, 503} else "status"


def _retry_after(response: aiohttp.ClientResponse) -> float:
    wanted = response.headers.get("Retry-After", "")
    return min(float(wanted), LONGEST_WAIT_S) if wanted.isascii() and wanted.isdigit() else 0.0
