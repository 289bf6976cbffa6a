// The results of a run, as Markdown for people and as JSON for programs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { endpointBars, memoryBars, scenarioBars } from './bars.mjs'
import { PUBLISHED } from './options.mjs'
import { table } from './table.mjs'

const FOLDER = fileURLToPath(new URL('results/', import.meta.url))

const count = (value) => value?.toLocaleString('en', { maximumFractionDigits: 0 })
const fixed = (digits) => (value) => value?.toFixed(digits)
const [tenths, hundredths] = [fixed(1), fixed(2)]
const percent = (share) => share !== undefined ? `${(100 * share).toFixed(2)} %` : undefined
const range = ([least, most]) => (least === most ? undefined : `${hundredths(least)}–${hundredths(most)}`)

const LATENCY = [
  ['p50 ms', ({ latencyMs }) => tenths(latencyMs.p50)],
  ['p95 ms', ({ latencyMs }) => tenths(latencyMs.p95)],
  ['p99 ms', ({ latencyMs }) => tenths(latencyMs.p99)],
]

const SPEED = [
  ['endpoint', ({ scenario }) => PUBLISHED.endpoints[scenario].endpoint],
  ['VUs', ({ users }) => count(users)],
  ['req/s', ({ requestsPerSecond }) => count(requestsPerSecond)],
  ['hello req/s', ({ helloPerSecond }) => count(helloPerSecond)],
  ['× hello', ({ timesHello }) => hundredths(timesHello)],
  ['min–max', ({ timesHelloRange }) => range(timesHelloRange)],
  ['× published', ({ timesPublished }) => tenths(timesPublished)],
  ...LATENCY,
  ['p95 / published', ({ p95OfPublished }) => hundredths(p95OfPublished)],
  ['errors', ({ errorRate }) => percent(errorRate)],
  ['of the answers', ({ goodShare }) => goodShare && `${percent(goodShare.share)} ${goodShare.means}`],
]

const COST = [
  ['per request', ({ scenario }) => PUBLISHED.endpoints[scenario].endpoint],
  ['service µs', ({ cpuMicrosPerRequest }) => tenths(cpuMicrosPerRequest.service)],
  ['k6 µs', ({ cpuMicrosPerRequest }) => tenths(cpuMicrosPerRequest.k6)],
  ['PostgreSQL µs', ({ cpuMicrosPerRequest }) => tenths(cpuMicrosPerRequest.postgres)],
  ['Redis µs', ({ cpuMicrosPerRequest }) => tenths(cpuMicrosPerRequest.redis)],
  ['transactions / 1,000', ({ perThousandRequests }) => tenths(perThousandRequests.transactions)],
  ['Redis commands / 1,000', ({ perThousandRequests }) => tenths(perThousandRequests.redisCommands)],
  ['service MiB', ({ memoryMiB }) => count(memoryMiB)],
]

const LOAD = [
  ['scenario', ({ scenario }) => scenario],
  ['most VUs', ({ users }) => count(users)],
  ['seconds', ({ seconds }) => count(seconds)],
  ['req/s', ({ requestsPerSecond }) => count(requestsPerSecond)],
  ...LATENCY,
  ['max ms', ({ latencyMs }) => tenths(latencyMs.max)],
  ['errors', ({ errorRate }) => percent(errorRate)],
  ['503, Retry-After', ({ turnedAway }) => count(turnedAway)],
  ['back to normal', ({ spike }) => spike && (spike.recoverySeconds === null ? `> ${spike.watchedSeconds} s` : `≤ ${spike.recoverySeconds} s`)],
]

const BARS = [
  ['of', ({ of }) => of],
  ['bar', ({ bar }) => bar],
  ['measured', ({ measured }) => measured],
  ['', ({ met }) => (met ? 'met' : 'MISSED')],
]

/** Everything about one store. */
export function storeReport({ name, failed, seeded, memory, endpoints, scenarios }) {
  if (failed) return `## ${name}\n\nNot measured: ${failed}`
  const measured = (rows) => rows.filter((row) => !row.failed)
  const bars = [...endpoints.flatMap(endpointBars), ...scenarios.flatMap(scenarioBars), ...memoryBars(memory)]
  const seedRate = (seeded.records / seeded.recordsSeconds).toFixed(0)
  const blocks = [
    `## ${name}`,
    `${count(seeded.agents)} agents; ${count(seeded.records)} records, seeded at ${count(Number(seedRate))} per second.`,
    measured(endpoints).length > 0 && table(SPEED, measured(endpoints)),
    measured(endpoints).length > 0 && table(COST, measured(endpoints)),
    measured(scenarios).length > 0 && table(LOAD, measured(scenarios)),
    ...[...endpoints, ...scenarios].filter((row) => row.failed).map((row) => `${row.scenario} was not measured: ${row.failed}`),
    table(BARS, bars),
  ]
  return blocks.filter(Boolean).join('\n\n')
}

/** Writes both files; returns the path of the one for people. */
export function saveResults(results) {
  const { startedAt, command, machine, settings, stores } = results
  const path = `${FOLDER}${startedAt.slice(0, 16).replace(':', '')}Z`
  const text = [
    `# Service benchmark, ${startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    Object.entries(machine).map(([name, value]) => `- ${name}: ${value}`).join('\n'),
    `\`${command}\`: ${settings.seconds} s each after ${settings.warmup} s of warm-up, rounds: ${settings.rounds}. Service, load generator and stores share the cores.`,
    ...stores.map(storeReport),
  ].join('\n\n')
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${path}.md`, `${text}\n`)
  writeFileSync(`${path}.json`, `${JSON.stringify(results, null, 2)}\n`)
  return `${path}.md`
}
