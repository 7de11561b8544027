"""The registry from the command line, with real adapters, a real CycloneDX schema and real signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_adapters import drawn, summed, write

from monitor.adapters import load_registry
from monitor.adapters.bom import bom_of, check_schema
from monitor.cli import main
from monitor.config import ConfigError

EVALUATION = {
    "date": "2026-11-24", "scope": "combined", "suite": "held questions", "suite_version": "3", "scorer": "linear",
    "scorer_version": "abc123", "base": "base", "base_version": "1.0", "context": "alone on the server", "by": "safety team",
    "metrics": [
        {"type": "refusal_lost", "value": 0.02, "slice": "harmful_looking", "lower": 0.005, "upper": 0.05},
        {"type": "over_refusal", "value": 0.1, "slice": "ordinary"},
    ],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two adapters, their merge and a base model."""
    write(tmp_path / "adapters" / "alpha", drawn(1))
    write(tmp_path / "adapters" / "beta", drawn(2))
    write(tmp_path / "served" / "ab", summed([(drawn(1), 0.7), (drawn(2), 1.3)]))
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    (tmp_path / "evaluation.json").write_text(json.dumps(EVALUATION))
    return tmp_path


class Registry:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str], name: str = "registry.json") -> None:
        self.place, self.capsys, self.file = place, capsys, place / name

    def __call__(self, action: str, *arguments: object, code: int = 0) -> list[Any]:
        """Run a command; its JSON lines."""
        found = main(["registry", action, *map(str, arguments), "--registry", str(self.file)])
        out, self.errors = self.capsys.readouterr()
        assert found == code, self.errors
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")] if action != "export" else [out]

    def filled(self) -> None:
        self("add", "base", "--base", "--dir", self.place / "base", "--version", "1.0")
        self("add", "alpha", "--dir", self.place / "adapters/alpha", "--licence", "Apache-2.0", "--source", "team a")
        self("add", "beta", "--dir", self.place / "adapters/beta", "--external")
        self("add", "ab", "--parts", "beta=1.3", "alpha=0.7", "--merge", "cat", "--dir", self.place / "served/ab")
        self("add", "ab", "--evaluation", self.place / "evaluation.json")


@pytest.fixture
def registry(place: Path, capsys: pytest.CaptureFixture[str]) -> Registry:
    return Registry(place, capsys)


def test_an_approval_needs_every_digest_and_voids_itself_when_one_changes(registry: Registry) -> None:
    registry("add", "ab", "--parts", "alpha=0.7", "beta")
    registry("approve", "ab", "--by", "me", code=2)
    assert "none of the base (none is named), alpha, beta, the merged adapter ab itself" in registry.errors
    registry.filled()
    assert registry("show", "ab")[0]["status"] == "validating"
    registry("approve", "ab", "--by", "me")
    shown = registry("show", "ab")[0]
    assert (shown["status"], shown["combination"]["approval"]["id"]) == ("validated", shown["id"])
    write(registry.place / "adapters/alpha", drawn(9))
    registry("add", "alpha", "--dir", registry.place / "adapters/alpha")
    registry("add", "ab", "--parts", "beta=1.3", "alpha=0.7", "--merge", "cat")
    assert registry("show", "ab")[0]["status"] == "unvalidated"
    registry("approve", "ab", "--by", "me", "--revoke")
    assert registry("show", "ab")[0]["combination"]["approval"] is None


