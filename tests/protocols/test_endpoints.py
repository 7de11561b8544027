from __future__ import annotations

import pytest

from monitor.protocols import DECODERS
from monitor.protocols.endpoints import ADMIN, ENDPOINTS, TAPPED, endpoint_of, fetches_response


@pytest.mark.parametrize(
    ("method", "target", "endpoint"),
    [
        ("POST", "/v1/chat/completions", "chat_completions"),
        ("POST", "/v1/chat/completions?x=1", "chat_completions"),
        ("POST", "/v1/chat/completions/", "chat_completions"),
        ("POST", "/v1/chat/completions#x", "chat_completions"),
        ("POST", "/v1/chat/%63ompletions", "chat_completions"),
        ("POST", "http://somewhere/v1/chat/completions", "chat_completions"),
        ("POST", "/behind/a/prefix/v1/chat/completions", "chat_completions"),
        ("POST", "/v1/chat/completions/batch", "batch"),
        ("POST", "/v1/completions", "completions"),
        ("POST", "/v1/responses", "responses"),
        ("GET", "/v1/responses/resp_1", "responses"),
        ("GET", "/v1/responses/resp_1?stream=true", "responses"),
        ("GET", "/v1/%72esponses/resp_1/", "responses"),
        ("POST", "/v1/responses/resp_1/cancel", "responses"),
        ("GET", "/v1/responses", "other"),
        ("DELETE", "/v1/responses/resp_1", "other"),
        ("POST", "/v1/messages", "messages"),
        ("POST", "/v1/messages/count_tokens", "other"),
        ("POST", "/inference/v1/generate", "generate"),
        ("POST", "/invocations", "invocations"),
        ("GET", "/v1/chat/completions", "other"),
        ("POST", "/v1/embeddings", "other"),
        ("POST", "/v1/chat/completionsx", "other"),
        ("POST", "", "other"),
        ("POST", "*", "other"),
        ("POST", "/v1/load_lora_adapter", "admin"),
        ("POST", "/root//v1/%75nload_lora_adapter/?x=1", "admin"),
        ("DELETE", "/adapters/support", "admin"),
        ("POST", "/update_weights", "admin"),
    ],
)
def test_a_target_reaches_its_endpoint_however_it_is_written(method: str, target: str, endpoint: str) -> None:
    assert endpoint_of(method, target) == endpoint
    assert endpoint in ENDPOINTS


def test_what_is_copied_can_be_decoded() -> None:
    assert {*DECODERS, ADMIN} == TAPPED


def test_writing_a_path_in_another_way_does_not_pass_a_question_off_as_a_fetched_answer() -> None:
    assert not fetches_response("POST", "/v1/%72esponses")
    assert not fetches_response("POST", "/v1/responses?x=/cancel")
    assert fetches_response("POST", "/v1/responses/resp_1/%63ancel")
