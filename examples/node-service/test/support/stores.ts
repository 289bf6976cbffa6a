// The stores that the suite runs on: a folder, and a schema of its own in PostgreSQL with Redis in front.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe } from 'node:test'

/** An empty store. */
export interface Store {
  /** The settings that lead to it. */
  readonly env: Readonly<Record<string, string>>
}

interface Place extends Store {
  remove(): void
}

const places = new Map<string, () => Place>([['embedded', embedded]])
const { TRUST_ENGINE_TEST_POSTGRES_URL: database, TRUST_ENGINE_TEST_REDIS_URL: redis } = process.env
if (database && redis) {
  places.set('PostgreSQL and Redis', () => postgres(database, redis))
} else if (process.env['TRUST_ENGINE_TEST_EMBEDDED_ONLY'] !== '1') {
  throw new Error(
    'TRUST_ENGINE_TEST_POSTGRES_URL and TRUST_ENGINE_TEST_REDIS_URL are not both set; TRUST_ENGINE_TEST_EMBEDDED_ONLY=1 leaves those stores out',
  )
}

/** The same tests on every store. Each gets one that is empty, and that is removed afterwards. */
export function onEveryStore(name: string, tests: (store: Store) => void): void {
  console.log(`${name}: on ${[...places.keys()].join('; on ')}`)
  for (const [kind, make] of places) {
    describe(`${name}, ${kind}`, () => {
      const place = make()
      tests(place)
      after(() => place.remove())
    })
  }
}

function embedded(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'trust-service-'))
  return {
    env: { STORE_DIR: join(folder, 'store') },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function postgres(database: string, redis: string): Place {
  const folder = mkdtempSync(join(tmpdir(), 'trust-service-'))
  const seed = join(folder, 'seed')
  writeFileSync(seed, randomBytes(32).toString('hex'), { mode: 0o600 })
  const name = `service_test_${randomBytes(6).toString('hex')}`
  return {
    env: {
      DATABASE_URL: database,
      PG_SCHEMA: name,
      REDIS_URL: redis,
      REDIS_PREFIX: name,
      DEPLOYMENT: `test.example.com/${name}`,
      SIGNING_KEY_FILE: seed,
    },
    remove: () => {
      execFileSync('psql', ['--no-psqlrc', '--quiet', database, '--command', `set client_min_messages = error; drop schema if exists ${name} cascade`])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
