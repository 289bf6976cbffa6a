// The bars that the service has to reach, and whether it reached them.

// Least throughput as a share of what Fastify does with an empty route, and most p95 as a share of the published one.
const ENDPOINTS = {
  stats: { timesHello: 0.8, p95OfPublished: 0.6 },
  evaluate: { timesHello: 0.5, p95OfPublished: 0.6 },
  // For the verdict itself; each of `check` is also a signed record.
  'check-sampled': { timesHello: 0.6, p95OfPublished: 0.6, admitted: 0.95 },
  check: { p95OfPublished: 0.6, admitted: 0.95 },
  query: { timesHello: 0.2, p95OfPublished: 0.5 },
  record: { timesHello: 0.4, p95OfPublished: 0.6 },
}
const MEMORY = { base: 120, most: 300 }
const RECOVERY_SECONDS = 5

/** `{ of, bar, measured, met }` each; `of` is what it is about. */
export function endpointBars(row) {
  const bars = ENDPOINTS[row.scenario]
  if (!bars) return []
  if (row.failed) return [{ of: row.scenario, bar: 'measured', measured: 'not measured', met: false }]
  const found = [
    atMost(row.scenario, 'p95 against the published', bars.p95OfPublished, row.p95OfPublished),
    none(row.scenario, 'errors and wrong bodies', Math.round(row.errorRate * row.requests) + row.wrongBodies),
  ]
  if (bars.timesHello) found.unshift(atLeast(row.scenario, 'req/s against hello', bars.timesHello, row.timesHello))
  if (bars.admitted) found.push(atLeast(row.scenario, 'share admitted', bars.admitted, row.goodShare?.share ?? 0))
  return found
}

export function scenarioBars(row) {
  if (row.failed) return [{ of: row.scenario, bar: 'measured', measured: 'not measured', met: false }]
  switch (row.scenario) {
    case 'smoke':
      return [below('smoke', 'slowest, ms', 500, row.latencyMs.max), none('smoke', 'errors', Math.round(row.errorRate * row.requests))]
    case 'load':
      return [below('load', 'p95, ms', 100, row.latencyMs.p95), below('load', 'error rate', 0.01, row.errorRate)]
    case 'stress':
      return [none('stress', 'errors other than 503 with Retry-After', row.unexpected)]
    default:
      return [atMost('spike', 'seconds to the p95 of before', RECOVERY_SECONDS, row.spike.recoverySeconds ?? Infinity)]
  }
}

/** In MiB of resident memory. */
export function memoryBars({ base, most }) {
  return [atMost('memory', 'at start, MiB', MEMORY.base, base), atMost('memory', 'most, MiB', MEMORY.most, most)]
}

function shown(value) {
  if (value === Infinity) return 'never'
  return value >= 10 ? value.toFixed(0) : String(Number(value.toFixed(3)))
}
const atLeast = (of, what, bar, value) => ({ of, bar: `${what} ≥ ${bar}`, measured: shown(value), met: value >= bar })
const atMost = (of, what, bar, value) => ({ of, bar: `${what} ≤ ${bar}`, measured: shown(value), met: value <= bar })
const below = (of, what, bar, value) => ({ of, bar: `${what} < ${bar}`, measured: shown(value), met: value < bar })
const none = (of, what, value) => ({ of, bar: `no ${what}`, measured: String(value), met: value === 0 })
