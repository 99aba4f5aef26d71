"""Offers of a version with a fault in each, for pushes that must be refused."""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from twinhead.client.admin_client import VersionOffer
from twinhead.model.version_parts import VersionParts

FAULTS = (
    "add a tensor",
    "cut a blob",
    "cut a file",
    "digest",
    "dtype",
    "flip a bit",
    "huge values",
    "inf",
    "labels",
    "lengthen a blob",
    "lose a file",
    "lose a tensor",
    "million tensors",
    "nan",
    "negative shape",
    "not json",
    "other base",
    "other blob",
    "path as a file",
    "path as a name",
    "probes",
    "random bytes",
    "shape",
    "ten gigabytes",
)


def corrupted(parts: VersionParts, kind: str, rng: random.Random) -> VersionOffer:
    """An offer of a version of topic and sentiment with one of `FAULTS`, which hits its heads."""
    files = dict(parts.files.files)
    read: Callable[[str], bytes] = lambda digest: bytes(parts.read(digest))  # noqa: E731
    offer = VersionOffer(files=files, read=read)
    manifest = json.loads(files["manifest.json"])
    name = rng.choice([name for name in manifest["tensors"] if name.startswith("heads.")])
    entry = manifest["tensors"][name]

    def with_manifest() -> VersionOffer:
        return replace(offer, files={**files, "manifest.json": json.dumps(manifest).encode()})

    def with_blob(data: bytes) -> VersionOffer:
        known = entry["sha256"]
        return replace(offer, read=lambda digest: data if digest == known else read(digest))

    blob = bytearray(read(entry["sha256"]))
    match kind:
        case "flip a bit":
            blob[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
            return with_blob(bytes(blob))
        case "cut a blob":
            return with_blob(bytes(blob[: rng.randrange(len(blob))]))
        case "lengthen a blob":
            return with_blob(bytes(blob) + rng.randbytes(rng.randrange(1, 100_000)))
        case "other blob":
            return with_blob(rng.randbytes(len(blob)))
        case "digest":
            other = entry["sha256"] = hashlib.sha256(rng.randbytes(8)).hexdigest()
            known = bytes(blob)
            return replace(
                with_manifest(), read=lambda digest: known if digest == other else read(digest)
            )
        case "shape":
            entry["shape"] = [rng.randrange(1, 1000), *entry["shape"][1:]]
        case "negative shape":
            entry["shape"] = [-rng.randrange(1, 1000)]
        case "dtype":
            entry["dtype"] = rng.choice(["float16", "int8", "complex128", "object", ""])
        case "nan" | "inf" | "huge values":
            values = np.frombuffer(bytes(blob), dtype="<f4").copy()
            worst = {"nan": np.nan, "inf": -np.inf, "huge values": 3e38}[kind]
            values[rng.randrange(len(values)) :] = worst
            entry["sha256"] = hashlib.sha256(values.tobytes()).hexdigest()
            return replace(with_blob(values.tobytes()), files=with_manifest().files)
        case "lose a tensor":
            del manifest["tensors"][name]
        case "add a tensor":
            manifest["tensors"][f"heads.extra{rng.random()}"] = entry
        case "ten gigabytes":
            entry["shape"] = [2_500_000_000]
        case "million tensors":
            manifest["tensors"] = {f"heads.t{n}": entry for n in range(1_000_000)}
        case "path as a name":
            manifest["tensors"]["../../../../tmp/x"] = manifest["tensors"].pop(name)
        case "path as a file":
            return replace(offer, files={**files, "../../evil.json": b"{}"})
        case "not json":
            return replace(offer, files={**files, "manifest.json": b"[" * 100_000})
        case "random bytes":
            target = rng.choice(sorted(files))
            return replace(offer, files={**files, target: rng.randbytes(1000)})
        case "cut a file":
            content = files["twinhead.json"]
            cut = content[: rng.randrange(len(content) - 2)]
            return replace(offer, files={**files, "twinhead.json": cut})
        case "lose a file":
            lost = rng.choice(["twinhead.json", "manifest.json"])
            return replace(
                offer, files={name: text for name, text in files.items() if name != lost}
            )
        case "labels":
            label = json.dumps(parts.files.config.tasks[0].labels[0]).encode()
            text = files["twinhead.json"].replace(label, b'"Moon"')
            return replace(offer, files={**files, "twinhead.json": text})
        case "probes":
            probes = json.loads(files["probes.json"])
            probes["logits"]["topic"][rng.randrange(16)][0] += (
                1.0 + np.abs(probes["logits"]["topic"]).max()
            )
            return replace(offer, files={**files, "probes.json": json.dumps(probes).encode()})
        case "other base":
            return replace(offer, expected_live_version=f"{rng.getrandbits(64):016x}")
        case _:
            raise ValueError(kind)
    return with_manifest()
