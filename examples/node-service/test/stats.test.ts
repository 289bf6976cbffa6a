import assert from 'node:assert/strict'
import { test } from 'node:test'

import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

interface Stats {
  roleGates: { total: number }
  provenance: { totalRecords: number; byType: Record<string, number>; queued?: number; committed?: number; commits?: number }
  timestamp: string
}

onEveryStore('statistics', (store) => {
  const running = service(store)

  test('they are answered from the cache, one for each range and organization', async () => {
    const { client } = running()
    await client.record('counted')
    const first = await client.get('/stats')
    assert.equal(first.headers.get('x-cache'), 'MISS')
    assert.equal(first.json<Stats>().provenance.byType['ESCALATION'], 1)

    await client.record('counted')
    const second = await client.get('/stats?timeRange=24h')
    assert.equal(second.headers.get('x-cache'), 'HIT')
    assert.equal(second.text, first.text)

    const cached = async (path: string, key: 'host' | 'stranger' | 'auditor') => (await client.get(path, { key })).headers.get('x-cache')
    assert.equal(await cached('/stats?timeRange=1h', 'host'), 'MISS')
    assert.equal(await cached('/stats', 'stranger'), 'MISS')
    assert.equal(await cached('/stats', 'auditor'), 'MISS')
    assert.equal(await cached('/stats', 'auditor'), 'HIT')
  })

  test('they are of the key’s organization, and for the fleet of any', async () => {
    const { client } = running()
    await client.record('foreign', {}, { key: 'stranger' })
    const escalations = async (path: string, key: 'stranger' | 'auditor') =>
      (await client.get(path, { key })).json<Stats>().provenance.byType['ESCALATION']
    assert.equal(await escalations('/stats?timeRange=6h', 'stranger'), 1)
    assert.equal(await escalations('/stats?timeRange=6h&organizationId=acme', 'auditor'), 1)
    assert.equal(await escalations('/stats?timeRange=6h', 'auditor'), 3)

    const refused = await client.get('/stats?organizationId=acme')
    assert.equal(refused.status, 403)
    assert.equal((await client.get('/stats?organizationId=default')).status, 200)
  })

  test('no organization is taken for all of them', async () => {
    const { client } = running()
    await client.record('counted')
    const get = (path: string) => client.get(path, { key: 'auditor' })
    assert.notEqual((await get('/stats?timeRange=7d')).json<Stats>().provenance.totalRecords, 0)
    assert.equal((await get('/stats?timeRange=7d&organizationId=null')).json<Stats>().provenance.totalRecords, 0)
    assert.equal((await get('/stats?timeRange=7d&organizationId=*')).status, 400)
  })

  test('what the engine does for others is only in those of all organizations', async () => {
    const { client } = running()
    const numbers = async (key: 'host' | 'auditor', path = '/stats?timeRange=30d') =>
      Object.keys((await client.get(path, { key })).json<Stats>().provenance).sort()
    assert.deepEqual(await numbers('host'), ['aheadSeconds', 'byType', 'totalRecords'])
    assert.deepEqual(await numbers('auditor', '/stats?timeRange=30d&organizationId=acme'), ['aheadSeconds', 'byType', 'totalRecords'])
    assert.deepEqual(await numbers('auditor'), ['aheadSeconds', 'byType', 'commits', 'committed', 'queued', 'totalRecords'])
  })
})

onEveryStore('statistics that are not kept', (store) => {
  const running = service(store, { STATS_TTL_SECONDS: '0' })

  test('they are asked for anew', async () => {
    const { client } = running()
    for (let time = 0; time < 2; time++) assert.equal((await client.get('/stats')).headers.get('x-cache'), 'MISS')
  })
})
