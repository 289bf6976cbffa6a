// The cost of a call: `npm run bench`. Medians of batches, the kinds in turn, in one process and one run.
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustEngine, version } from 'trust-engine'

const BODY = Buffer.from(
  '{"agentId":"agent_benchmark_001","role":"DATA_ANALYST","tier":"VERIFIED","context":{"resourceId":"dataset_001","action":"read"}}',
)
const REQUEST = JSON.parse(BODY.toString())
const CHECK = { agentId: 'agent_benchmark_001', resourceType: 'API_CALLS', requestedAmount: 1 }

/** Nanoseconds per call: median, least and most of the batches. */
function inTurn(kinds, batches, calls) {
  const times = new Map(Object.keys(kinds).map((name) => [name, []]))
  for (let batch = 0; batch < batches; batch++) {
    for (const [name, call] of Object.entries(kinds)) {
      const started = process.hrtime.bigint()
      for (let n = 0; n < calls; n++) call()
      times.get(name).push(Number(process.hrtime.bigint() - started) / calls)
    }
  }
  for (const [name, all] of times) {
    all.sort((a, b) => a - b)
    const [median, least, most] = [all[all.length >> 1], all[0], all.at(-1)].map((time) => time.toFixed(0))
    console.log(`${name}: ${median} ns (${least} to ${most})`)
  }
}

console.log(`trust-engine ${version}, Node ${process.version}, ${cpus().length} × ${cpus()[0].model}`)
const plain = await TrustEngine.open({ storage: { memory: true } })
const document = JSON.parse(plain.policy.current().document)
await plain.close()
document.recording.gates = { mode: 'NONE' }
document.recording.ceilings = { ...document.recording.ceilings, mode: 'NONE' }
const quiet = await TrustEngine.open({ storage: { memory: true }, tierAuthorities: ['k'], policy: JSON.stringify(document) })
await quiet.agents().register({ id: 'agent_benchmark_001', tier: 'PRIVILEGED' })
const quietCalls = quiet.json({ name: 'k' })
const answer = JSON.parse(quietCalls.decideGate(BODY))
console.log('\nnot recorded: the verdict, and what it costs to cross over')
inTurn(
  {
    'decideGate, objects': () => quiet.decideGate(REQUEST),
    'json.decideGate, bytes to text': () => quietCalls.decideGate(BODY),
    'checkCeilingNow, objects': () => quiet.checkCeilingNow(CHECK),
    'beside it, JSON.parse and JSON.stringify of the same': () => JSON.stringify([JSON.parse(BODY), answer][1]),
  },
  41,
  5000,
)
await quiet.close()

const folder = mkdtempSync(join(tmpdir(), 'trust-engine-bench-'))
const engine = await TrustEngine.open({ storage: { embedded: folder }, tierAuthorities: ['k'] })
const calls = engine.json({ name: 'k' })
console.log('\nrecorded, embedded store, signed and durable')
for (const inFlight of [1, 100, 1000]) {
  const total = inFlight === 1 ? 4000 : 200_000
  let left = total
  const before = (await engine.stats('all')).provenance.commits
  const wakes = engine.wakes
  const started = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  const caller = async () => {
    while (left-- > 0) await calls.evaluateGate(BODY)
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  const { user, system } = process.cpuUsage(cpu)
  const commits = (await engine.stats('all')).provenance.commits - before
  console.log(
    `${inFlight} in flight: ${((seconds * 1e6) / total).toFixed(1)} µs per call, ${(total / seconds).toFixed(0)} records/s, ` +
      `${(total / commits).toFixed(0)} per commit, ${((engine.wakes - wakes) / commits).toFixed(2)} wake-ups per commit, ` +
      `${((user + system) / total).toFixed(1)} µs of processor per call in all threads`,
  )
}
await engine.close()
rmSync(folder, { recursive: true })
