"""Verifies an exported log with pymerkle (tree and proofs) and cryptography (Ed25519).

Usage: verify.py FIXTURE, a folder made by ../run. One line per check on the output. Exit code: 0 all hold, 1 something
was rejected, 2 the checks could not be made.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pymerkle import (
    InclusionProof,
    InmemoryTree,
    InvalidChallenge,
    InvalidProof,
    verify_consistency,
    verify_inclusion,
)


class Rejected(Exception):
    """A comparison with what pymerkle computed failed."""


REJECTIONS = {
    InvalidChallenge: "pymerkle: {}",
    InvalidProof: "pymerkle: {}",
    InvalidSignature: "cryptography: invalid signature",
    Rejected: "{}",
}
rejected = False


def check(label, attempt):
    """Prints what came of a check. Any other exception ends the program: that is no rejection."""
    global rejected
    try:
        result = attempt()
        print(f"python: {label}: ok")
        return result
    except tuple(REJECTIONS) as error:
        rejected = True
        print(f"python: {label}: rejected: {REJECTIONS[type(error)].format(error)}")
        return None


class VerifierKey:
    def __init__(self, text):
        self.name, key_id, key = text.strip().split("+", 2)
        key = base64.b64decode(key, validate=True)
        if key[0] != 1 or len(key) != 33:
            raise ValueError("not an Ed25519 verifier key")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + key).digest()[:4]
        if self.id.hex() != key_id:
            raise ValueError("the verifier key's id is not that of its name and key")
        self.key = Ed25519PublicKey.from_public_bytes(key[1:])


def open_checkpoint(signed, key):
    """Size and root of a signed checkpoint."""
    text, signatures = signed.decode().rsplit("\n\n", 1)
    text += "\n"
    known = False
    for line in signatures.splitlines():
        dash, name, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        if dash == "\u2014" and name == key.name and blob[:4] == key.id:
            key.key.verify(blob[4:], text.encode())
            known = True
    if not known:
        raise Rejected("the note is not signed by this key")
    origin, size, root = text.splitlines()
    if origin != key.name:
        raise Rejected("the origin is not the key's name")
    return int(size), base64.b64decode(root, validate=True)


def same_root(tree, checkpoint):
    size, root = checkpoint
    if tree.get_size() != size:
        raise Rejected(f"{tree.get_size()} entries, the checkpoint says {size}")
    if tree.get_root() != root:
        raise Rejected("pymerkle's root is not that of the checkpoint")


class Export:
    def __init__(self, folder, key):
        self.size = int(folder.name)
        self.entries = read_bundles(folder, self.size)
        self.tree = InmemoryTree.init_from_entries(self.entries)
        self.checkpoint = check(
            f"checkpoint of {self.size}", lambda: open_checkpoint((folder / "checkpoint").read_bytes(), key)
        )
        if self.checkpoint is None:
            return
        check(f"entries of {self.size}", lambda: same_root(self.tree, self.checkpoint))
        check(f"records.jsonl of {self.size}", lambda: self.check_lines(folder / "records.jsonl"))

    def check_lines(self, file):
        # Only a newline ends a line: entries may hold other characters that Python takes for line ends.
        lines = [json.loads(line) for line in file.read_bytes().split(b"\n") if line]
        tree = InmemoryTree.init_from_entries(line["entry"].encode() for line in lines)
        same_root(tree, self.checkpoint)
        for place, line in enumerate(lines):
            # pymerkle counts from one.
            if line["index"] != place or bytes.fromhex(line["leaf"]) != tree.get_leaf(place + 1):
                raise Rejected(f"line {place + 1} has another index or leaf hash")

    def entry(self, index):
        return self.entries[index] if index < len(self.entries) else b""

    def check_proof(self, index, proof, key):
        claimed, path, signed = parse_proof(proof)
        size, root = open_checkpoint(signed, key)
        leaf = self.tree.hash_buff(self.entry(index))
        # pymerkle's form of a proof says for each hash on which side it comes. That follows from index and size alone,
        # and pymerkle checks it against them; it is taken from a proof of its own.
        sides = self.tree.prove_inclusion(claimed + 1, size).rule
        proof = InclusionProof("sha256", True, size, claimed + 1, sides, [leaf, *path])
        verify_inclusion(leaf, root, proof, index=claimed + 1, size=size)


def check_consistency(old, new):
    proof = new.tree.prove_consistency(*(checkpoint[0] for checkpoint in (old.checkpoint, new.checkpoint)))
    verify_consistency(old.checkpoint[1], new.checkpoint[1], proof, old.checkpoint[0], new.checkpoint[0])


def parse_proof(text):
    head, signed = text.split(b"\n\n", 1)
    header, index, *hashes = head.decode().split("\n")
    if header != "c2sp.org/tlog-proof@v1" or not index.startswith("index "):
        raise ValueError(f"not a tlog-proof: {head}")
    return int(index.removeprefix("index ")), [base64.b64decode(line, validate=True) for line in hashes], signed


def read_bundles(folder, size):
    """All entries. The remaining bytes of a cut-off entry are kept: their hash shows the damage."""
    entries = []
    for tile in range((size + 255) // 256):
        digits = f"{tile:03}" if tile < 1000 else f"x{tile // 1000:03}/{tile % 1000:03}"
        width = min(256, size - tile * 256)
        partial = "" if width == 256 else f".p/{width}"
        bundle = (folder / f"tile/entries/{digits}{partial}").read_bytes()
        while len(bundle) >= 2:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    return entries


def main(fixture):
    key = VerifierKey((fixture / "verifier.key").read_text())
    folders = sorted((fixture / "exports").iterdir(), key=lambda folder: int(folder.name))
    proofs = sorted((fixture / "proofs").iterdir())
    if len(folders) < 2 or not proofs:
        raise ValueError(f"{fixture} has {len(folders)} exports and {len(proofs)} proofs")
    exports = [Export(folder, key) for folder in folders]
    for old, new in zip(exports, exports[1:]):
        if old.checkpoint and new.checkpoint:
            check(f"consistency of {old.size} with {new.size}", lambda: check_consistency(old, new))
    by_size = {export.size: export for export in exports}
    for file in proofs:
        # The name says which record is asked about; the index in the proof is only a claim.
        size, index = (int(part) for part in file.name.removesuffix(".tlog-proof").split("-"))
        check(f"inclusion of {index} in {size}", lambda: by_size[size].check_proof(index, file.read_bytes(), key))
    return 1 if rejected else 0


if __name__ == "__main__":
    try:
        code = main(Path(sys.argv[1]))
    except Exception as error:
        print(f"python: {type(error).__name__}: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)
