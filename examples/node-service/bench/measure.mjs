// One scenario, and what it costs everyone who takes part.
import { startK6 } from './k6.mjs'
import { cpuRate, mostMemory, watch } from './proc.mjs'

const MICROS = 1_000_000

/** Runs it against a server; the figures are those of k6 with the costs per request beside them. */
export async function measure({ k6, store, server, apiKey, scenario, seconds, warmup, folder }) {
  const others = await store.processes()
  const before = await store.counters()
  const generator = startK6({ k6, scenario, seconds, warmup, url: server.url, apiKey, folder })
  const stop = watch({ service: { pids: server.pids }, k6: { pid: generator.pid }, ...others })
  let figures
  let samples
  try {
    figures = await generator.done
  } finally {
    samples = stop()
  }
  const after = await store.counters()

  const [from, until] = [Date.parse(figures.measuredFrom), Date.parse(figures.measuredUntil)]
  const micros = (name) => {
    const rate = cpuRate(samples, name, from, until)
    return rate === undefined ? undefined : (rate * MICROS) / figures.requestsPerSecond
  }
  // Of the whole run: the counters are not read in the middle of it, which would be felt.
  const perThousand = (counter) => before && ((after[counter] - before[counter]) * 1000) / figures.requestsWithWarmup
  return {
    ...figures,
    cpuMicrosPerRequest: { service: micros('service'), k6: micros('k6'), postgres: micros('postgres'), redis: micros('redis') },
    memoryMiB: mostMemory(samples, 'service', from, until),
    perThousandRequests: { transactions: perThousand('transactions'), redisCommands: perThousand('commands') },
  }
}
