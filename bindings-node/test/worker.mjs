// Opens an engine, calls it, and either closes it or is ended with calls under way.
import { parentPort, workerData } from 'node:worker_threads'
import { TrustEngine } from 'trust-engine'

const engine = await TrustEngine.open({ storage: { memory: true } })
const request = { agentId: 'a', role: 'READER' }
const verdict = await engine.evaluateGate(request)
if (workerData.close) {
  await engine.close()
  parentPort.postMessage(verdict.decision)
} else {
  for (let n = 0; n < 200; n++) void engine.evaluateGate(request)
  parentPort.postMessage(verdict.decision)
}
