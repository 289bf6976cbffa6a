import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { RecordAnswer } from './support/client.js'
import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

const GATE = { agentId: 'agent_benchmark_001', role: 'DATA_ANALYST', tier: 'VERIFIED', context: { resourceId: 'dataset_001', action: 'read' } }
const CEILING = { agentId: 'agent_benchmark_001', resourceType: 'API_CALLS', requestedAmount: 10, tier: 'VERIFIED' }

interface Verdict {
  allowed: boolean
  decision: string
  reason: string
  evaluatedAt: string
  provenanceId: string
  requiredTier?: string
}

interface Usage {
  allowed: boolean
  currentUsage: number
  ceiling: number
  remaining: number
  resetAt: string
  provenanceId: string
}

onEveryStore('decisions', (store) => {
  const running = service(store)

  test('a tier that a tier authority claims counts', async () => {
    const answer = await running().client.post('/role-gates/evaluate', GATE, { key: 'asserter' })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
    const verdict = answer.json<Verdict>()
    assert.deepEqual([verdict.allowed, verdict.decision], [true, 'ALLOW'])
    assert.ok(Math.abs(Date.parse(verdict.evaluatedAt) - Date.now()) < 60_000)
    assert.equal(verdict.requiredTier, undefined)
  })

  test('a tier that anyone else claims does not, and the denial is a 200', async () => {
    const answer = await running().client.post('/role-gates/evaluate', GATE)
    assert.equal(answer.status, 200)
    assert.deepEqual([answer.json<Verdict>().allowed, answer.json<Verdict>().decision], [false, 'DENY'])
  })

  test('a denial by tier says which tier is required', async () => {
    const answer = await running().client.post('/role-gates/evaluate', { ...GATE, role: 'SYSTEM_ADMIN' }, { key: 'asserter' })
    assert.equal(answer.json<Verdict>().decision, 'DENY')
    assert.equal(answer.json<Verdict>().requiredTier, 'PRIVILEGED')
  })

  test('a verdict is in the log under its id', async () => {
    const verdict = (await running().client.post('/role-gates/evaluate', GATE, { key: 'asserter' })).json<Verdict>()
    const record = (await running().client.get(`/provenance/${verdict.provenanceId}`)).json<RecordAnswer>()
    assert.deepEqual([record.type, record.decision, record.agentId], ['ROLE_GATE', 'ALLOW', GATE.agentId])
    assert.ok(record.merkleRoot && record.signature)
  })

  test('the alias /api/v1/phase6 answers too', async () => {
    const answer = await running().client.post('/api/v1/phase6/role-gates/evaluate', GATE, { key: 'asserter' })
    assert.equal(answer.json<Verdict>().decision, 'ALLOW')
  })

  test('a check consumes', async () => {
    const check = () => running().client.post('/ceiling/check', CEILING, { key: 'asserter' })
    const first = (await check()).json<Usage>()
    const second = (await check()).json<Usage>()
    assert.deepEqual([first.allowed, first.ceiling], [true, 500])
    assert.equal(second.currentUsage - first.currentUsage, 10)
    assert.equal(second.remaining, second.ceiling - second.currentUsage)
    assert.ok(Date.parse(second.resetAt) > Date.now())
  })

  test('a retry of a check with the same Idempotency-Key is free', async () => {
    const check = (key: string) =>
      running().client.post('/ceiling/check', CEILING, { key: 'asserter', headers: { 'idempotency-key': key } })
    const first = (await check('retried')).json<Usage>()
    const again = (await check('retried')).json<Usage>()
    const other = (await check('another')).json<Usage>()
    assert.equal(again.currentUsage, first.currentUsage)
    assert.equal(again.provenanceId, first.provenanceId)
    assert.equal(other.currentUsage, first.currentUsage + 10)
  })

  test('a check beyond the ceiling consumes nothing', async () => {
    const check = (requestedAmount: number) =>
      running().client.post('/ceiling/check', { ...CEILING, agentId: 'greedy', requestedAmount }, { key: 'asserter' })
    const refused = await check(501)
    assert.equal(refused.status, 200)
    assert.equal(refused.json<Usage>().allowed, false)
    assert.equal((await check(500)).json<Usage>().allowed, true)
  })

  test('the organization is the key’s, whatever a body says', async () => {
    const answer = await running().client.post('/role-gates/evaluate', { ...GATE, organization: 'acme' })
    assert.equal(answer.status, 400)
    const verdict = (await running().client.post('/role-gates/evaluate', GATE, { key: 'stranger' })).json<Verdict>()
    const record = (await running().client.get(`/provenance/${verdict.provenanceId}`, { key: 'stranger' })).json<RecordAnswer>()
    assert.equal(record.organization, 'acme')
  })
})
