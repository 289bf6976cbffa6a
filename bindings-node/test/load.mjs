// Evaluates until it is killed, and prints every id when it is acknowledged.
import { writeSync } from 'node:fs'
import { TrustEngine } from 'trust-engine'

const options = JSON.parse(process.env.OPTIONS)
if (options.signingKey) options.signingKey = Uint8Array.from(options.signingKey)
const engine = await TrustEngine.open(options)
const calls = engine.json()
const body = Buffer.from('{"agentId":"agent_001","role":"READER"}')
const caller = async () => {
  for (;;) writeSync(1, `${JSON.parse(await calls.evaluateGate(body)).provenanceId}\n`)
}
await Promise.all(Array.from({ length: 64 }, caller))
