"""What may be written of a text."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.evidence.redact import KINDS, MARGIN, Redactor, passes_luhn

REDACTOR = Redactor(("US", "DE", "DK"))


@pytest.mark.parametrize(
    ("text", "gone", "left"),
    [
        ("mail joe.doe+x@mail.example.co.uk now", "joe.doe+x@mail.example.co.uk", "mail [redacted: email] now"),
        ("joe [at] example [dot] com", "example", "[redacted: email]"),
        ("max@müller.de", "müller", "[redacted: email]"),
        ("pay 4111 1111 1111 1111 today", "4111", "pay [redacted: card] today"),
        ("pay 4111-1111-1111-1111 12/26", "4111", "pay [redacted: card]"),
        ("to de89 3704 0044 0532 0130 00 please", "3704", "to [redacted: iban] please"),
        ("GB82WEST12345698765432.", "WEST", "[redacted: iban]."),
        ("call +49 30 901820", "901820", "call [redacted: phone]"),
        ("call (212) 555-0187", "0187", "call [redacted: phone]"),
        ("ring 32 12 34 56", "32 12", "ring [redacted: phone]"),
        ("from 10.0.0.1.", "10.0", "from [redacted: ip]."),
        ("from 2001:db8::1, too", "2001", "from [redacted: ip], too"),
        ("at ::1", "::1", "at [redacted: ip]"),
        ("my password is hunter2!", "hunter2", "my [redacted: secret]"),
        ('{"api_key": "abcdefgh"}', "abcdefgh", '{"[redacted: secret]"}'),
        ("export TOKEN=abcd1234", "abcd", "export [redacted: secret]"),
        ("sk-proj-abcdefghijklmnop123456", "abcdef", "[redacted: secret]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdef", "[redacted: secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN", "[redacted: secret]"),
        ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop", "[redacted: secret]"),
        ("postgres://admin:pw@host/db", "pw@", "[redacted: secret]host/db"),
        ("amqp://admin:p@ss/w0rd@host/q", "w0rd", "[redacted: secret]host/q"),
        ("Authorization: ApiKey abc-123", "abc-123", "[redacted: secret]"),
        ("Authorization: Basic YTpi", "YTpi", "[redacted: secret]"),
        ('Authorization: Digest username="joe", response="66fa"', "66fa", "[redacted: secret]"),
        ("Set-Cookie: sid=abc123; Path=/", "abc123", "Set-[redacted: secret]"),
        ("dbPassword=hunter22", "hunter22", "db[redacted: secret]"),
        ('{\\"accessToken\\": \\"abcd1234\\"}', "abcd1234", '{\\"access[redacted: secret]'),
        ('password="correct horse, battery"', "battery", '[redacted: secret]"'),
        ("<password>hunter22</password>", "hunter22", "<[redacted: secret]</password>"),
        ("mysql --password hunter22 -u root", "hunter22", "mysql [redacted: secret] -u root"),
        ("curl -u joe:hunter22 https://x.example", "hunter22", "curl [redacted: secret] https"),
        ("login joe password hunter22", "hunter22", "login joe [redacted: secret]"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalr", "[redacted: secret]"),
        ("GOCSPX-abcdefghij_klmnopqrst", "abcdefghij", "[redacted: secret]"),
        ("A1b2" * 3000, "A1b2", "[redacted: secret]"),
        ("joe%40example.com", "joe", "[redacted: email]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "eyJ", "[redacted: secret]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n", "MIIabc", "[redacted: secret]"),
        ("d41d8cd98f00b204e9800998ecf8427e", "d41d", "[redacted: secret]"),
        ("ssn 123-45-6789", "6789", "ssn [redacted: number]"),
        ("j\u200boe@exa\u200bmple.com", "mple", "[redacted: email]"),
        ("４１１１ １１１１ １１１１ １１１１", "１１１１", "[redacted: card]"),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "١١١١", "[redacted: card]"),
        ("a\U000e0041\U000e0042b", "\U000e0041", "a[redacted: hidden]b"),
    ],
)  # fmt: skip
def test_what_identifies_or_opens_is_taken_out(text: str, gone: str, left: str) -> None:
    redacted, counts = REDACTOR.redact(text, 1000)
    assert gone not in redacted
    assert redacted.startswith(left)
    assert set(counts) <= set(KINDS)
    assert counts.total() >= 1


@pytest.mark.parametrize(
    "text",
    [
        "Explain how to whisk eggs in 3 steps, for 12 people.",
        "the secret is whisking, and the password is wrong",
        "max_tokens: 2560 is enough",
        "pi is 3.14159 and std::vector holds it, at 12:30:45",
        "We had 1,000,000 users, version 1.2.3",
        "Ein ganz gewöhnlicher Satz über Müller & Söhne – naïve café.",
        "👩‍💻 writes code",
        "Use --password to set one, and cookies: flour, butter",
        "tokenization > spelling, the password manager of 2024",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert REDACTOR.redact(text, 1000).text == text


def test_what_begins_before_the_limit_is_taken_out_whole_and_nothing_behind_it_is_kept() -> None:
    redacted, counts = REDACTOR.redact("x" * 90 + " 4111 1111 1111 1111 and more", 100)
    assert redacted == "x" * 90 + " [redacted: card]"
    assert counts == {"card": 1}
    assert REDACTOR.redact("y" * 200 + " joe@example.com", 100).text == "y" * 100
    assert len(REDACTOR.redact("a word " * 1000, 100).text) == 100


def test_a_lone_surrogate_does_not_reach_the_file() -> None:
    assert REDACTOR.redact("a\ud800b", 100).text.encode() == b"a?b"


def test_names_are_not_found_which_the_documents_say() -> None:
    assert REDACTOR.redact("My name is Kim Example", 100).text == "My name is Kim Example"


LUHN = (
    st.lists(st.integers(0, 9), min_size=12, max_size=18)
    .filter(any)
    .map(lambda digits: next([*digits, last] for last in range(10) if passes_luhn([*digits, last])))
)
WORDS = st.text(alphabet=string.ascii_letters + " .,", max_size=40)


@settings(max_examples=60, deadline=None)
@given(before=WORDS, digits=LUHN, separator=st.sampled_from(["", " ", "-"]), after=WORDS)
def test_no_card_number_survives_in_any_writing(before: str, digits: list[int], separator: str, after: str) -> None:
    number = separator.join(map(str, digits))
    redacted = REDACTOR.redact(f"{before} {number} {after}", 1000).text
    assert number not in redacted
    assert sum(map(str.isdigit, redacted)) <= 2


@settings(max_examples=60, deadline=None)
@given(before=WORDS, after=WORDS, address=st.emails())
@example(before="", after="", address=f"a@{'b.' * 124}com")
def test_no_address_survives(before: str, after: str, address: str) -> None:
    host = address.rpartition("@")[2]
    redacted = REDACTOR.redact(f"{before} {address} {after}", 1000).text
    assert f"@{host}" not in redacted


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.integers(1, 200))
def test_any_text_can_be_redacted(text: str, limit: int) -> None:
    redacted = REDACTOR.redact(text, limit)
    assert len(redacted.text) <= limit + 30 * redacted.counts.total()


@pytest.mark.parametrize(
    "hostile",
    [
        "a@",
        "1 ",
        "12-",
        "::",
        "(at",
        "DE12 ",
        "password is ",
        "1234567 ",
        "eyJaaaaaaaaaaa.",
        "-",
        "--a-",
        "a://:",
        "cookie:a=",
    ],
)
def test_the_cost_grows_with_the_length_only(hostile: str) -> None:
    """Nine times the text must not take anything like 81 times the time."""
    assert MARGIN < 4500

    def seconds(length: int) -> float:
        text = hostile * (length // len(hostile))
        times = []
        for _ in range(3):
            began = time.process_time()
            REDACTOR.redact(text, length)
            times.append(time.process_time() - began)
        return min(times)

    assert seconds(18_000) < 35 * max(seconds(2_000), 0.001)
