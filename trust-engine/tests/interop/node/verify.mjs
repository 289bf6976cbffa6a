// Verifies an exported log with @sigstore/verify, the code that checks npm's provenance attestations.
//
// The package's public Verifier takes whole Sigstore bundles: it would want a signing certificate, and an entry of one
// of Rekor's kinds. A record of this log is neither, so the package's own internal modules for a log's part of the work
// are called: dist/tlog (inclusion in a signed checkpoint) and dist/tlog/checkpoint (the checkpoint alone). Trusted
// key and entry are made by its public API and Sigstore's published message types.
//
// Usage: verify.mjs FIXTURE, a folder made by ../run. One line per check on the output. Exit code: 0 all hold, 1
// something was rejected, 2 the checks could not be made.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { TransparencyLogEntry, TrustedRoot } = require('@sigstore/protobuf-specs');
const { VerificationError, toTrustMaterial } = require('@sigstore/verify');
const { verifyTLogInclusion } = require('@sigstore/verify/dist/tlog/index.js');
const { verifyCheckpoint } = require('@sigstore/verify/dist/tlog/checkpoint.js');

let rejected = false;

// Only the package's own error is a rejection; any other ends the program.
function check(label, attempt) {
  try {
    attempt();
    console.log(`node: ${label}: ok`);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    rejected = true;
    console.log(`node: ${label}: rejected: ${error.code}: ${error.message}`);
  }
}

// Sigstore's log id: its first four bytes are the key id of signed notes.
function trust(verifierKey) {
  const [, name, encoded] = verifierKey.trim().match(/^([^+]+)\+[0-9a-f]{8}\+(.+)$/);
  const key = Buffer.from(encoded, 'base64');
  if (key[0] !== 1 || key.length !== 33) throw new Error('not an Ed25519 verifier key');
  const logId = createHash('sha256').update(`${name}\n`).update(key).digest('base64');
  // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) is this in front of the key.
  const rawBytes = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.subarray(1)]).toString('base64');
  const root = TrustedRoot.fromJSON({
    tlogs: [
      {
        baseUrl: `https://${name}`,
        hashAlgorithm: 'SHA2_256',
        publicKey: { rawBytes, keyDetails: 'PKIX_ED25519' },
        logId: { keyId: logId },
      },
    ],
  });
  return { logId, tlogs: toTrustMaterial(root).tlogs };
}

function entryOf({ logId }, body, { index, hashes, checkpoint }) {
  return TransparencyLogEntry.fromJSON({
    logIndex: String(index),
    logId: { keyId: logId },
    // The bytes that are hashed as the leaf.
    canonicalizedBody: body.toString('base64'),
    inclusionProof: { logIndex: String(index), hashes, checkpoint: { envelope: checkpoint } },
  });
}

function parseProof(text) {
  const split = text.indexOf('\n\n');
  const [header, index, ...hashes] = text.slice(0, split).split('\n');
  if (split < 0 || header !== 'c2sp.org/tlog-proof@v1' || !/^index \d+$/.test(index)) {
    throw new Error(`not a tlog-proof: ${text}`);
  }
  return { index: BigInt(index.slice(6)), hashes, checkpoint: text.slice(split + 2) };
}

// All entries. The remaining bytes of a cut-off entry are kept: their hash shows the damage.
function readBundles(folder, size) {
  const entries = [];
  for (let tile = 0; tile * 256 < size; tile += 1) {
    const last = String(tile % 1000).padStart(3, '0');
    const path = tile < 1000 ? last : `x${String(Math.floor(tile / 1000)).padStart(3, '0')}/${last}`;
    const width = Math.min(256, size - tile * 256);
    let bundle = readFileSync(join(folder, 'tile/entries', width === 256 ? path : `${path}.p/${width}`));
    while (bundle.length >= 2) {
      const length = bundle.readUInt16BE();
      entries.push(bundle.subarray(2, 2 + length));
      bundle = bundle.subarray(2 + length);
    }
  }
  return entries;
}

function main(fixture) {
  const log = trust(readFileSync(join(fixture, 'verifier.key'), 'utf8'));
  const sizes = readdirSync(join(fixture, 'exports')).map(Number);
  const proofs = readdirSync(join(fixture, 'proofs'));
  if (sizes.length < 2 || proofs.length === 0) {
    throw new Error(`${fixture} has ${sizes.length} exports and ${proofs.length} proofs`);
  }
  const entries = new Map();
  for (const size of sizes.sort((a, b) => a - b)) {
    const folder = join(fixture, 'exports', String(size));
    entries.set(size, readBundles(folder, size));
    const checkpoint = readFileSync(join(folder, 'checkpoint'), 'utf8');
    const entry = entryOf(log, Buffer.alloc(0), { index: 0n, hashes: [], checkpoint });
    check(`checkpoint of ${size}`, () => verifyCheckpoint(entry, log.tlogs));
  }
  for (const name of proofs) {
    // The name says which record is asked about; the index in the proof is only a claim.
    const [, size, index] = name.match(/^(\d+)-(\d+)\.tlog-proof$/).map(Number);
    const body = entries.get(size)[index] ?? Buffer.alloc(0);
    const entry = entryOf(log, body, parseProof(readFileSync(join(fixture, 'proofs', name), 'utf8')));
    check(`inclusion of ${index} in ${size}`, () => verifyTLogInclusion(entry, log.tlogs));
  }
}

try {
  main(process.argv[2]);
  process.exitCode = rejected ? 1 : 0;
} catch (error) {
  console.error(`node: ${error.stack}`);
  process.exitCode = 2;
}
