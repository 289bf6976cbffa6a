// The service, built, as a child with a configuration of its own.
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { freePort, ready, start } from './children.mjs'
import { defer } from './cleanup.mjs'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const HELLO = fileURLToPath(new URL('hello.mjs', import.meta.url))

// Those of a client of one organization. Not `fleet`: an auditor's search through all organizations is another question.
const PERMISSIONS = [
  'gates:evaluate', 'ceilings:check', 'provenance:read', 'provenance:write', 'stats:read', 'agents:read', 'agents:write',
  'tiers:assert',
]

/** Makes the keys in `folder`: a caller's, and what the log is signed with. */
export function makeKeys(folder) {
  const apiKey = `te_live_${randomBytes(32).toString('base64url')}`
  const hash = `sha256:${createHash('sha256').update(apiKey).digest('hex')}`
  const entry = { name: 'bench', hash, organization: 'default', permissions: PERMISSIONS }
  const files = { API_KEYS_FILE: `${folder}/api-keys.json`, SIGNING_KEY_FILE: `${folder}/signing-key` }
  writeFileSync(files.API_KEYS_FILE, JSON.stringify([entry]), { mode: 0o600 })
  writeFileSync(files.SIGNING_KEY_FILE, randomBytes(32).toString('hex'), { mode: 0o600 })
  return { apiKey, files }
}

/**
 * Starts the service and waits until it is ready. `policy`: file of the one to bring into force; `profiles`: folder for a CPU
 * profile, written when it stops.
 */
export function startService({ store, folder, keys, policy, profiles }) {
  const flags = profiles ? ['--cpu-prof', `--cpu-prof-dir=${profiles}`] : []
  const env = {
    ...store.env(folder),
    ...keys.files,
    ...(policy && { POLICY_FILE: policy }),
    DEPLOYMENT: 'bench.example.com/fleet',
    LOG_LEVEL: 'warn',
  }
  return serve([...flags, MAIN], env, `${folder}/service.log`)
}

/** Starts several on one store; the load is divided among them. */
export async function startServices({ processes, ...run }) {
  const services = []
  for (let number = 0; number < processes; number += 1) services.push(await startService(run))
  return {
    url: services.map(({ url }) => url).join(),
    pids: services.map(({ pid }) => pid),
    stop: () => Promise.all(services.map(({ stop }) => stop())),
  }
}

/** Starts the server that does nothing, to compare with. */
export function startHello({ folder }) {
  return serve([HELLO], {}, `${folder}/hello.log`)
}

async function serve(args, env, log) {
  const port = await freePort()
  // Nothing of the caller's environment, where a DATABASE_URL may point at something that matters.
  const base = { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', PORT: String(port) }
  const child = start(process.execPath, args, { env: { ...base, ...env }, log })
  defer(child.stop)
  const url = `http://127.0.0.1:${port}`
  await ready(child, `${url}/health/ready`)
  return { ...child, pids: [child.pid], url }
}
