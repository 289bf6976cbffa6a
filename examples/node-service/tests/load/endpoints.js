// The requests, one per endpoint, and what a right answer looks like. Bodies are put together from constant strings:
// the generator shares the machine with what it measures.
import http from 'k6/http'

// Each user has one of the servers: this runs for every user by itself.
const SERVERS = (__ENV.BASE_URL || 'http://127.0.0.1:3000').split(',')
const SERVER = SERVERS[Math.floor(Math.random() * SERVERS.length)]
const API = `${SERVER}/api/phase6`
const HELLO = `${SERVER}/hello`

const AGENTS = 10_000
// Those that have enough records to fill a page.
const AGENTS_WITH_RECORDS = 1_000
const PAGE_SIZE = 20
const HOUR_MS = 3_600_000

const EVALUATION =
  '{"agentId":"agent_benchmark_001","role":"DATA_ANALYST","tier":"VERIFIED","context":{"resourceId":"dataset_001","action":"read"}}'
const CHECK_OF_ONE = '{"agentId":"agent_benchmark_001","resourceType":"API_CALLS","requestedAmount":10,"tier":"VERIFIED"}'
// A range around the start of the run that holds what was seeded before it and what is written meanwhile.
const RANGE = `&startTime=${isoHours(-1)}&endTime=${isoHours(2)}&pageSize=${PAGE_SIZE}`

const text = (value) => typeof value === 'string' && value !== ''
const isVerdict = (answer) => typeof answer.allowed === 'boolean' && text(answer.reason)
const isCheck = (answer) => typeof answer.allowed === 'boolean' && Number.isInteger(answer.remaining)

/** `valid` takes the parsed answer; `good` counts towards the share that the summary tells as `goodMeans`. */
export const ENDPOINTS = {
  hello: {
    method: 'POST',
    status: 200,
    url: () => HELLO,
    body: () => EVALUATION,
    valid: (answer) => text(answer.hello),
  },
  stats: {
    method: 'GET',
    status: 200,
    url: () => `${API}/stats`,
    body: () => null,
    valid: (answer) => Number.isInteger(answer.roleGates.total) && Number.isInteger(answer.provenance.totalRecords),
  },
  evaluate: {
    method: 'POST',
    status: 200,
    url: () => `${API}/role-gates/evaluate`,
    body: () => EVALUATION,
    valid: (answer) => isVerdict(answer) && text(answer.decision) && text(answer.provenanceId),
    good: (answer) => answer.allowed,
    goodMeans: 'admitted',
  },
  check: {
    method: 'POST',
    status: 200,
    url: () => `${API}/ceiling/check`,
    body: () => `{"agentId":"${anyAgent(AGENTS)}","resourceType":"API_CALLS","requestedAmount":10,"tier":"PRIVILEGED"}`,
    valid: isCheck,
    good: (answer) => answer.allowed,
    goodMeans: 'admitted',
  },
  'check-one': {
    method: 'POST',
    status: 200,
    url: () => `${API}/ceiling/check`,
    body: () => CHECK_OF_ONE,
    valid: isCheck,
    good: (answer) => answer.allowed,
    goodMeans: 'admitted',
  },
  query: {
    method: 'GET',
    status: 200,
    url: () => `${API}/provenance?agentId=${anyAgent(AGENTS_WITH_RECORDS)}${RANGE}`,
    body: () => null,
    valid: (answer) => Array.isArray(answer.data) && answer.data.every((record) => text(record.id)),
    good: (answer) => answer.data.length === PAGE_SIZE,
    goodMeans: 'full pages',
  },
  record: {
    method: 'POST',
    status: 201,
    url: () => `${API}/provenance`,
    body: () =>
      `{"type":"ROLE_GATE","agentId":"${anyAgent(AGENTS)}","decision":"ALLOW","reason":"within the task","context":{"resourceId":"dataset_001","action":"read"}}`,
    valid: (answer) => text(answer.id) && text(answer.merkleRoot) && text(answer.signature),
  },
}

// The same request, to a service whose policy records every refusal and one admission in a thousand.
ENDPOINTS['check-sampled'] = ENDPOINTS.check

const headers = { 'Content-Type': 'application/json' }
if (__ENV.API_KEY) headers.Authorization = `Bearer ${__ENV.API_KEY}`

for (const endpoint of Object.values(ENDPOINTS)) {
  // k6 counts any other status as failed, without a line of script per request.
  const responseCallback = http.expectedStatuses(endpoint.status)
  endpoint.params = { headers, responseCallback }
  endpoint.paramsKeepingBody = { headers, responseCallback, responseType: 'text' }
}

/** Sends one; the body of the answer is thrown away unless `keepBody`. */
export function send(endpoint, keepBody) {
  const params = keepBody ? endpoint.paramsKeepingBody : endpoint.params
  return http.request(endpoint.method, endpoint.url(), endpoint.body(), params)
}

/** Whether an answer whose body was kept is what the contract says. */
export function isRight(endpoint, response) {
  if (response.status !== endpoint.status) return false
  try {
    return endpoint.valid(response.json())
  } catch {
    return false
  }
}

/** agent_00001 to agent_10000. */
function anyAgent(count) {
  return `agent_${String(100_001 + Math.floor(Math.random() * count)).slice(1)}`
}

function isoHours(hours) {
  return new Date(Date.now() + hours * HOUR_MS).toISOString()
}
