// The keys that tests call with.
import { entryOf, newSecret, PERMISSIONS, type Permission } from '../../src/keys.js'

const USUAL = PERMISSIONS.filter((permission) => permission !== 'fleet' && permission !== 'tiers:assert')

/** Secrets by the names of their keys. */
export const SECRETS = {
  /** Everything within its organization, but its claims of tiers do not count. */
  host: newSecret(),
  /** Its claims of tiers count. */
  asserter: newSecret(),
  /** As `host`, of another organization. */
  stranger: newSecret(),
  /** Sees every organization. */
  auditor: newSecret(),
  /** Reads records, and nothing else. */
  reader: newSecret(),
}

function entry(name: keyof typeof SECRETS, organization: string, ...permissions: Permission[]) {
  return entryOf(SECRETS[name], name, organization, permissions)
}

/** For the setting `API_KEYS`. */
export const API_KEYS = JSON.stringify([
  entry('host', 'default', ...USUAL),
  entry('asserter', 'default', ...USUAL, 'tiers:assert'),
  entry('stranger', 'acme', ...USUAL),
  entry('auditor', 'audit', 'provenance:read', 'stats:read', 'fleet'),
  entry('reader', 'default', 'provenance:read'),
])
