// The configuration: environment variables and the files that they name, checked before anything is opened.
import { isIP } from 'node:net'

import { type Key, parseKeys } from './keys.js'
import { Settings } from './settings.js'
import { readSigningKey } from './signing-key.js'

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

export type Storage =
  | { readonly kind: 'embedded'; readonly folder: string }
  | {
      readonly kind: 'postgres'
      readonly url: string
      readonly schema: string | undefined
      readonly connections: number | undefined
      readonly redis: { readonly url: string; readonly prefix: string | undefined } | undefined
    }

export interface Config {
  readonly host: string
  readonly port: number
  readonly storage: Storage
  readonly deployment: string | undefined
  readonly signingKey: Uint8Array | undefined
  /** Text of the policy document. */
  readonly policy: string | undefined
  readonly keys: readonly Key[]
  readonly statsTtlSeconds: number
  /** Most requests under way at a time. */
  readonly maxInFlight: number
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly shutdownTimeoutSeconds: number
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly trustProxy: readonly string[]
}

/** Reads the configuration; throws a `ConfigError` with every mistake. Without `dev` it takes at least one key. */
export function readConfig(env: NodeJS.ProcessEnv, dev: boolean): Config {
  const settings = new Settings(env)
  const config: Config = {
    host: settings.text('HOST') ?? '127.0.0.1',
    port: settings.integer('PORT', 0, 65535) ?? 3000,
    storage: readStorage(settings),
    deployment: settings.matching('DEPLOYMENT', /^[\x21-\x2a\x2c-\x7e]{1,200}$/, '1 to 200 visible ASCII characters without "+"'),
    signingKey: readKey(settings),
    policy: settings.file('POLICY_FILE'),
    keys: readKeys(settings, dev),
    statsTtlSeconds: settings.integer('STATS_TTL_SECONDS', 0, 3600) ?? 30,
    maxInFlight: settings.integer('MAX_REQUESTS_IN_FLIGHT', 1, 100_000) ?? 2000,
    logLevel: settings.word('LOG_LEVEL', LOG_LEVELS) ?? 'info',
    shutdownTimeoutSeconds: settings.integer('SHUTDOWN_TIMEOUT_SECONDS', 1, 600) ?? 10,
    trustProxy: readProxies(settings),
  }
  if (dev) checkDev(config, settings)
  settings.check()
  return config
}

/** A key that may do everything is for trying things out: not where others can reach it, and not on data that is shared. */
function checkDev({ host, storage }: Config, settings: Settings): void {
  if (!LOOPBACK.test(host)) settings.mistake('HOST must be a loopback address with --dev; make keys to listen elsewhere')
  if (storage.kind === 'postgres') settings.mistake('DATABASE_URL cannot be used with --dev; make keys, or leave one of them out')
}

function readStorage(settings: Settings): Storage {
  const url = settings.matching(
    'DATABASE_URL',
    /^postgres(ql)?:\/\/.|^\w+\s*=/,
    'postgres://user:password@host:port/database, or key=value pairs',
  )
  if (settings.text('DATABASE_URL') === undefined) {
    for (const name of ['REDIS_URL', 'REDIS_PREFIX', 'PG_CONNECTIONS', 'PG_SCHEMA']) {
      if (settings.text(name) !== undefined) settings.mistake(`${name} is only for PostgreSQL; set DATABASE_URL, or not ${name}`)
    }
    return { kind: 'embedded', folder: settings.text('STORE_DIR') ?? './data/trust' }
  }

  if (settings.text('STORE_DIR') !== undefined) settings.mistake('STORE_DIR and DATABASE_URL are both set; set one of them')
  for (const name of ['DEPLOYMENT', 'SIGNING_KEY_FILE']) {
    if (settings.text(name) === undefined) settings.mistake(`${name} must be set with DATABASE_URL, the same for every instance`)
  }
  const redis = settings.matching('REDIS_URL', /^rediss?:\/\/./, 'redis://user:password@host:port/database, or rediss://… for TLS')
  const prefix = settings.matching('REDIS_PREFIX', /^[\x21-\x7e]+$/, 'visible ASCII characters')
  return {
    kind: 'postgres',
    url: url ?? '',
    schema: settings.matching('PG_SCHEMA', /^[a-z_][a-z0-9_]*$/, 'lower-case letters, digits and "_", not beginning with a digit'),
    connections: settings.integer('PG_CONNECTIONS', 4, 1000),
    redis: redis === undefined ? undefined : { url: redis, prefix },
  }
}

function readKey(settings: Settings): Uint8Array | undefined {
  const path = settings.text('SIGNING_KEY_FILE')
  if (path === undefined) return undefined
  try {
    return readSigningKey(path)
  } catch (error) {
    settings.mistake(`SIGNING_KEY_FILE must name a file with 32 bytes in hexadecimal or Base64: ${(error as Error).message}`)
    return undefined
  }
}

function readKeys(settings: Settings, dev: boolean): Key[] {
  const [inline, file] = [settings.text('API_KEYS'), settings.text('API_KEYS_FILE')]
  if (inline !== undefined && file !== undefined) settings.mistake('API_KEYS and API_KEYS_FILE are both set; set one of them')
  if (inline === undefined && file === undefined && !dev) {
    settings.mistake('API_KEYS_FILE must name a file of API keys (npm run new-key makes them), or start with --dev to try things out')
  }
  const [name, json] = file === undefined ? ['API_KEYS', inline] : ['API_KEYS_FILE', settings.file('API_KEYS_FILE')]
  if (json === undefined) return []
  const mistakes: string[] = []
  const keys = parseKeys(json, mistakes)
  for (const mistake of mistakes) settings.mistake(`${name} ${mistake}`)
  return keys
}

/** `off`, or addresses and networks: believing everyone would let any caller write any address into the log. */
function readProxies(settings: Settings): string[] {
  const text = settings.text('TRUST_PROXY') ?? 'off'
  if (text === 'off') return []
  const proxies = text.split(',').map((proxy) => proxy.trim())
  if (!proxies.every(isNetwork)) {
    settings.mistake('TRUST_PROXY must be off, or addresses and networks such as 10.0.0.0/8, separated by commas')
  }
  return proxies
}

function isNetwork(text: string): boolean {
  const [address = '', bits = '1', ...more] = text.split('/')
  const version = isIP(address)
  // A network of no bits is everyone.
  return version !== 0 && more.length === 0 && /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
}
