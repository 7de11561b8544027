"""A baseline's file: any change is noticed, and a signature holds what a hash cannot."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_baseline import DATE, content, made, signal
from pydantic import ValidationError

from monitor.baseline.frozen import Approval, BaselineError, frozen, read_baseline, write_baseline
from monitor.baseline.signature import check_signature, sign


def test_a_baseline_is_read_back_as_it_was_written(tmp_path):
    file = tmp_path / "baseline.json"
    write_baseline(made(), file)
    assert read_baseline(file) == made()
    assert [one.name for one in tmp_path.iterdir()] == ["baseline.json"]


def test_the_hash_does_not_depend_on_how_the_file_is_laid_out(tmp_path):
    file = tmp_path / "baseline.json"
    told = made().model_dump(mode="json")
    told["content"] = dict(reversed(told["content"].items()))
    file.write_text(json.dumps(told))
    assert read_baseline(file).sha256 == made().sha256


def _places(value, path=()):
    """Every leaf of a JSON value."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _places(inner, (*path, key))
    else:
        yield path


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_of_the_content_can_be_changed_unnoticed(tmp_path, data):
    told = made().model_dump(mode="json")
    *way, last = data.draw(st.sampled_from(sorted(_places(told["content"]), key=str)))
    inner = told["content"]
    for step in way:
        inner = inner[step]
    before = inner[last]
    other = {str: ["other", "scorer"], bool: [not before]}.get(type(before), [0, 1, 7, 0.5])
    inner[last] = data.draw(st.sampled_from([one for one in other if one != before]))
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(told))
    with pytest.raises(BaselineError) as error:
        read_baseline(file)
    assert str(error.value).startswith(str(file))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda told: told["content"].update(base="other"), "its content was changed: the hash is"),
        (lambda told: told["content"].update(extra=1), "content.extra: unknown key"),
        (lambda told: told["content"].update(format="2"), "content.format: "),
        (lambda told: told["content"]["measured"][0].update(bad=2000), "2000 bad answers among 1000 is not a count"),
        (lambda told: told["approval"].update(sha256="1" * 64), "the approval is of another content"),
        (lambda told: told.pop("sha256"), "sha256: field required"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, spoil, complaint):
    told = made().model_dump(mode="json")
    spoil(told)
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(told))
    with pytest.raises(BaselineError) as error:
        read_baseline(file)
    assert complaint in str(error.value)


def test_a_file_that_is_not_there_or_no_json_is_told(tmp_path):
    with pytest.raises(BaselineError, match="cannot be read: No such file"):
        read_baseline(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"content": {')
    with pytest.raises(BaselineError, match=r"half\.json"):
        read_baseline(tmp_path / "half.json")


def test_a_signal_that_does_not_exist_or_stands_twice_is_no_baseline():
    with pytest.raises(ValidationError, match="there is no signal 'courtesy'"):
        signal("courtesy")
    with pytest.raises(ValidationError, match="a signal stands twice"):
        content(measured=(signal(), signal()))


@pytest.fixture
def keys(tmp_path):
    def write(name, key):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return private, public

    return write


def test_a_signature_holds_content_and_approval(keys):
    private, public = keys("own", ed25519.Ed25519PrivateKey.generate())
    signed = made().model_copy(update={"signature": sign(made(), private)})
    check_signature(signed, public)
    forged = signed.model_copy(update={"approval": Approval(by="somebody", date=DATE, sha256=signed.sha256)})
    other = frozen(content(base="other")).model_copy(update={"signature": signed.signature})
    unsigned = made()
    _, stranger = keys("stranger", ed25519.Ed25519PrivateKey.generate())
    for baseline, key, complaint in (
        (forged, public, "signature is not one of"),
        (other, public, "signature is not one of"),
        (unsigned, public, "is not signed"),
        (signed.model_copy(update={"signature": "zz"}), public, "signature is not one of"),
        (signed, stranger, "signature is not one of"),
    ):
        with pytest.raises(BaselineError, match=complaint):
            check_signature(baseline, key)


def test_keys_of_another_kind_are_told(keys, tmp_path):
    private, public = keys("ec", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(BaselineError, match="not an Ed25519 key"):
        sign(made(), private)
    with pytest.raises(BaselineError, match="not an Ed25519 key"):
        check_signature(made(), public)
    with pytest.raises(BaselineError, match="not an unencrypted private key"):
        sign(made(), public)
    with pytest.raises(BaselineError, match="cannot be read"):
        sign(made(), tmp_path / "none")
