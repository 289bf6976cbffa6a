// Load tests for k6: k6 run phase6-load-test.js --env SCENARIO=smoke
//
//   SCENARIO  smoke (default), load, stress, spike; stats, evaluate, check, check-sampled, check-one, query, record; hello
//   BASE_URL  http://127.0.0.1:3000, or several divided by commas
//   API_KEY  sent as a bearer token
//   DURATION  without the warm-up           WARMUP   5s; not in the figures
//   VUS       most users; others in proportion
//   OUT       file for the figures, as JSON
//
// Users send the next request as soon as they have the answer to the last.
import { check } from 'k6'
import { Counter, Rate } from 'k6/metrics'

import { ENDPOINTS, isRight, send } from './endpoints.js'
import { scenario } from './scenarios.js'
import { figures, line, thresholds } from './summary.js'
import { tagger } from './timeline.js'

// An iteration costs k6 about as much as a request does, so one is many requests; short enough to stop users in time.
const ITERATION_MS = 50
// Reading and parsing every answer would measure the generator. A prime, so that every kind of request has its turn.
const SAMPLE = 101

const chosen = scenario(__ENV.SCENARIO || 'smoke', __ENV)

export const options = {
  scenarios: { [chosen.name]: chosen.executor },
  thresholds: thresholds(chosen),
  discardResponseBodies: true,
  // Every tag is paid for on every sample of eight metrics per request; those used are set by the timeline.
  systemTags: [],
  summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
  setupTimeout: '30s',
}

const unexpected = new Counter('unexpected')
const turnedAway = new Counter('turned_away')
const good = new Rate('good')

const endpoints = chosen.endpoints.map((name) => ENDPOINTS[name])
const goodMeans = endpoints.length === 1 ? endpoints[0].goodMeans : undefined
const tag = tagger(chosen)
// Users begin at different places, or all would ask for the same at the same time.
let sent = Math.floor(Math.random() * SAMPLE)

/** One request of each kind: without right answers there is nothing to measure. */
export function setup() {
  for (const endpoint of new Set(endpoints)) {
    const response = send(endpoint, true)
    if (!isRight(endpoint, response)) {
      throw new Error(`${endpoint.method} ${endpoint.url()} answered ${response.status} ${response.error || response.body}`)
    }
  }
  return { startedAt: Date.now() }
}

/** One user for a moment. */
export function run({ startedAt }) {
  const end = Date.now() + ITERATION_MS
  let tagged = 0
  for (let now = Date.now(); now < end; now = Date.now()) {
    if (now >= tagged) tagged = startedAt + tag(now - startedAt)
    sent += 1
    request(endpoints[sent % endpoints.length], sent % SAMPLE === 0)
  }
}

export function handleSummary(data) {
  if (!data.setup_data) return { stdout: `${chosen.name}: not run\n` }
  const result = figures(data, chosen, goodMeans)
  const files = { stdout: `${line(result)}\n` }
  if (__ENV.OUT) files[__ENV.OUT] = JSON.stringify(result, null, 2)
  return files
}

function request(endpoint, sampled) {
  const response = send(endpoint, sampled)
  if (response.status !== endpoint.status) {
    const polite = response.status === 503 && response.headers['Retry-After'] !== undefined
    const counter = polite ? turnedAway : unexpected
    counter.add(1)
  } else if (sampled) {
    check(response, { 'as the contract says': (answer) => isRight(endpoint, answer) })
    if (goodMeans) good.add(endpoint.good(response.json()))
  }
}
