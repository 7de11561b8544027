"""A digest says what an adapter holds, not how its files lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from made_adapters import MODULES, drawn, write
from safetensors.numpy import load_file, save_file

from monitor.adapters import digest as digest_module
from monitor.adapters.digest import Digests, adapter_digest, base_digest, within
from monitor.adapters.weights import AdapterFilesError


def rewrite_config(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_order_padding_and_what_a_server_does_not_use_change_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", drawn(1))
    before = adapter_digest(folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    raw = {name: tensor.tobytes() for name, tensor in tensors.items()}
    header: dict[str, object] = {"__metadata__": {"made": "elsewhere"}}
    at = 0
    for name in sorted(tensors, reverse=True):
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [at, at + len(raw[name])]}
        at += len(raw[name])
    text = json.dumps(header).encode() + b" " * 40
    body = b"".join(raw[name] for name in sorted(tensors, reverse=True))
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    rewrite_config(
        folder, target_modules=["v_proj", "up_proj", "q_proj"], base_model_name_or_path="/some/where", lora_dropout=0.1,
        layers_pattern=None, inference_mode=False,
    )  # fmt: skip
    assert adapter_digest(folder) == before


@pytest.mark.parametrize("change", [{"lora_alpha": 5}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 1}}])
def test_what_changes_the_update_changes_the_digest(tmp_path: Path, change: dict[str, object]) -> None:
    folder = write(tmp_path / "one", drawn(1))
    before = adapter_digest(folder)
    rewrite_config(folder, **change)
    assert adapter_digest(folder) != before


def test_one_bit_one_name_and_one_type_change_the_digest(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", drawn(1))
    file = folder / "adapter_model.safetensors"
    found = {adapter_digest(folder)}
    tensors = load_file(file)
    name = next(iter(tensors))
    flipped = tensors[name].copy()
    flipped.view(np.uint32)[0, 0] ^= 1
    for changed in (
        tensors | {name: flipped},
        {f"{key}x" if key == name else key: value for key, value in tensors.items()},
        tensors | {name: tensors[name].astype(np.float64)},
        tensors | {name: tensors[name].reshape(-1)},
    ):
        save_file(changed, file)
        found.add(adapter_digest(folder))
    assert len(found) == 5


def base_model(folder: Path, sharded: bool) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4, "transformers_version": "5.0"}))
    name = "model-00001-of-00001.safetensors" if sharded else "model.safetensors"
    save_file({"w": np.ones((4, 4), np.float32)}, folder / name)
    if sharded:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    return folder


@pytest.mark.parametrize("sharded", [True, False])
def test_a_base_is_told_by_its_configuration_and_its_weight_files(tmp_path: Path, sharded: bool) -> None:
    folder = base_model(tmp_path / "base", sharded)
    first = base_digest(folder)
    (folder / "config.json").write_text(json.dumps({"transformers_version": "6.0", "hidden_size": 4}))
    assert base_digest(folder) == first
    save_file({"w": np.ones((4, 5), np.float32)}, next(folder.glob("model*.safetensors")))
    second = base_digest(folder)
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8}))
    assert len({first, second, base_digest(folder)}) == 3


def test_a_base_whose_files_are_missing_is_named(tmp_path: Path) -> None:
    folder = base_model(tmp_path / "base", sharded=True)
    next(folder.glob("model-*")).unlink()
    with pytest.raises(AdapterFilesError, match="model-00001-of-00001"):
        base_digest(folder)


def test_only_the_named_folders_are_read_and_links_out_of_them_are_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere" / "secret", drawn(1))
    shared = tmp_path / "shared"
    inside = write(shared / "good", drawn(2))
    (shared / "linked").symlink_to(secret)
    (shared / "inner").symlink_to(inside)
    half = write(shared / "half", drawn(3))
    (half / "adapter_model.safetensors").unlink()
    (half / "adapter_model.safetensors").symlink_to(secret / "adapter_model.safetensors")
    (shared / "loop").symlink_to(shared / "loop")
    assert within(shared / "good", [shared]) == within(shared / "inner", [shared]) == inside.resolve()
    for root in (shared / "linked", half, secret, shared / ".." / "elsewhere" / "secret"):
        with pytest.raises(AdapterFilesError, match=r"outside of adapters\.folders"):
            within(root, [shared])
    for root in (shared / "loop", shared / "none"):
        with pytest.raises(AdapterFilesError, match="cannot be read"):
            within(root, [shared])


def test_a_digest_is_made_once_and_again_when_the_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "one", drawn(1))
    made: list[Path] = []

    def counting(path: Path) -> str:
        made.append(path)
        return adapter_digest(path)

    monkeypatch.setattr(digest_module, "adapter_digest", counting)
    digests = Digests([tmp_path])
    first = digests.of(str(folder))
    assert digests.of(str(folder)) == first
    assert len(made) == 1
    write(folder, drawn(2))
    os.utime(folder / "adapter_model.safetensors", ns=(0, 0))
    assert digests.of(str(folder)).digest not in ("", first.digest)
    assert len(made) == 2


def test_unreadable_is_undigested_with_a_reason_and_never_guessed(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", drawn(1))
    assert "names no folder" in Digests([]).of(str(folder)).problem
    digests = Digests([tmp_path])
    for root in ("meta-llama/Llama-3.1-8B", "", str(tmp_path / "none")):
        found = digests.of(root)
        assert (found.digest, found.state) == ("", "undigested")
        assert found.problem
    (folder / "adapter_model.safetensors").write_bytes(b"\x00" * 20)
    assert "not a whole safetensors file" in digests.of(str(folder)).problem
    write(folder, drawn(1), modules_to_save=None)
    assert digests.of(str(folder)).state == "digested"
    assert MODULES
