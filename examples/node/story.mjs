// A gateway in front of a fleet of agents: it asks before each action, and an auditor checks one answer afterwards.
// `cd bindings-node && npm ci && npm run build && node ../examples/node/story.mjs`
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { NotVerifiedError, TrustEngine, verifyPayload, verifyRecord } from '../../bindings-node/index.js'

// Readers may read everything; only the release team may write to production, and two people have to agree.
const policy = `
policyFormat: 1
name: release-team
tiers: [{ name: GUEST }, { name: MEMBER }, { name: RELEASER }]
roles:
  - { name: READER, minimumTier: GUEST }
  - { name: DEPLOYER, minimumTier: RELEASER }
rules:
  - id: production-needs-a-second-pair-of-eyes
    effect: ESCALATE
    reason: production is changed by two people
    escalationPath: release-managers
    when: { roles: [DEPLOYER], environments: [production] }
  - { id: anything-else, effect: ALLOW }
defaultEffect: DENY
resources: [DEPLOYMENTS]
ceilings:
  agent: [{ tier: RELEASER, resource: DEPLOYMENTS, limit: 3, windowSeconds: 86400 }]
`

const folder = mkdtempSync(join(tmpdir(), 'trust-story-'))
const engine = await TrustEngine.open({ storage: { embedded: join(folder, 'store') }, policy })
const agents = engine.agents()
await agents.register({ id: 'agent_docs', tier: 'GUEST', creator: 'ops' })
await agents.register({ id: 'agent_ship', tier: 'RELEASER', creator: 'ops' })

const deploy = { agentId: 'agent_ship', role: 'DEPLOYER', context: { resourceId: 'api', action: 'deploy' } }
const read = await engine.evaluateGate({ agentId: 'agent_docs', role: 'READER', context: { resourceId: 'handbook' } })
const denied = await engine.evaluateGate({ ...deploy, agentId: 'agent_docs' }, { trace: true })
const production = await engine.evaluateGate({ ...deploy, context: { ...deploy.context, environment: 'production' } })
for (const verdict of [read, denied, production]) console.log(verdict.decision, verdict.reason)
console.log(denied.trace)
assert.deepEqual([read.allowed, denied.allowed, production.decision], [true, false, 'ESCALATE'])
assert.match(denied.trace, /to allow: hold tier RELEASER or higher/)

// A releaser may deploy three times a day, so the fourth check is refused.
const allowed = []
for (let n = 0; n < 4; n++) {
  const check = await engine.checkCeiling({ agentId: 'agent_ship', resourceType: 'DEPLOYMENTS', requestedAmount: 1 })
  console.log(check.reason)
  allowed.push(check.allowed)
}
assert.deepEqual(allowed, [true, true, true, false])

// What the host does itself is recorded too, and follows from the verdict that asked for it.
const log = engine.log()
const approved = await log.record({
  type: 'ESCALATION', agentId: 'agent_ship', decision: 'APPROVED', reason: 'Ann and Bo agree', parentId: production.provenanceId,
})
assert.deepEqual((await log.chain(approved.id)).map((record) => record.decision), ['APPROVED', 'ESCALATE'])
const found = []
for await (const record of log.query({ agentId: 'agent_ship', type: 'ESCALATION' })) found.push(record.id)
assert.deepEqual(found, [approved.id])

// The auditor has the key by another way than the proof.
const key = engine.verifierKey
const { entry, payload, salt, proof } = await log.prove(approved.id)
await engine.close()

verifyRecord(entry, proof, key)
verifyPayload(entry, payload, salt)
console.log(`proved: ${JSON.parse(payload).reason}\n${proof}`)
const forged = Buffer.from(payload).fill('C', payload.indexOf('Bo'), payload.indexOf('Bo') + 1)
assert.throws(() => verifyPayload(entry, forged, salt), NotVerifiedError)
assert.throws(() => verifyRecord(Buffer.from(entry.toString().replace('APPROVED', 'REJECTED')), proof, key), NotVerifiedError)
console.log('a changed entry and a changed payload are refused')
rmSync(folder, { recursive: true })
