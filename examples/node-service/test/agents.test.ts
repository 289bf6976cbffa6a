import assert from 'node:assert/strict'
import { test } from 'node:test'

import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

interface Agent {
  id: string
  organization: string
  tier: string
  score?: number
  status: string
  attestations: string[]
  parent?: string
  version: number
}

onEveryStore('agents', (store) => {
  const running = service(store)

  test('an agent is registered, read and changed', async () => {
    const { client } = running()
    const registered = await client.put('/agents/agent_001', { tier: 'BASIC', attestations: ['soc2'] })
    assert.equal(registered.status, 201)
    assert.equal(registered.headers.get('etag'), '"1"')
    const agent = registered.json<Agent>()
    assert.deepEqual([agent.id, agent.organization, agent.tier], ['agent_001', 'default', 'BASIC'])

    const changed = await client.put('/agents/agent_001', { tier: 'VERIFIED', score: 700 })
    assert.equal(changed.status, 200)
    const { tier, score, attestations, version } = changed.json<Agent>()
    assert.deepEqual([tier, score, attestations, version], ['VERIFIED', 700, ['soc2'], 2])

    const read = await client.get('/agents/agent_001')
    assert.equal(read.headers.get('etag'), '"2"')
    assert.deepEqual(read.json(), changed.json())
  })

  test('what is registered decides', async () => {
    const { client } = running()
    const evaluate = async () =>
      (await client.post('/role-gates/evaluate', { agentId: 'decided', role: 'DATA_ANALYST' })).json<{ decision: string }>().decision
    assert.equal(await evaluate(), 'DENY')
    await client.put('/agents/decided', { tier: 'VERIFIED' })
    assert.equal(await evaluate(), 'ALLOW')
    await client.put('/agents/decided', { status: 'SUSPENDED' })
    assert.equal(await evaluate(), 'DENY')
  })

  test('an id with characters of every kind is one part of the path', async () => {
    const { client } = running()
    const path = `/agents/${encodeURIComponent('équipe/ñ 7?')}`
    assert.equal((await client.put(path, {})).status, 201)
    assert.equal((await client.get(path)).json<Agent>().id, 'équipe/ñ 7?')
  })

  test('agents are listed by tier, status and family, in pages', async () => {
    const { client } = running()
    const marked = (fields: object) => ({ attestations: ['listed'], ...fields })
    for (const [id, fields] of [
      ['root', { tier: 'PRIVILEGED' }],
      ['child', { tier: 'PRIVILEGED', parent: 'root', creation: 'CLONED', status: 'SUSPENDED' }],
      ['stranger', { tier: 'PRIVILEGED' }],
    ] as const) {
      assert.equal((await client.put(`/agents/${id}`, marked(fields))).status, 201)
    }
    const list = async (query: string) => (await client.get(`/agents?${query}`)).json<{ data: Agent[]; nextPageToken: string | null; total?: number }>()
    const ids = ({ data }: { data: Agent[] }) => data.map((agent) => agent.id)
    assert.deepEqual(ids(await list('tier=PRIVILEGED')), ['root', 'child', 'stranger'])
    assert.deepEqual(ids(await list('tier=PRIVILEGED&status=SUSPENDED')), ['child'])
    assert.deepEqual(ids(await list('family=root&status=ACTIVE')), ['root'])
    const first = await list('tier=PRIVILEGED&pageSize=2&total=true')
    assert.deepEqual([ids(first), first.total], [['root', 'child'], 3])
    const second = await list(`tier=PRIVILEGED&pageSize=2&pageToken=${first.nextPageToken}`)
    assert.deepEqual([ids(second), second.nextPageToken, second.total], [['stranger'], null, undefined])

    const refused = async (query: string) => (await client.get(`/agents?${query}`)).json<{ details: { field: string } }>().details.field
    assert.equal(await refused('status=active'), 'status')
    assert.equal(await refused('pageSize=101'), 'pageSize')
    assert.equal(await refused('teir=PRIVILEGED'), 'teir')
    assert.equal(await refused('total=yes'), 'total')
    assert.equal(await refused(`status=ACTIVE&pageToken=${first.nextPageToken}`), 'pageToken')
    const stranger = await client.get('/agents?tier=PRIVILEGED', { key: 'stranger' })
    assert.deepEqual(stranger.json<{ data: Agent[] }>().data, [])
  })

  test('agents of another organization are not there', async () => {
    const { client } = running()
    await client.put('/agents/private', {}, { key: 'stranger' })
    const answer = await client.get('/agents/private')
    assert.equal(answer.status, 404)
    assert.equal(answer.error().code, 'P6_NOT_FOUND')
  })

  test('a change of another version than the current one is a conflict', async () => {
    const { client } = running()
    await client.put('/agents/versioned', {})
    const put = (body: object, match?: string) => client.put('/agents/versioned', body, { headers: match === undefined ? {} : { 'if-match': match } })
    assert.equal((await put({ tier: 'BASIC' }, '"1"')).status, 200)
    for (const stale of [await put({ tier: 'TRUSTED' }, '"1"'), await put({ tier: 'TRUSTED', version: 1 })]) {
      assert.equal(stale.status, 409)
      assert.equal(stale.error().code, 'P6_CONFLICT')
    }
    assert.equal((await put({ tier: 'VERIFIED', version: 2 })).status, 200)
    assert.equal((await put({}, '*')).status, 200)
    assert.equal((await client.get('/agents/versioned')).json<Agent>().tier, 'VERIFIED')

    assert.equal((await put({ version: 3 }, '"2"')).status, 400)
    assert.equal((await put({}, 'W/"2"')).status, 400)
    for (const match of ['"1"', '*']) {
      const missing = await client.put('/agents/nobody', {}, { headers: { 'if-match': match } })
      assert.equal(missing.status, 409, match)
    }
    assert.equal((await client.get('/agents/nobody')).status, 404)
  })

  test('where an agent comes from is said once', async () => {
    const { client } = running()
    await client.put('/agents/root', {})
    const registered = await client.put('/agents/copy', { parent: 'root', creation: 'CLONED' })
    assert.equal(registered.json<Agent>().parent, 'root')
    assert.equal((await client.put('/agents/copy', { parent: 'root', tier: 'BASIC' })).status, 200)
    const moved = await client.put('/agents/copy', { parent: 'other' })
    assert.equal(moved.status, 409)
    assert.equal(moved.error().details?.['field'], 'parent')
  })

  test('nobody registers an agent in another’s name', async () => {
    const { client } = running()
    for (const field of ['creator', 'registeredBy']) {
      const refused = await client.put('/agents/signed', { [field]: 'ops' })
      assert.equal(refused.status, 400)
      assert.equal(refused.error().details?.['field'], field)
    }
    assert.equal((await client.put('/agents/signed', {})).status, 201)
    assert.equal((await client.put('/agents/signed', { creator: 'ops' })).status, 400)
  })

  test('a body that is not understood changes nothing', async () => {
    const { client } = running()
    for (const [body, field] of [
      ['{', 'body'],
      ['[]', 'body'],
      [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'body'],
      ['{"tier":"BASIC","tier":"TRUSTED"}', 'tier'],
      ['{"tier":"BASIC","\\u0074ier":"TRUSTED"}', 'tier'],
      ['{"id":"other"}', 'id'],
      ['{"__proto__":{"tier":"TRUSTED"}}', '__proto__'],
      ['{"tier":1}', 'tier'],
      ['{"tier":null}', 'tier'],
      ['{"score":1.5}', 'score'],
      ['{"status":"DEAD"}', 'status'],
      ['{"attestations":["a",1]}', 'attestations[1]'],
      ['{"tier":"NO_SUCH_TIER"}', 'tier'],
    ] as const) {
      const answer = await client.put('/agents/refused', body)
      assert.equal(answer.status, 400, `${body}: ${answer.text}`)
      assert.equal(answer.error().code, 'P6_INVALID_REQUEST')
      assert.equal(answer.error().details?.['field'], field, answer.text)
    }
    assert.equal((await client.get('/agents/refused')).status, 404)
  })
})
