import { readFileSync, statSync } from 'node:fs'

/** The 32 bytes of a seed, from a file that only its owner can read. Throws what is wrong with it. */
export function readSigningKey(path: string): Uint8Array {
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new Error(`${path} can be read by others; chmod 600 it`)
  }
  const text = readFileSync(path, 'utf8').trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64')
  // Not a word of what is in it: it may be a key after all.
  throw new Error(`${path} holds something else`)
}
