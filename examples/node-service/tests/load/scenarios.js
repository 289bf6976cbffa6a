// How many users, for how long, and what must hold: one entry per scenario.
import { parts } from './timeline.js'

const PUBLISHED = JSON.parse(open('./published.json'))
const ENDPOINT_SECONDS = 300

// The calls of a client of everything: mostly decisions, some of them recorded by the host itself, now and then a look.
const MIX = ['check', 'evaluate', 'record', 'check', 'evaluate', 'query', 'check', 'evaluate', 'record', 'stats']

/**
 * `stages` are [share of the duration, users at its end]; a share of 0 is a jump. `limits` hold for what is measured,
 * not for the warm-up.
 */
const SHAPES = {
  smoke: {
    start: 1,
    stages: [[0.5, 5], [0.5, 5]],
    limits: { http_req_duration: ['max<500'], http_req_failed: ['rate==0'] },
  },
  load: {
    start: 50,
    stages: [[0.3, 50], [0.2, 100], [0.4, 100], [0.1, 50]],
    limits: { http_req_duration: ['p(95)<100'], http_req_failed: ['rate<0.01'] },
  },
  stress: {
    start: 100,
    stages: [[0.2, 100], [0.2, 200], [0.2, 200], [0.2, 300], [0.2, 300]],
    // Turning a request away politely is what a full service is meant to do: it does not count here.
    limits: { unexpected: ['count==0'] },
  },
  spike: {
    start: 10,
    stages: [[0.3, 10], [0, 200], [0.2, 200], [0, 10], [0.5, 10]],
    burst: { from: 0.3, to: 0.5 },
    limits: { unexpected: ['count==0'] },
  },
}

/** The scenario of that name, with the overrides of the environment. */
export function scenario(name, env) {
  const mixed = SHAPES[name]
  const shape = mixed || endpointShape(name)
  const seconds = env.DURATION ? parseSeconds(env.DURATION) : mixed ? PUBLISHED.scenarios[name].seconds : ENDPOINT_SECONDS
  const warmup = parseSeconds(env.WARMUP || '5s')
  const peak = Math.max(shape.start, ...shape.stages.map(([, users]) => users))
  const factor = env.VUS ? Number(env.VUS) / peak : 1
  const users = (count) => Math.max(1, Math.round(count * factor))
  return {
    name,
    endpoints: mixed ? MIX : [name],
    seconds,
    warmup,
    users: users(peak),
    limits: shape.limits,
    parts: parts(seconds, shape.burst),
    executor: {
      executor: 'ramping-vus',
      exec: 'run',
      startVUs: users(shape.start),
      stages: [
        { duration: `${warmup}s`, target: users(shape.start) },
        ...shape.stages.map(([share, count]) => ({ duration: `${Math.round(share * seconds * 1000)}ms`, target: users(count) })),
      ],
      gracefulRampDown: '10s',
      gracefulStop: '10s',
    },
  }
}

/** The published users, all the time. */
function endpointShape(name) {
  const published = PUBLISHED.endpoints[name]
  if (!published && name !== 'hello') {
    throw new Error(`SCENARIO must be one of ${[...Object.keys(SHAPES), ...Object.keys(PUBLISHED.endpoints), 'hello'].join(', ')}`)
  }
  const users = published ? published.vus : 100
  const limits = { http_req_failed: ['rate<0.001'] }
  if (published) limits.http_req_duration = [`p(95)<${published.p95}`, `p(99)<${published.p99}`]
  if (name === 'check') limits.good = ['rate>=0.95']
  return { start: users, stages: [[1, users]], limits }
}

/** `90`, `90s`, `1m30s`, `1.5m`. */
function parseSeconds(text) {
  const [whole, hours = 0, minutes = 0, seconds = 0] = /^(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?$/.exec(text) || []
  const sum = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
  if (!whole || !Number.isFinite(sum)) throw new Error(`${text} is no duration such as 90s or 1m30s`)
  return sum
}
