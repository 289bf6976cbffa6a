import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { PageAnswer, RecordAnswer } from './support/client.js'
import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

onEveryStore('provenance', (store) => {
  const running = service(store)

  test('a record comes back as it was committed', async () => {
    const { client } = running()
    const parent = await client.record('written')
    const answer = await client.post('/provenance', {
      type: 'ALERT',
      agentId: 'written',
      decision: 'DENY',
      reason: 'too many “retries”',
      context: { resourceId: 'dataset_001', list: [1, { deep: null }] },
      parentId: parent.id,
    })
    assert.equal(answer.status, 201)
    const record = answer.json<RecordAnswer>()
    assert.deepEqual(
      { type: record.type, agentId: record.agentId, decision: record.decision, reason: record.reason, context: record.context, parentId: record.parentId },
      {
        type: 'ALERT',
        agentId: 'written',
        decision: 'DENY',
        reason: 'too many “retries”',
        context: { resourceId: 'dataset_001', list: [1, { deep: null }] },
        parentId: parent.id,
      },
    )
    const read = await client.get(`/provenance/${record.id}`)
    assert.equal(read.status, 200)
    assert.deepEqual(read.json(), record)
  })

  test('a record may be kept by who reads it, a page may not', async () => {
    const { client } = running()
    const { id } = await client.record('kept')
    const caching = async (path: string) => (await client.get(path)).headers.get('cache-control')
    assert.equal(await caching(`/provenance/${id}`), 'private, immutable, max-age=31536000')
    assert.equal(await caching(`/provenance/${id}/chain`), 'private, immutable, max-age=31536000')
    assert.equal(await caching('/provenance?agentId=kept'), 'no-store')
    assert.equal(await caching('/provenance/00000000-0000-7000-8000-000000000000'), 'no-store')
  })

  test('organizations may choose the same id, and neither hides the other', async () => {
    const { client } = running()
    const id = '5b0d1f5e-7a0c-4b7e-8d55-8a3a1c0de111'
    const write = (agentId: string, key: 'host' | 'stranger' = 'host') =>
      client.post('/provenance', { id, type: 'ALERT', agentId, decision: 'DENY' }, { key })
    assert.equal((await write('ours')).status, 201)
    assert.equal((await write('theirs', 'stranger')).status, 201)
    const agentOf = async (path: string, key: 'stranger' | 'auditor') => (await client.get(path, { key })).json<RecordAnswer>().agentId
    assert.equal((await client.get(`/provenance/${id}`)).json<RecordAnswer>().agentId, 'ours')
    assert.equal(await agentOf(`/provenance/${id}`, 'stranger'), 'theirs')
    const ambiguous = await client.get(`/provenance/${id}`, { key: 'auditor' })
    assert.deepEqual([ambiguous.status, ambiguous.error().details?.field], [400, 'organization'])
    assert.equal(await agentOf(`/provenance/${id}?organizationId=default`, 'auditor'), 'ours')
    const refused = await client.get(`/provenance/${id}?organizationId=default`, { key: 'stranger' })
    assert.equal(refused.error().code, 'P6_FORBIDDEN')
  })

  test('a record says who wrote it, for whom, and in which trace', async () => {
    const { client } = running()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const body = { type: 'ESCALATION', agentId: 'traced', decision: 'APPROVED_BY_TWO', onBehalfOf: 'user-7' }
    const record = (await client.post('/provenance', body, { headers: { traceparent } })).json<RecordAnswer>()
    const said = ({ source, decision, onBehalfOf, traceparent }: RecordAnswer) => ({ source, decision, onBehalfOf, traceparent })
    assert.deepEqual(said(record), { source: 'HOST', decision: 'APPROVED_BY_TWO', onBehalfOf: 'user-7', traceparent })
    const found = (await client.get('/provenance?decision=APPROVED_BY_TWO')).json<PageAnswer>()
    assert.deepEqual(found.data.map((record) => record.id), [record.id])

    const gate = { agentId: 'traced', role: 'DATA_ANALYST', onBehalfOf: 'user-7' }
    const { provenanceId } = (await client.post('/role-gates/evaluate', gate, { headers: { traceparent } })).json<{ provenanceId: string }>()
    const verdict = (await client.get(`/provenance/${provenanceId}`)).json<RecordAnswer>()
    assert.deepEqual(said(verdict), { source: 'ENGINE', decision: 'DENY', onBehalfOf: 'user-7', traceparent })
    // A header that is none is left out, as the recommendation wants it.
    const odd = await client.post('/provenance', body, { headers: { traceparent: '00-0-0-00' } })
    assert.deepEqual([odd.status, odd.json<RecordAnswer>().traceparent], [201, undefined])
  })

  test('a record of another organization is not there, but for the fleet', async () => {
    const { client } = running()
    const { id } = await client.record('secret', {}, { key: 'stranger' })
    for (const path of [`/provenance/${id}`, `/provenance/${id}/chain`]) {
      const answer = await client.get(path)
      assert.equal(answer.status, 404, path)
      assert.equal(answer.error().code, 'P6_NOT_FOUND')
      assert.equal((await client.get(path, { key: 'auditor' })).status, 200, path)
    }
    const page = await client.get('/provenance?agentId=secret')
    assert.deepEqual(page.json<PageAnswer>(), { data: [], nextPageToken: null })
  })

  test('a chain leads from a record to what it follows from', async () => {
    const { client } = running()
    const ids: string[] = []
    for (let level = 0; level < 5; level++) {
      const parentId = ids.at(-1)
      ids.push((await client.record('chained', parentId === undefined ? {} : { parentId })).id)
    }
    const chain = async (query: string) => (await client.get(`/provenance/${ids[4]}/chain${query}`)).json<{ root: RecordAnswer; chain: RecordAnswer[]; depth: number }>()
    const whole = await chain('')
    assert.deepEqual(whole.chain.map((record) => record.id), ids.toReversed())
    assert.deepEqual([whole.root.id, whole.depth], [ids[0], 4])
    assert.deepEqual((await chain('?depth=2')).chain.map((record) => record.id), ids.slice(2).reverse())
  })

  test('a search filters by agent, decision and time', async () => {
    const { client } = running()
    const allowed = await client.record('sought')
    const denied = await client.record('sought', { decision: 'DENY' })
    await client.record('other')
    const found = async (query: string) =>
      (await client.get(`/provenance?agentId=sought${query}`)).json<PageAnswer>().data.map((record) => record.id)
    assert.deepEqual(await found(''), [denied.id, allowed.id])
    assert.deepEqual(await found('&decisionType=DENY'), [denied.id])
    assert.deepEqual(await found(`&startTime=${denied.timestamp}`), [denied.id])
    assert.deepEqual(await found(`&endTime=${denied.timestamp}`), [allowed.id])
  })

  test('what is internal is shown to auditors of the fleet who ask for it', async () => {
    const { client } = running()
    await client.put('/agents/inner', { tier: 'BASIC' })
    const types = async (query: string) =>
      (await client.get(`/provenance?agentId=inner${query}`, { key: 'auditor' })).json<PageAnswer>().data.map((record) => record.type)
    assert.deepEqual(await types(''), [])
    assert.equal((await client.get('/provenance?includeInternal=true')).status, 403)
    // A type of which nothing is shown is refused, and no log is read in search of it.
    assert.equal((await client.get('/provenance?decisionType=AGENT', { key: 'auditor' })).status, 403)
    assert.deepEqual(await types('&includeInternal=true'), ['AGENT'])
    assert.deepEqual(await types('&includeInternal=true&decisionType=AGENT'), ['AGENT'])
    assert.deepEqual(await types('&decisionType=ALERT'), [])
  })

  test('pages hold still while others write', async () => {
    const { client } = running()
    const written: string[] = []
    for (let count = 0; count < 30; count++) written.push((await client.record('paged')).id)
    const pages = await client.pages('agentId=paged&pageSize=7', async () => {
      await Promise.all(Array.from({ length: 8 }, () => client.record('paged')))
    })
    assert.deepEqual(pages.flat().map((record) => record.id), written.toReversed())
    assert.ok(pages.every((page) => page.length <= 7))
  })

  test('a page has 20 records unless asked for another number', async () => {
    const { client } = running()
    for (let count = 0; count < 21; count++) await client.record('many')
    const sizeOf = async (query: string) => (await client.get(`/provenance?agentId=many${query}`)).json<PageAnswer>().data.length
    assert.deepEqual([await sizeOf(''), await sizeOf('&pageSize=1'), await sizeOf('&pageSize=100')], [20, 1, 21])
  })

  test('the same id with the same content is the same record, with other content a conflict', async () => {
    const { client } = running()
    const id = '01900000-0000-7000-8000-00000000cafe'
    const first = await client.record('twice', { id })
    const again = await client.record('twice', { id })
    assert.deepEqual([again.id, again.signature], [first.id, first.signature])
    const other = await client.post('/provenance', { type: 'ALERT', agentId: 'twice', decision: 'DENY', id })
    assert.equal(other.status, 409)
    assert.equal(other.error().code, 'P6_CONFLICT')
  })
})
