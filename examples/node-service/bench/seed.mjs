// Seeds the data that the load tests expect: agents, and records of some of them.
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

// The same numbers as in tests/load/endpoints.js.
const AGENTS = 10_000
const AGENTS_WITH_RECORDS = 1_000
const ATTEMPTS = 20
const TIMEOUT_MS = 30_000

const BUSY = [429, 503]

/** Seeds through the API; returns how long that took. */
export async function seed({ url, apiKey, records }) {
  const agents = await timed(async () => {
    const put = (id, tier) => ({ method: 'PUT', path: `/api/phase6/agents/${id}`, body: JSON.stringify({ tier }) })
    await all(url, apiKey, 1, 1, () => put('agent_benchmark_001', 'VERIFIED'))
    await all(url, apiKey, AGENTS, 64, (index) => put(agentId(index), 'PRIVILEGED'))
  })
  const written = await timed(() =>
    all(url, apiKey, records, 256, (index) => ({
      method: 'POST',
      path: '/api/phase6/provenance',
      body: JSON.stringify({
        type: 'ROLE_GATE',
        agentId: agentId(index % AGENTS_WITH_RECORDS),
        decision: 'ALLOW',
        reason: 'within the task',
        context: { resourceId: `dataset_${index}`, action: 'read' },
      }),
    })),
  )
  return { agents: AGENTS, agentsSeconds: agents, records, recordsSeconds: written }
}

const agentId = (index) => `agent_${String(index + 1).padStart(5, '0')}`

/** Sends `count` requests, `width` at a time, each on a connection that stays open. */
async function all(url, apiKey, count, width, requestOf) {
  const agent = new Agent({ keepAlive: true, maxSockets: width })
  let next = 0
  const worker = async () => {
    while (next < count) await sendUntilTaken(url, agent, apiKey, requestOf(next++))
  }
  try {
    await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
  } finally {
    // Also where one failed and the others are still under way.
    next = count
    agent.destroy()
  }
}

/** A full service says when to come back. */
async function sendUntilTaken(url, agent, apiKey, { method, path, body }) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await send(`${url}${path}`, agent, apiKey, method, body)
    if (answer.status >= 200 && answer.status < 300) return
    if (!BUSY.includes(answer.status) || attempt === ATTEMPTS) {
      throw new Error(`seeding: ${method} ${path} answered ${answer.status} ${answer.body}`)
    }
    await sleep(Math.min(Number(answer.retryAfter) || 1, 2) * 1000)
  }
}

function send(url, agent, apiKey, method, body) {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), authorization: `Bearer ${apiKey}` }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent, headers, timeout: TIMEOUT_MS }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode, retryAfter: response.headers['retry-after'], body: Buffer.concat(chunks).toString() }),
      )
    })
    sent.on('timeout', () => sent.destroy(new Error(`seeding: ${method} ${url} had no answer within ${TIMEOUT_MS / 1000} s`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

async function timed(work) {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}
