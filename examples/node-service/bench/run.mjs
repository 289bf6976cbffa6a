// Measures the built service on each store, beside an empty Fastify route: see README.md in this folder.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

import { cleanUp, defer, wasInterrupted } from './cleanup.mjs'
import { findK6 } from './k6.mjs'
import { machineFacts } from './machine.mjs'
import { measure } from './measure.mjs'
import { PUBLISHED, readOptions } from './options.mjs'
import { writePolicy } from './policy.mjs'
import { memory } from './proc.mjs'
import { topOfFolder } from './profile.mjs'
import { threadShares } from './threads.mjs'
import { saveResults, storeReport } from './results.mjs'
import { seed } from './seed.mjs'
import { makeKeys, startHello, startService, startServices } from './service.mjs'

try {
  const options = readOptions(process.argv.slice(2), process.env)
  if (options) await main(options)
} catch (error) {
  // An interruption makes the work under way fail; that is no news.
  if (!wasInterrupted()) {
    console.error(error.message)
    process.exitCode = 1
  }
} finally {
  await cleanUp()
}

async function main(options) {
  if (!existsSync(new URL('../dist/main.js', import.meta.url))) throw new Error('the service is not built: npm run build')
  const k6 = await findK6()
  // Before anything is measured, so that a server that is down is not found out after ten minutes.
  const versions = Object.assign({}, ...(await Promise.all(options.stores.map((store) => store.versions()))))
  const machine = machineFacts(k6, versions)
  const startedAt = new Date().toISOString()

  const stores = []
  for (const store of options.stores) {
    console.log(`\n${store.name}`)
    stores.push(await onStore(store, { ...options, k6 }))
  }
  if (options.profile || options.threads) return
  const { seconds, warmup, rounds, scale, records, processes } = options
  const command = ['node bench/run.mjs', ...process.argv.slice(2)].join(' ')
  const path = saveResults({ startedAt, command, machine, settings: { seconds, warmup, rounds, scale, records, processes }, stores })
  console.log(`\n${stores.map(storeReport).join('\n\n')}\n\n${path}`)
  if (stores.some(({ failed }) => failed)) process.exitCode = 1
}

/** Everything on one store, which is gone afterwards. A store that fails does not take the others' figures with it. */
async function onStore(store, options) {
  try {
    const folder = mkdtempSync(`${tmpdir()}/trust-engine-bench-`)
    defer(() => rmSync(folder, { recursive: true, force: true }))
    await store.reset()
    defer(store.reset)
    const run = { ...options, store, folder, keys: makeKeys(folder) }
    if (options.profile) return await profile(run, byFunction)
    return options.threads ? await profile(run, byThread) : { name: store.name, ...(await compare(run)) }
  } catch (error) {
    if (wasInterrupted() || options.profile || options.threads) throw error
    console.error(error.message)
    return { name: store.name, failed: error.message }
  } finally {
    await cleanUp()
  }
}

async function compare(run) {
  let server = await startServices(run)
  const hello = await startHello(run)
  const base = memory(server.pids).now
  const seeded = await seed({ url: server.url.split(',')[0], apiKey: run.keys.apiKey, records: run.records })
  const against = (scenario, target, seconds) => measure({ ...run, apiKey: run.keys.apiKey, server: target, scenario, seconds })

  const rounds = []
  const measureAll = async (endpoints) => {
    for (let round = 0; round < run.rounds; round += 1) {
      for (const scenario of endpoints) {
        rounds.push(
          await attempt(scenario, async () => {
            const { requestsPerSecond } = await against('hello', hello, run.seconds)
            return besideOthers(await against(scenario, server, run.seconds), requestsPerSecond)
          }),
        )
      }
    }
  }
  await measureAll(run.endpoints.filter((scenario) => !PUBLISHED.endpoints[scenario].ceilings))
  const scenarios = []
  for (const scenario of run.scenarios) {
    const seconds = PUBLISHED.scenarios[scenario].seconds * run.scale
    scenarios.push({ seconds, ...(await attempt(scenario, () => against(scenario, server, seconds))) })
  }
  let { most } = memory(server.pids)
  // Last, because the policy stays in force.
  for (const scenario of run.endpoints.filter((name) => PUBLISHED.endpoints[name].ceilings)) {
    await server.stop()
    const policy = await writePolicy(run.folder, scenario, PUBLISHED.endpoints[scenario].ceilings)
    server = await startServices({ ...run, policy })
    await measureAll([scenario])
    most = Math.max(most, memory(server.pids).most)
  }
  return { seeded, memory: { base, most }, endpoints: run.endpoints.map((scenario) => median(scenario, rounds)), scenarios }
}

/** One row, with a line about it; where it fails, the row says why and the run goes on. */
async function attempt(scenario, work) {
  try {
    const row = await work()
    const { requestsPerSecond, latencyMs, errorRate } = row
    console.log(`  ${scenario}: ${requestsPerSecond.toFixed(0)} req/s, p95 ${latencyMs.p95.toFixed(1)} ms, errors ${(100 * errorRate).toFixed(2)} %`)
    return row
  } catch (error) {
    if (wasInterrupted()) throw error
    console.log(`  ${scenario}: ${error.message}`)
    return { scenario, failed: error.message }
  }
}

function besideOthers(row, helloPerSecond) {
  const published = PUBLISHED.endpoints[row.scenario]
  return {
    ...row,
    helloPerSecond,
    timesHello: row.requestsPerSecond / helloPerSecond,
    timesPublished: row.requestsPerSecond / published.rate,
    p95OfPublished: row.latencyMs.p95 / published.p95,
  }
}

/** The round in the middle by its ratio to hello, which is the figure that repeats best. */
function median(scenario, rounds) {
  const all = rounds.filter((row) => row.scenario === scenario)
  const measured = all.filter((row) => !row.failed).sort((a, b) => a.timesHello - b.timesHello)
  if (measured.length < all.length) return all.find((row) => row.failed)
  const timesHelloRange = [measured[0].timesHello, measured.at(-1).timesHello]
  return { ...measured[Math.floor((measured.length - 1) / 2)], timesHelloRange }
}

/** Seeds once; then a service of its own for each endpoint, so that its profile holds nothing else. */
async function profile(run, look) {
  const seeder = await startService(run)
  await seed({ url: seeder.url, apiKey: run.keys.apiKey, records: run.records })
  await seeder.stop()
  for (const scenario of run.endpoints) {
    const { ceilings } = PUBLISHED.endpoints[scenario]
    const policy = ceilings && (await writePolicy(run.folder, scenario, ceilings))
    await look({ ...run, policy }, scenario)
  }
}

async function byFunction(run, scenario) {
  const profiles = mkdtempSync(`${run.folder}/profile-`)
  const server = await startService({ ...run, profiles })
  const row = await attempt(scenario, () => measure({ ...run, apiKey: run.keys.apiKey, server, scenario }))
  await server.stop()
  if (!row.failed) console.log(topOfFolder(profiles).join('\n'))
}

/** Looks at the middle of the run. */
async function byThread(run, scenario) {
  const server = await startService(run)
  const measuring = attempt(scenario, () => measure({ ...run, apiKey: run.keys.apiKey, server, scenario }))
  await sleep((run.warmup + run.seconds / 4) * 1000)
  const shares = await threadShares(server.pid, run.seconds / 2, `${run.folder}/perf.data`)
  const row = await measuring
  await server.stop()
  if (row.failed) return
  for (const { thread, library, share } of shares) {
    const micros = (share * row.cpuMicrosPerRequest.service).toFixed(1)
    console.log(`${micros.padStart(8)} µs  ${thread}  ${library}`)
  }
}
