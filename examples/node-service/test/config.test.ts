import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

import { readConfig } from '../src/config.js'
import { entryOf, newSecret } from '../src/keys.js'
import { ConfigError } from '../src/settings.js'

const folder = mkdtempSync(join(tmpdir(), 'trust-service-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode })
  return path
}

const entry = entryOf(newSecret(), 'ci', 'default', ['gates:evaluate'])
const API_KEYS = JSON.stringify([entry])
const SEED = '0f'.repeat(32)

function mistakes(env: Record<string, string>, dev = false): readonly string[] {
  try {
    readConfig(env, dev)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.mistakes
  }
  return []
}

test('with nothing but keys, everything has a default', () => {
  const config = readConfig({ API_KEYS }, false)
  assert.deepEqual([config.host, config.port, config.storage], ['127.0.0.1', 3000, { kind: 'embedded', folder: './data/trust' }])
  assert.deepEqual([config.statsTtlSeconds, config.maxInFlight, config.logLevel], [30, 2000, 'info'])
  assert.deepEqual([config.shutdownTimeoutSeconds, config.trustProxy], [10, []])
  assert.deepEqual([...(config.keys[0]?.permissions ?? [])], ['gates:evaluate'])
})

test('without keys it takes --dev', () => {
  assert.match(mistakes({}).join(), /API_KEYS_FILE.*--dev/)
  assert.deepEqual(mistakes({}, true), [])
  assert.match(mistakes({ API_KEYS: '[]' }, true).join(), /has no key/)
})

test('--dev is for this machine and a folder', () => {
  for (const HOST of ['127.0.0.1', '127.0.0.2', '::1', 'localhost']) assert.deepEqual(mistakes({ HOST }, true), [], HOST)
  for (const HOST of ['0.0.0.0', '::', '10.0.0.1', 'example.com', '127.0.0.1.example.com', 'localhost.example.com']) {
    assert.match(mistakes({ HOST }, true).join(), /^HOST must be a loopback address with --dev/, HOST)
    assert.deepEqual(mistakes({ HOST, API_KEYS }), [], HOST)
  }
  assert.match(mistakes({ HOST: '0.0.0.0', API_KEYS }, true).join(), /^HOST /)
  const database = { DATABASE_URL: 'postgres://db/trust', DEPLOYMENT: 'd', SIGNING_KEY_FILE: file('dev-seed', SEED) }
  assert.match(mistakes(database, true).join(), /^DATABASE_URL cannot be used with --dev/)
})

test('every mistake is told at once, with the name of the variable', () => {
  const told = mistakes({
    API_KEYS,
    PORT: '70000',
    STATS_TTL_SECONDS: '-1',
    LOG_LEVEL: 'loud',
    SHUTDOWN_TIMEOUT_SECONDS: '0',
    MAX_REQUESTS_IN_FLIGHT: '0',
    TRUST_PROXY: 'on',
    POLICY_FILE: join(folder, 'nowhere'),
    REDIS_URL: 'redis://127.0.0.1',
    PG_CONNECTIONS: '8',
  })
  const names = ['PORT', 'STATS_TTL_SECONDS', 'LOG_LEVEL', 'SHUTDOWN_TIMEOUT_SECONDS', 'MAX_REQUESTS_IN_FLIGHT', 'TRUST_PROXY', 'POLICY_FILE', 'REDIS_URL', 'PG_CONNECTIONS']
  assert.deepEqual(new Set(told.map((line) => line.split(' ')[0])), new Set(names))
  assert.match(told.join('\n'), /LOG_LEVEL must be one of fatal, error/)
})

test('PostgreSQL needs a deployment and a signing key', () => {
  const env = { API_KEYS, DATABASE_URL: 'postgres://db/trust' }
  assert.deepEqual(mistakes(env).map((line) => line.split(' ')[0]), ['DEPLOYMENT', 'SIGNING_KEY_FILE'])
  const config = readConfig({ ...env, DEPLOYMENT: 'trust.example.com', SIGNING_KEY_FILE: file('seed', `${SEED}\n`), PG_CONNECTIONS: '25' }, false)
  assert.deepEqual(config.storage, { kind: 'postgres', url: 'postgres://db/trust', schema: undefined, connections: 25, redis: undefined })
  assert.equal(Buffer.from(config.signingKey ?? []).toString('hex'), SEED)
  assert.match(mistakes({ ...env, STORE_DIR: 'x', DEPLOYMENT: 'a b', SIGNING_KEY_FILE: file('seed', SEED) }).join('\n'), /STORE_DIR[^]*DEPLOYMENT/)
  assert.match(mistakes({ ...env, DATABASE_URL: 'mysql://db' }).join(), /DATABASE_URL must be postgres/)
})

test('a signing key is hexadecimal or Base64, and for its owner only', () => {
  const read = (path: string) => readConfig({ API_KEYS, SIGNING_KEY_FILE: path }, false).signingKey
  const base64 = Buffer.from(SEED, 'hex').toString('base64')
  assert.deepEqual(read(file('base64', base64)), Buffer.from(SEED, 'hex'))
  for (const path of [file('open', SEED, 0o640), file('short', 'abcd'), join(folder, 'nowhere')]) {
    const [told = ''] = mistakes({ API_KEYS, SIGNING_KEY_FILE: path })
    assert.match(told, /^SIGNING_KEY_FILE /)
    assert.doesNotMatch(told, /abcd/)
  }
})

test('keys come from a file or the environment, and not from both', () => {
  const path = file('keys.json', API_KEYS)
  assert.equal(readConfig({ API_KEYS_FILE: path }, false).keys[0]?.name, 'ci')
  assert.match(mistakes({ API_KEYS_FILE: path, API_KEYS }).join(), /both set/)
})

test('what is wrong with keys is told by entry and field', () => {
  const other = entryOf(newSecret(), 'ci', 'default', ['fleet'])
  for (const [keys, told] of [
    ['nonsense', /API_KEYS is no JSON array/],
    [JSON.stringify([{}]), /entry 1: name[^]*entry 1: hash[^]*entry 1: organization[^]*entry 1: permissions/],
    [JSON.stringify([{ ...entry, permissions: ['everything'] }]), /entry 1: permissions must be a list of gates:evaluate/],
    [JSON.stringify([{ ...entry, organization: '*' }]), /entry 1: organization/],
    [JSON.stringify([{ ...entry, key: 'te_live_…' }]), /entry 1: key is unknown/],
    [JSON.stringify([entry, other]), /two keys with the name ci/],
    [JSON.stringify([entry, { ...entry, name: 'cd' }]), /two keys with the hash/],
  ] as const) {
    assert.match(mistakes({ API_KEYS: keys }).join('\n'), told)
  }
})

test('proxies are named by address', () => {
  const proxies = (text: string) => readConfig({ API_KEYS, TRUST_PROXY: text }, false).trustProxy
  assert.deepEqual(proxies('off'), [])
  assert.deepEqual(proxies('10.0.0.0/8, 127.0.0.1,fd00::/8'), ['10.0.0.0/8', '127.0.0.1', 'fd00::/8'])
  for (const text of ['10.0.0.0/33', '0.0.0.0/0', '::/0', '10.0.0.0/', '10.0.0.0/08', '10.0.0/8', 'fd00::/129', 'proxy.example.com', '1.2.3.4/8/8', ',', '127.0.0.1,', 'off,127.0.0.1', 'true', '1', 'loopback', '*']) {
    assert.equal(mistakes({ API_KEYS, TRUST_PROXY: text }).length, 1, text)
  }
})
