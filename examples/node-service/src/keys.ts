// API keys: random, shown once, kept only as SHA-256 digests. A plain digest is enough because a key has 256 bits of
// randomness: there is nothing to guess that a slow hash would have to protect.
import { hash, randomBytes } from 'node:crypto'

import { callTable, type Permission as CallPermission } from 'trust-engine'

/** The permissions of the calls that have a route: the others are the host's own. */
export const CALL_PERMISSIONS: readonly CallPermission[] = [
  ...new Set(callTable.filter((row) => row.route !== null).map((row) => row.permission)),
]

/** Beside them: a key that may assert tiers, and one that sees every organization. */
export const PERMISSIONS: readonly string[] = [...CALL_PERMISSIONS, 'tiers:assert', 'fleet']

export type Permission = string

/** A key of the configuration, parsed. */
export interface Key {
  /** Unique in the whole configuration: tier authorities are known to the engine by it, whatever their organization. */
  readonly name: string
  readonly organization: string
  readonly permissions: ReadonlySet<Permission>
  /** SHA-256 of the key, in hexadecimal. */
  readonly digest: string
}

/** As it stands in the configuration. */
export interface KeyEntry {
  name: string
  hash: string
  organization: string
  permissions: string[]
}

const SECRET = /^te_live_[A-Za-z0-9_-]{43}$/
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const HASH = /^sha256:[0-9a-f]{64}$/
// '*' is no name of an organization.
const ORGANIZATION = /^(?!\*$)[^\p{Cc}\s](?:[^\p{Cc}]*[^\p{Cc}\s])?$/u

/** A new key. */
export function newSecret(): string {
  return `te_live_${randomBytes(32).toString('base64url')}`
}

function digestOf(secret: string): string {
  return hash('sha256', secret)
}

export function entryOf(secret: string, name: string, organization: string, permissions: string[]): KeyEntry {
  return { name, hash: `sha256:${digestOf(secret)}`, organization, permissions }
}

/** Reads entries of the configuration; adds every mistake to `mistakes`. */
export function parseKeys(json: string, mistakes: string[]): Key[] {
  let entries: unknown
  try {
    entries = JSON.parse(json)
  } catch {
    entries = undefined
  }
  if (!Array.isArray(entries)) {
    mistakes.push('is no JSON array of {"name", "hash", "organization", "permissions"}')
    return []
  }
  if (entries.length === 0) mistakes.push('has no key')
  const keys = entries.map((entry: unknown, index) => parseKey(entry, `entry ${index + 1}`, mistakes))
  const valid = keys.filter((key) => key !== undefined)
  const twice = (values: string[]) => values.filter((value, index) => values.indexOf(value) !== index)
  for (const name of twice(valid.map((key) => key.name))) mistakes.push(`has two keys with the name ${name}`)
  for (const digest of twice(valid.map((key) => key.digest))) {
    mistakes.push(`has two keys with the hash sha256:${digest}`)
  }
  return valid
}

function parseKey(entry: unknown, where: string, mistakes: string[]): Key | undefined {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    mistakes.push(`${where} is no object`)
    return undefined
  }
  const { name, hash, organization, permissions, ...unknown } = entry as Record<string, unknown>
  const before = mistakes.length
  const wrong = (field: string, allowed: string) => mistakes.push(`${where}: ${field} must be ${allowed}`)

  if (typeof name !== 'string' || !NAME.test(name)) wrong('name', '1 to 64 letters, digits, ".", "_" and "-"')
  if (typeof hash !== 'string' || !HASH.test(hash)) wrong('hash', '"sha256:" and 64 lower-case hexadecimal digits')
  if (typeof organization !== 'string' || !ORGANIZATION.test(organization) || Buffer.byteLength(organization) > 256) {
    wrong('organization', 'one line of 1 to 256 bytes, and not "*"')
  }
  if (!Array.isArray(permissions) || permissions.length === 0 || !permissions.every(isPermission)) {
    wrong('permissions', `a list of ${PERMISSIONS.join(', ')}`)
  }
  for (const field of Object.keys(unknown)) mistakes.push(`${where}: ${field} is unknown`)

  if (mistakes.length > before) return undefined
  return {
    name: String(name),
    organization: String(organization),
    permissions: new Set(permissions as Permission[]),
    digest: String(hash).slice('sha256:'.length),
  }
}

function isPermission(value: unknown): value is Permission {
  return typeof value === 'string' && PERMISSIONS.includes(value)
}

/** Finds keys by what callers send. */
export class KeyRing {
  // Under digests that are blinded with a random secret: the values that a look-up compares, and the time that it
  // takes, have nothing to do with how much of a wrong key is right.
  readonly #blind = randomBytes(32).toString('hex')
  readonly #keys: ReadonlyMap<string, Key>

  constructor(keys: readonly Key[]) {
    this.#keys = new Map(keys.map((key) => [this.#blinded(key.digest), key]))
  }

  find(secret: string): Key | undefined {
    return SECRET.test(secret) ? this.#keys.get(this.#blinded(digestOf(secret))) : undefined
  }

  #blinded(digest: string): string {
    return hash('sha256', this.#blind + digest)
  }
}