def test_the_file_is_a_cyclonedx_1_7_ml_bom_and_says_all_that_was_put_in(registry: Registry) -> None:
    registry.filled()
    registry("approve", "ab", "--by", "me")
    document = json.loads(registry.file.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.7")
    check_schema(document)
    components = {one["bom-ref"]: one for one in document["components"]}
    assert {one["type"] for one in components.values()} == {"machine-learning-model"}
    merged = components["combination:ab"]
    assert {one["name"] for one in merged["pedigree"]["ancestors"]} == {"alpha", "beta"}
    metric = merged["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
    assert metric["slice"].endswith("harmful_looking")
    assert metric["confidenceInterval"] == {"lowerBound": "0.005", "upperBound": "0.05"}
    assert components["adapter:alpha"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert components["adapter:alpha"]["hashes"][0]["alg"] == "SHA-256"
    loaded = load_registry(registry.file)
    assert [part.adapter for part in loaded.combinations[0].parts] == ["beta", "alpha"], "in the order they were given"
    assert loaded.combinations[0].evaluations[0].model_dump(exclude_none=True) | {"report": ""} == {
        **EVALUATION, "report": "",
    } | {"metrics": loaded.model_dump(exclude_none=True)["combinations"][0]["evaluations"][0]["metrics"]}  # fmt: skip
    assert len(loaded.combinations[0].evaluations[0].metrics) == 2
    assert load_registry(registry.file) == type(loaded).model_validate(loaded.model_dump())


def test_export_gives_both_formats_and_they_say_the_same(registry: Registry, place: Path) -> None:
    registry.filled()
    (place / "bom.json").write_text(registry("export")[0])
    (place / "plain.yaml").write_text(registry("export", "--format", "yaml")[0])
    assert load_registry(place / "bom.json") == load_registry(place / "plain.yaml") == load_registry(registry.file)
    check_schema(bom_of(load_registry(place / "plain.yaml")))


def test_a_yaml_file_stays_yaml(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(place, capsys, "registry.yaml")
    registry.file.write_text("base: base\ncombinations:\n  - {served_name: x, parts: [{adapter: alpha}]}\n")
    registry("add", "beta", "--dir", place / "adapters/beta")
    assert registry.file.read_text().startswith("base: base\n")
    assert [one.name for one in load_registry(registry.file).adapters] == ["beta"]


def test_scan_tells_what_is_there_and_what_of_it_is_registered(registry: Registry, place: Path) -> None:
    registry.filled()
    (place / "adapters/broken").mkdir()
    (place / "adapters/broken/adapter_config.json").write_text("{}")
    found = {one["name"]: one for one in registry("scan", place / "adapters", place / "served")}
    assert found["alpha"]["registered_as"] == "alpha"
    assert found["ab"]["registered_as"] == "ab"
    assert found["alpha"]["ranks"] == [4]
    assert "there is none" in found["broken"]["problem"]


def test_verify_notices_tampered_and_truncated_files(registry: Registry, place: Path) -> None:
    registry.filled()
    found = registry("verify", place / "adapters", place / "served")
    assert {one["name"]: one["contents"] for one in found} == {"alpha": "same", "beta": "same", "ab": "same"}
    file = place / "adapters/alpha/adapter_model.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    assert registry("verify", place / "adapters/alpha", code=1)[0]["contents"] == "changed"
    file.write_bytes(whole[:-5])
    assert registry("verify", place / "adapters/alpha", code=1)[0]["contents"] == "unreadable"


def key_pair(place: Path) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = place / "key.pem", place / "key.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_signatures_are_verified_where_there_are_any(registry: Registry, place: Path) -> None:
    signing = pytest.importorskip("model_signing.signing", reason="model-signing is not installed (extra signing)")
    registry.filled()
    private, public = key_pair(place)
    folder = place / "adapters/alpha"
    signing.Config().use_elliptic_key_signer(private_key=private).sign(folder, folder / "model.sig")
    assert registry("verify", folder)[0]["signature"] == "unchecked"
    assert registry("verify", folder, "--public-key", public)[0]["signature"] == "verified"
    assert registry("show", "alpha")[0]["adapter"]["signature"] == "verified"
    registry("add", "alpha", "--dir", place / "adapters/beta")
    assert registry("show", "alpha")[0]["adapter"]["signature"] == "", "it was of other contents"
    assert registry("verify", folder, "--public-key", public, code=1)[0]["contents"] == "changed"
    assert registry("show", "alpha")[0]["adapter"]["signature"] == "", "it is not of the registered contents"
    registry("add", "alpha", "--dir", folder)
    assert registry("verify", folder, "--public-key", public)[0]["signature"] == "verified"
    config = folder / "adapter_config.json"
    config.write_text(config.read_text() + "\n")  # its digest is the same, its signature is not
    found = registry("verify", folder, "--public-key", public, code=1)[0]
    assert (found["contents"], found["signature"]) == ("same", "invalid")
    assert registry("show", "alpha")[0]["adapter"]["signature"] == "invalid"
    (place / "other").mkdir()
    stranger = key_pair(place / "other")[1]
    assert registry("verify", folder, "--public-key", stranger, code=1)[0]["signature"] == "invalid"


def test_identify_prints_parts_weights_and_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = place / "cache"
    for _ in range(2):
        arguments = [str(place / "served/ab"), "--among", str(place / "adapters"), "--cache", str(cache)]
        assert main(["registry", "identify", *arguments]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {part["name"]: part["weight"] for part in found["parts"]} == pytest.approx(
            {"alpha": 0.7, "beta": 1.3}, abs=0.001
        )
        assert found["residual"] < 0.01
        assert found["milliseconds"] > 0
    assert list(cache.glob("*.npz"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", "nobody"], "knows no 'nobody'"),
        (["approve", "nobody", "--by", "me"], "declares no combination 'nobody'"),
        (["add", "x", "--parts", "a=b"], "'a=b' is not ADAPTER or ADAPTER=SCALE"),
        (["add", "x", "--parts", "a", "a"], "an adapter stands twice among the parts of 'x'"),
        (["add", "x", "--dir", "nowhere"], "nowhere"),
        (["scan", "nowhere"], "neither an adapter nor a folder of adapters"),
        (["add", "ab", "--version", "2"], "--version: ab is a combination, of which the registry keeps none"),
        (["add", "ab", "--external"], "--external: ab is a combination"),
        (["add", "alpha", "--merge", "cat"], "--merge: alpha is an adapter"),
        (["add", "base", "--base", "--quarantine", "bad"], "--quarantine: base is the base"),
        (["add", "aplha", "--evaluation", "nowhere"], "knows no 'aplha' that was evaluated: add it first"),
        (["identify", "nowhere", "--among", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(registry: Registry, arguments: list[str], problem: str) -> None:
    registry.filled()
    before = registry.file.read_bytes()
    registry(*arguments, code=2)
    assert registry.file.read_bytes() == before
    assert problem in registry.errors
    assert "Traceback" not in registry.errors


def test_an_evaluation_without_its_fields_is_refused_with_their_names(registry: Registry, place: Path) -> None:
    (place / "bad.json").write_text('{"scope": "somehow"}')
    registry("add", "alpha")
    registry("add", "alpha", "--evaluation", place / "bad.json", code=2)
    assert "adapters.0.evaluations.0.date" in registry.errors
    assert "adapters.0.evaluations.0.scope" in registry.errors


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bomFormat": "SPDX"}, "bomFormat: not CycloneDX"),
        ({"components": [{"name": "x"}]}, "components.0.type: field required"),
        (
            {"components": [{"type": "machine-learning-model", "name": "x", "hashes": [{"alg": "SHA-256", "content": "zz"}],
                             "properties": [{"name": "alignment-monitor:role", "value": "adapter"}]}]},
            "adapters.0.digest: string should match pattern",
        ),
        (
            {"components": [{"type": "machine-learning-model", "name": "x",
                             "properties": [{"name": "alignment-monitor:role", "value": "combination"},
                                            {"name": "alignment-monitor:approval", "value": "{"}]}]},
            "Expecting property name",
        ),
    ],
)  # fmt: skip
def test_a_document_that_says_something_else_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    file = tmp_path / "bom.json"
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.7"} | change))
    with pytest.raises(ConfigError) as caught:
        load_registry(file)
    assert problem in str(caught.value)


def test_a_foreign_bom_is_read_as_far_as_it_concerns_us(tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    components = [{"type": "library", "name": "numpy"}, {"type": "machine-learning-model", "name": "someone else's"}]
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}))
    assert load_registry(file).combinations == ()


def test_a_quarantine_is_set_and_released_for_a_combination_and_for_an_adapter_with_all_that_contain_it(
    registry: Registry,
) -> None:
    registry.filled()
    registry("quarantine", "ab", "--reason", "complies on weapons")
    assert registry("show", "ab")[0]["status"] == "quarantined"
    registry("quarantine", "ab", "--release")
    assert registry("show", "ab")[0]["status"] == "validating"
    registry("quarantine", "beta", "--reason", "poisoned")
    assert registry("show", "ab")[0]["reason"] == "beta: poisoned"
    assert load_registry(registry.file).adapter("beta").digest, "what was known of it stays"  # type: ignore[union-attr]
    registry("quarantine", "beta", "--release")
    registry("quarantine", "seen-once", "--reason", "unknown origin")
    known = load_registry(registry.file).adapter("seen-once")
    assert known is not None
    assert known.quarantined == "unknown origin"
    check_schema(bom_of(load_registry(registry.file)))
    registry("quarantine", "ab", code=2)
    assert "--reason or --release" in registry.errors
    registry("quarantine", "nobody", "--release", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "ab"],
        ["verify", "{adapters}"],
        ["scan", "{adapters}"],
        ["export"],
        ["approve", "ab", "--by", "me"],
        ["quarantine", "ab", "--release"],
    ],
)
def test_a_registry_that_is_not_there_is_not_taken_for_an_empty_one(
    registry: Registry, place: Path, arguments: list[str]
) -> None:
    registry(*(one.replace("{adapters}", str(place / "adapters")) for one in arguments), code=2)
    assert "cannot read the registry file: No such file or directory" in registry.errors
    assert not registry.file.exists()


def test_what_is_added_again_keeps_what_is_not_said_anew(registry: Registry) -> None:
    registry.filled()
    before = load_registry(registry.file)
    registry("add", "base", "--base", "--version", "2.0")
    registry("add", "ab", "--merge", "linear")
    registry("add", "alpha", "--quarantine", "poisoned")
    after = load_registry(registry.file)
    assert (after.base_digest, after.base_version) == (before.base_digest, "2.0")
    known = after.declared("ab")
    assert known is not None
    assert (known.merge, known.parts) == ("linear", before.declared("ab").parts)  # type: ignore[union-attr]
    assert registry("show", "ab")[0]["reason"] == "alpha: poisoned"
    registry("add", "alpha", "--version", "3")
    assert registry("show", "ab")[0]["status"] == "quarantined", "nothing but --release ends that"


def test_a_quarantine_of_a_name_that_nobody_knows_says_so(registry: Registry) -> None:
    registry.filled()
    registry("quarantine", "ba", "--reason", "bad")
    assert "knew no 'ba': it is quarantined as an adapter of that name" in registry.errors
    registry("quarantine", "ab", "--reason", "bad")
    assert registry.errors == ""


def test_who_may_read_the_file_and_where_it_lies_stay_as_they_are(registry: Registry, place: Path) -> None:
    registry.filled()
    registry.file.chmod(0o640)
    (place / "link.json").symlink_to(registry.file.name)
    real, registry.file = registry.file, place / "link.json"
    registry("quarantine", "ab", "--reason", "bad")
    assert registry.file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    known = load_registry(real).declared("ab")
    assert known is not None
    assert known.quarantined == "bad"
