"""OpenSSF model-signing bundles beside an adapter's files, verified by the `model_signing` library (extra `signing`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

BUNDLES: Final = ("model.sig", "claims.jsonl", "adapter.sig")
"""Names under which signers leave their bundle; the first is the library's own default."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signature counts: a public key, a chain of certificates, or an identity of Sigstore."""

    public_key: Path | None = None
    certificates: tuple[Path, ...] = ()
    identity: str = ""
    oidc_issuer: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """What was found of an adapter's signature."""

    state: Literal["unsigned", "unchecked", "verified", "invalid"]
    """`unchecked`: there is a bundle, but nobody said whose signature counts, or the library is not installed."""
    detail: str = ""


def bundle_of(folder: Path) -> Path | None:
    """The adapter's signature bundle, if it has one."""
    return next((folder / name for name in BUNDLES if (folder / name).is_file()), None)


def verify_bundle(folder: Path, trust: Trust) -> Signed:
    """Verify an adapter's bundle over all files of its folder."""
    bundle = bundle_of(folder)
    if bundle is None:
        return Signed("unsigned")
    try:
        from model_signing import hashing, verifying
    except ImportError:
        return Signed("unchecked", "needs the extra `signing`: pip install 'vllm-alignment-monitor[signing]'")
    config = verifying.Config()  # type: ignore[no-untyped-call]
    if trust.public_key:
        config = config.use_elliptic_key_verifier(public_key=trust.public_key)
    elif trust.certificates:
        config = config.use_certificate_verifier(certificate_chain=trust.certificates)
    elif trust.identity and trust.oidc_issuer:
        config = config.use_sigstore_verifier(identity=trust.identity, oidc_issuer=trust.oidc_issuer)
    else:
        return Signed("unchecked", "neither a key, nor certificates, nor an identity was given")
    over = hashing.Config()  # type: ignore[no-untyped-call]
    config = config.set_hashing_config(over.set_ignored_paths(paths=[bundle], ignore_git_paths=True))
    try:
        config.verify(folder, bundle)
    except Exception as error:  # noqa: BLE001  # the library's own end: whatever it raises, the bundle does not hold
        return Signed("invalid", f"{type(error).__name__}: {error}".splitlines()[0])
    return Signed("verified")
