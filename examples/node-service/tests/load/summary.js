// The result of a run: figures of the measured part, as an object for files and as one line for people.
const MEASURED = '{phase:measured}'
// Seconds differ by a quarter without a spike too, and by a millisecond where they are all fast.
const backToNormal = (p95, baseline) => p95 <= Math.max(baseline * 1.25, baseline + 1)

/** k6 keeps apart only what a threshold asks for: these always hold and make it keep what the figures need. */
export function thresholds({ limits, parts }) {
  const asked = {
    [`http_reqs${MEASURED}`]: ['count>0'],
    [`http_req_duration${MEASURED}`]: ['max>=0'],
    [`http_req_failed${MEASURED}`]: ['rate>=0'],
    [`unexpected${MEASURED}`]: ['count>=0'],
    [`turned_away${MEASURED}`]: ['count>=0'],
    [`good${MEASURED}`]: ['rate>=0'],
    checks: ['rate==1'],
  }
  for (const [, part] of parts.length > 1 ? parts : []) asked[`http_req_duration{part:${part}}`] = ['max>=0']
  for (const [metric, conditions] of Object.entries(limits)) asked[`${metric}${MEASURED}`] = conditions
  return asked
}

/** The figures from what k6 hands to `handleSummary`. */
export function figures(data, scenario, goodMeans) {
  const of = (name) => (data.metrics[name] ? data.metrics[name].values : {})
  const from = data.setup_data.startedAt + scenario.warmup * 1000
  const until = Math.min(from + scenario.seconds * 1000, Date.now())
  const requests = of(`http_reqs${MEASURED}`).count
  const latency = of(`http_req_duration${MEASURED}`)
  return {
    scenario: scenario.name,
    users: scenario.users,
    warmupSeconds: scenario.warmup,
    measuredFrom: new Date(from).toISOString(),
    measuredUntil: new Date(until).toISOString(),
    requests,
    requestsWithWarmup: of('http_reqs').count,
    requestsPerSecond: (requests * 1000) / (until - from),
    latencyMs: { p50: latency.med, p95: latency['p(95)'], p99: latency['p(99)'], max: latency.max },
    errorRate: of(`http_req_failed${MEASURED}`).rate,
    unexpected: of(`unexpected${MEASURED}`).count,
    turnedAway: of(`turned_away${MEASURED}`).count,
    wrongBodies: of('checks').fails || 0,
    goodShare: goodMeans && share(goodMeans, of(`good${MEASURED}`)),
    spike: scenario.parts.length > 1 ? spike(of, scenario.parts) : undefined,
    thresholds: verdicts(data.metrics),
  }
}

/** One line. */
export function line(f) {
  const ms = (value) => value.toFixed(1)
  const percent = (share) => `${(100 * share).toFixed(2)} %`
  const { p50, p95, p99, max } = f.latencyMs
  const fields = [
    `${f.scenario}: ${f.requests} requests`,
    `${f.requestsPerSecond.toFixed(0)} req/s`,
    `p50 ${ms(p50)} p95 ${ms(p95)} p99 ${ms(p99)} max ${ms(max)} ms`,
    `errors ${percent(f.errorRate)}`,
  ]
  if (f.turnedAway) fields.push(`${f.turnedAway} turned away with 503 and Retry-After`)
  if (f.wrongBodies) fields.push(`${f.wrongBodies} WRONG BODIES`)
  if (f.goodShare) fields.push(`${f.goodShare.means} ${percent(f.goodShare.share)}`)
  if (f.spike) {
    const { baselineP95, recoverySeconds, watchedSeconds } = f.spike
    const recovered = recoverySeconds === null ? `not recovered within ${watchedSeconds} s` : `recovered within ${recoverySeconds} s`
    fields.push(`${recovered} (baseline p95 ${ms(baselineP95)} ms)`)
  }
  const missed = Object.keys(f.thresholds).filter((name) => !f.thresholds[name])
  if (missed.length > 0) fields.push(`MISSED ${missed.join('; ')}`)
  return fields.join(', ')
}

/** `undefined` if no answer was looked into: a rate of nothing is 0 to k6. */
function share(means, { rate, passes, fails }) {
  return passes + fails > 0 ? { means, share: rate, of: passes + fails } : undefined
}

/** How long after the drop the p95 of a second, and of the one after it, was that of the baseline again. */
function spike(of, parts) {
  // A second in which nothing was sent has no p95: users were still waiting.
  const p95 = (part) => {
    const values = of(`http_req_duration{part:${part}}`)
    return values.count > 0 ? values['p(95)'] : null
  }
  const baselineP95 = p95('baseline')
  const seconds = parts.map(([, part]) => part).filter((part) => part.startsWith('second ')).map(p95)
  const calm = (index) => index === seconds.length || (seconds[index] !== null && backToNormal(seconds[index], baselineP95))
  const first = seconds.findIndex((_, index) => calm(index) && calm(index + 1))
  return {
    baselineP95,
    burstP95: p95('burst'),
    secondsP95: seconds,
    recoverySeconds: first === -1 ? null : first + 1,
    watchedSeconds: seconds.length,
  }
}

/** Which limits held, without those that only make k6 keep a figure. */
function verdicts(metrics) {
  const found = {}
  for (const [metric, { thresholds }] of Object.entries(metrics)) {
    for (const [condition, { ok }] of Object.entries(thresholds || {})) {
      if (!condition.endsWith('>=0')) found[`${metric.replace(MEASURED, '')} ${condition}`] = ok
    }
  }
  return found
}
