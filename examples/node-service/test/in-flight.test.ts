import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'

import { type Begun, begun } from './support/begun.js'
import { SECRETS } from './support/keys.js'
import { type Running, service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

const LIMIT = 2

onEveryStore('requests in flight', (store) => {
  const running = service(store, { MAX_REQUESTS_IN_FLIGHT: String(LIMIT) })

  test('those above the limit are turned away, without their bodies', async () => {
    const { client, port } = running()
    const requests = await fill(running())

    const answer = await client.get('/stats')
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
    const { code, retryAfter, requestId } = answer.error()
    assert.deepEqual([code, retryAfter, requestId], ['P6_UNAVAILABLE', 1, answer.headers.get('x-request-id')])

    const socket = connect(port, '127.0.0.1')
    socket.write(`POST /api/phase6/provenance HTTP/1.1\r\nHost: a\r\nX-API-Key: ${SECRETS.host}\r\nContent-Length: 100\r\n\r\n`)
    const [head] = (await once(socket, 'data')) as [Buffer]
    assert.match(head.toString(), /^HTTP\/1\.1 503 /)
    socket.destroy()

    assert.equal((await client.get('/health', { key: 'none' })).status, 200)
    assert.equal((await client.get('/api/phase6/health/ready', { key: 'none' })).status, 200)
    assert.equal((await client.get('/stats', { key: 'none' })).status, 401)

    for (const { finish } of requests) assert.match(await finish(), /^HTTP\/1\.1 201 /)
    assert.equal((await client.get('/stats')).status, 200)
  })

  test('each makes room once, however it ends', { timeout: 20_000 }, async () => {
    const { client, port } = running()
    for (const [method, path, body] of [
      ['GET', '/stats', undefined],
      ['HEAD', '/stats', undefined],
      ['GET', '/provenance/7', undefined],
      ['POST', '/provenance', '{'],
      ['POST', '/provenance', 'x'.repeat(70_000)],
      ['PUT', '/agents/a', '{'],
      ['GET', '/stats', undefined],
    ] as const) {
      await client.call(method, path, body === undefined ? {} : { body })
    }
    await client.post('/provenance', '{}', { headers: { 'content-type': 'text/plain' } })
    assert.equal((await client.get('/stats', { key: 'none' })).status, 401)
    assert.equal((await client.get('/agents/a', { key: 'reader' })).status, 403)

    const request = `GET /api/phase6/provenance HTTP/1.1\r\nHost: a\r\nX-API-Key: ${SECRETS.host}\r\n\r\n`
    const socket = connect(port, '127.0.0.1')
    socket.write(request.repeat(10))
    await once(socket, 'data')
    socket.destroy()

    for (const { socket } of await fill(running())) socket.destroy()

    for (const { finish } of await fill(running())) assert.match(await finish(), /^HTTP\/1\.1 201 /)
  })
})

/** Begins as many requests as there may be, and no more, when there is room for all. */
async function fill({ client, port }: Running): Promise<Begun[]> {
  const requests: Begun[] = []
  while (requests.length < LIMIT) {
    while ((await client.get('/agents/a')).status === 503) await setTimeout(20)
    requests.push(await begun(port, 'waiting', 'Connection: close'))
  }
  assert.equal((await client.get('/agents/a')).status, 503)
  return requests
}
