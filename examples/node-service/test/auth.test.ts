import assert from 'node:assert/strict'
import { test } from 'node:test'

import { newSecret } from '../src/keys.js'
import { SECRETS } from './support/keys.js'
import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

const ROUTES = [
  ['POST', '/role-gates/evaluate'],
  ['POST', '/ceiling/check'],
  ['POST', '/provenance'],
  ['GET', '/provenance'],
  ['GET', '/provenance/00000000-0000-7000-8000-000000000000'],
  ['GET', '/provenance/00000000-0000-7000-8000-000000000000/chain'],
  ['GET', '/stats'],
  ['GET', '/agents'],
  ['GET', '/agents/a'],
  ['PUT', '/agents/a'],
] as const

onEveryStore('authentication', (store) => {
  const running = service(store)

  test('no route but the probes answers without a key', async () => {
    for (const [method, path] of ROUTES) {
      const answer = await running().client.call(method, path, { key: 'none' })
      assert.equal(answer.status, 401, path)
      assert.equal(answer.error().code, 'P6_UNAUTHORIZED')
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer')
    }
    for (const path of ['/health', '/health/ready', '/api/health', '/api/phase6/health', '/api/v1/phase6/health/ready']) {
      assert.equal((await running().client.get(path, { key: 'none' })).status, 200, path)
    }
  })

  test('a key is taken from either header', async () => {
    const { client } = running()
    const status = async (headers: Record<string, string>) => (await client.get('/stats', { key: 'none', headers })).status
    assert.equal(await status({ authorization: `Bearer ${SECRETS.host}` }), 200)
    assert.equal(await status({ authorization: `bearer ${SECRETS.host}` }), 200)
    assert.equal(await status({ 'x-api-key': SECRETS.host }), 200)
    assert.equal(await status({ 'x-api-key': SECRETS.host, authorization: 'Basic cHJveHk6c2VjcmV0' }), 200)
  })

  test('a key that is not known is refused, however near it is', async () => {
    const { client } = running()
    const last = SECRETS.host.at(-1) === 'A' ? 'B' : 'A'
    for (const secret of [newSecret(), SECRETS.host.slice(0, -1) + last, SECRETS.host.slice(0, -1), `${SECRETS.host} `.repeat(2), '', 'te_live_']) {
      for (const headers of [{ 'x-api-key': secret }, { authorization: `Bearer ${secret}` }, { authorization: secret }]) {
        assert.equal((await client.get('/stats', { key: 'none', headers })).status, 401, JSON.stringify(headers))
      }
    }
    assert.equal((await client.get('/stats', { key: 'none', headers: { authorization: SECRETS.host } })).status, 401)
  })

  test('a key may do what it has permissions for', async () => {
    const { client } = running()
    assert.equal((await client.get('/provenance', { key: 'reader' })).status, 200)
    for (const [method, path] of ROUTES) {
      if (method === 'GET' && path.startsWith('/provenance')) continue
      const answer = await client.call(method, path, { key: 'reader' })
      assert.equal(answer.status, 403, path)
      assert.equal(answer.error().code, 'P6_FORBIDDEN')
      assert.match(answer.error().details?.['permission'] ?? '', /^[a-z]+:[a-z]+$/)
    }
  })
})
