// The flags of a run.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

import { STORES } from './stores.mjs'

export const PUBLISHED = JSON.parse(readFileSync(new URL('../tests/load/published.json', import.meta.url), 'utf8'))

const USAGE = `usage: node bench/run.mjs [flags]
  --only a,b         endpoints: ${Object.keys(PUBLISHED.endpoints).join(', ')}; all, unless --scenarios is given
  --scenarios a,b    load scenarios: ${Object.keys(PUBLISHED.scenarios).join(', ')}
  --store a,b        ${STORES.map(({ name }) => name).join(', ')}; both
  --duration 30s     of each endpoint; 15s
  --scale 0.1        of the published durations of load scenarios; 1
  --rounds 3         times that each endpoint is measured, for medians; 1
  --processes 2      services on one store, without embedded; 1
  --profile          where JavaScript spends its time, instead of a comparison
  --threads          what each thread of the service spends per request, and in which library; needs perf
environment: BENCH_DATABASE_URL, BENCH_REDIS_URL, SEED_RECORDS (100000), WARMUP (5s), PG_CONNECTIONS`

/** Throws a text for people if a flag makes no sense; `undefined` if only help was asked for. */
export function readOptions(args, env) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      scenarios: { type: 'string' },
      store: { type: 'string' },
      duration: { type: 'string', default: env.DURATION ?? '15s' },
      scale: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '1' },
      processes: { type: 'string', default: '1' },
      profile: { type: 'boolean', default: false },
      threads: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return undefined
  }
  const processes = Math.ceil(positive('processes', values.processes))
  const everything = values.scenarios === undefined ? Object.keys(PUBLISHED.endpoints) : []
  const stores = chosen('store', values.store, STORES.map(({ name }) => name)) ?? STORES.map(({ name }) => name)
  return {
    endpoints: chosen('only', values.only, Object.keys(PUBLISHED.endpoints)) ?? everything,
    scenarios: chosen('scenarios', values.scenarios, Object.keys(PUBLISHED.scenarios)) ?? [],
    // Only one process can open an embedded store.
    stores: STORES.filter(({ name }) => stores.includes(name) && (processes === 1 || name !== 'embedded')),
    processes,
    seconds: secondsOf('duration', values.duration),
    warmup: secondsOf('WARMUP', env.WARMUP ?? '5s'),
    scale: positive('scale', values.scale),
    rounds: Math.ceil(positive('rounds', values.rounds)),
    profile: values.profile,
    threads: values.threads,
    records: Math.floor(positive('SEED_RECORDS', env.SEED_RECORDS ?? '100000')),
  }
}

function chosen(flag, text, allowed) {
  if (text === undefined) return undefined
  const names = text.split(',')
  const wrong = names.find((name) => !allowed.includes(name))
  if (wrong !== undefined) throw new Error(`--${flag}: ${wrong} is none of ${allowed.join(', ')}`)
  return names
}

function secondsOf(name, text) {
  const [, number, unit] = /^([\d.]+)(s|m)$/.exec(text) ?? []
  if (unit === undefined) throw new Error(`${name}: ${text} is no duration such as 30s or 5m`)
  return positive(name, number) * (unit === 'm' ? 60 : 1)
}

function positive(name, text) {
  const number = Number(text)
  if (!(number > 0 && number < Infinity)) throw new Error(`${name}: ${text} is no number above 0`)
  return number
}
