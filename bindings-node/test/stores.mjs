// The stores that the tests run on. One that is not there is a failure, not a skip.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const postgres = process.env.TRUST_ENGINE_TEST_POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'
const redis = process.env.TRUST_ENGINE_TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
let next = 0

function embedded() {
  const folder = mkdtempSync(join(tmpdir(), 'trust-engine-node-'))
  return { options: { storage: { embedded: folder } }, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

function deployed() {
  const schema = `te_node_${process.pid}_${next++}`
  return {
    options: {
      storage: { postgres: { url: postgres, schema, connections: 4 }, redis: { url: redis, prefix: schema } },
      signingKey: new Uint8Array(32).fill(7),
      deployment: 'test.example.com/node',
    },
    remove: () => execFileSync('psql', ['-qXc', `drop schema if exists ${schema} cascade`, postgres], { stdio: 'ignore' }),
  }
}

/** A fresh store of each kind, with its name. */
export const STORES = { embedded, 'postgres and redis': deployed }

for (const name of Object.keys(STORES)) process.stderr.write(`trust-engine for Node: tests run on ${name}\n`)
