import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'

import type { Answer } from './support/client.js'
import { SECRETS } from './support/keys.js'
import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

const GATE = '{"agentId":"a","role":"READER"'
const CEILING = '{"agentId":"a","resourceType":"API_CALLS"'
const RECORD = '{"type":"ALERT","agentId":"a","decision":"DENY"'

/** JSON of an object in an object in an object. */
function nested(depth: number): string {
  return '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
}

/** The answers on a connection that is sent several pieces at once: the status, and which agent it is about. */
async function answersTo(port: number, pieces: readonly string[]): Promise<string[]> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  for (const piece of pieces) {
    socket.write(piece)
    await setImmediate()
  }
  await once(socket, 'close')
  const [before, ...answers] = Buffer.concat(chunks).toString().split(/HTTP\/1\.1 /)
  assert.equal(before, '')
  return answers.map((answer) => {
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    assert.equal(Number(/content-length: (\d+)/i.exec(head)?.[1]), Buffer.byteLength(body), answer)
    return [head.slice(0, 3), (JSON.parse(body) as { agentId?: string }).agentId].filter(Boolean).join(' ')
  })
}

function assertRefused(answer: Answer, field?: string): void {
  assert.equal(answer.status, 400, answer.text)
  assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
  const error = answer.error()
  assert.equal(error.code, 'P6_INVALID_REQUEST')
  assert.ok(error.message)
  assert.equal(error.requestId, answer.headers.get('x-request-id'))
  if (field !== undefined) assert.equal(error.details?.['field'], field, answer.text)
}

onEveryStore('errors', (store) => {
  const running = service(store)

  for (const [what, path, body, field] of [
    ['no body', '/role-gates/evaluate', '', 'body'],
    ['no JSON', '/role-gates/evaluate', '{"agentId"', 'body'],
    ['no object', '/role-gates/evaluate', '"text"', 'body'],
    ['text behind the object', '/role-gates/evaluate', `${GATE}} {}`, 'body'],
    ['a name twice', '/role-gates/evaluate', `${GATE},"agentId":"b"}`, 'agentId'],
    ['a name twice in metadata', '/role-gates/evaluate', `${GATE},"context":{"metadata":{"x":1,"x":2}}}`, undefined],
    ['an unknown field', '/role-gates/evaluate', `${GATE},"admin":true}`, 'admin'],
    ['a missing field', '/role-gates/evaluate', '{"agentId":"a"}', 'role'],
    ['a wrong type', '/role-gates/evaluate', '{"agentId":7,"role":"READER"}', 'agentId'],
    ['an empty id', '/role-gates/evaluate', '{"agentId":"","role":"READER"}', 'agentId'],
    ['metadata too deep', '/role-gates/evaluate', `${GATE},"context":{"metadata":${nested(9)}}}`, undefined],
    ['JSON too deep', '/role-gates/evaluate', `${GATE},"context":{"metadata":${nested(5000)}}}`, undefined],
    ['bytes that are no UTF-8', '/role-gates/evaluate', Buffer.concat([Buffer.from('{"agentId":"'), Buffer.from([0xff]), Buffer.from('","role":"READER"}')]), undefined],

    ['a missing amount', '/ceiling/check', `${CEILING}}`, 'requestedAmount'],
    ['an amount of zero', '/ceiling/check', `${CEILING},"requestedAmount":0}`, 'requestedAmount'],
    ['a negative amount', '/ceiling/check', `${CEILING},"requestedAmount":-1}`, 'requestedAmount'],
    ['a fractional amount', '/ceiling/check', `${CEILING},"requestedAmount":1.5}`, 'requestedAmount'],
    ['an amount of 2^40', '/ceiling/check', `${CEILING},"requestedAmount":1099511627776}`, 'requestedAmount'],
    ['an amount as text', '/ceiling/check', `${CEILING},"requestedAmount":"1"}`, 'requestedAmount'],
    ['a resource twice', '/ceiling/check', `${CEILING},"requestedAmount":1,"resourceType":"STORAGE"}`, 'resourceType'],

    ['an internal type', '/provenance', '{"type":"POLICY","agentId":"a","decision":"DENY"}', undefined],
    ['a misspelt decision', '/provenance', '{"type":"ALERT","agentId":"a","decision":"Deny"}', 'decision'],
    ['a parent that is no UUID', '/provenance', `${RECORD},"parentId":"7"}`, 'parentId'],
    ['a number that cannot be kept', '/provenance', `${RECORD},"context":{"n":12345678901234567890123}}`, undefined],
  ] as const) {
    test(`${path} refuses ${what}`, async () => {
      assertRefused(await running().client.post(path, body), field)
    })
  }

  test('a body of 64 KiB is read and a longer one is not', async () => {
    const { client } = running()
    const body = (bytes: number) => RECORD + '}' + ' '.repeat(bytes - RECORD.length - 1)
    assert.equal((await client.post('/provenance', body(65_536))).status, 201)
    assertRefused(await client.post('/provenance', body(65_537)), 'body')
  })

  test('a body of another type is not read', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'nonsense']) {
      assertRefused(await running().client.post('/provenance', `${RECORD}}`, { headers: { 'content-type': type } }), 'Content-Type')
    }
  })

  for (const [path, field] of [
    ['/provenance/7', 'id'],
    ['/provenance/7/chain', 'id'],
    ['/provenance/00000000-0000-7000-8000-000000000000/chain?depth=0', 'depth'],
    ['/provenance/00000000-0000-7000-8000-000000000000/chain?depth=101', 'depth'],
    ['/provenance/00000000-0000-7000-8000-000000000000/chain?depth=1e1', 'depth'],
    ['/provenance/%ff', undefined],
    [`/provenance/${'x'.repeat(2000)}`, undefined],
    ['/provenance?pageSize=0', 'pageSize'],
    ['/provenance?pageSize=101', 'pageSize'],
    ['/provenance?pageSize=ten', 'pageSize'],
    ['/provenance?pageToken=made-up', undefined],
    ['/provenance?startTime=yesterday', 'startTime'],
    ['/provenance?startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z', undefined],
    ['/provenance?decisionType=PERHAPS', 'decisionType'],
    ['/provenance?agentId=', undefined],
    ['/provenance?agentID=a', 'agentID'],
    ['/provenance?pageSize=1&pageSize=2', 'pageSize'],
    ['/stats?timeRange=2h', 'timeRange'],
    ['/stats?timeRange=1h&timeRange=6h', 'timeRange'],
    ['/agents/a?agentId=b', 'agentId'],
    ['/log/x/checkpoint', 'shard'],
    ['/stats?organizationId=', undefined],
  ] as const) {
    test(`GET ${path.slice(0, 80)} is refused`, async () => {
      const key = path.startsWith('/stats?organizationId') ? 'auditor' : 'host'
      assertRefused(await running().client.get(path, { key }), field)
    })
  }

  test('what was sent is told back clipped and on one line', async () => {
    const { client } = running()
    const long = `a\n\u0000\u2028\u202e${'😀'.repeat(5000)}`
    const json = JSON.stringify(long)
    for (const answer of [
      await client.put('/agents/a', `{${json}:1}`),
      await client.put('/agents/a', `{${json}:1,${json}:2}`),
      await client.get(`/provenance?${encodeURIComponent(long.slice(0, 501))}=1`),
    ]) {
      assertRefused(answer)
      const { message, details } = answer.error()
      const field = details?.['field'] ?? ''
      assert.match(field, /^a\ufffd{4}😀+\ufffd?…$/u)
      assert.ok(field.length <= 101 && message.length < 400, message)
    }
    const engine = await client.put('/agents/a', { tier: long })
    assertRefused(engine, 'tier')
    assert.ok(engine.text.length < 2000)
    const missing = await client.put(`/agents/${encodeURIComponent('é'.repeat(125))}`, { version: 1 })
    assert.equal(missing.status, 409)
    assert.match(missing.error().message, /^agent é{100}… is not registered$/)
  })

  test('a page’s token of one search is refused by another', async () => {
    const { client } = running()
    for (let count = 0; count < 2; count++) await client.record('tokens')
    const { nextPageToken } = (await client.get('/provenance?agentId=tokens&pageSize=1')).json<{ nextPageToken: string }>()
    assertRefused(await client.get(`/provenance?agentId=other&pageToken=${nextPageToken}`))
  })

  test('what is not there is a 404 of the contract', async () => {
    for (const [method, path] of [
      ['GET', '/provenance/00000000-0000-7000-8000-000000000000'],
      ['GET', '/nothing'],
      ['GET', '/api/phase7/stats'],
      ['DELETE', '/stats'],
      ['GET', '/role-gates/evaluate'],
      ['POST', '/stats'],
    ] as const) {
      const answer = await running().client.call(method, path)
      assert.equal(answer.status, 404, `${method} ${path}`)
      assert.equal(answer.error().code, 'P6_NOT_FOUND')
      assert.equal(answer.error().requestId, answer.headers.get('x-request-id'))
    }
  })

  test('a record cannot follow from one that is not there', async () => {
    const answer = await running().client.post('/provenance', `${RECORD},"parentId":"00000000-0000-7000-8000-000000000000"}`)
    assert.equal(answer.status, 404)
    assert.equal(answer.error().details?.['field'], 'parentId')
  })

  test('a sane request id is kept and any other is replaced', async () => {
    const { client } = running()
    const echoed = async (id: string) => {
      const answer = await client.get('/provenance/7', { headers: { 'x-request-id': id } })
      assert.equal(answer.error().requestId, answer.headers.get('x-request-id'))
      return answer.headers.get('x-request-id')
    }
    assert.equal(await echoed('trace-7'), 'trace-7')
    assert.equal(await echoed('x'.repeat(128)), 'x'.repeat(128))
    for (const odd of ['x'.repeat(129), 'a b', 'ä']) assert.match((await echoed(odd)) ?? '', /^[0-9a-f-]{36}$/)
  })

  test('every answer says that it is what it says it is, and is not to be kept', async () => {
    for (const path of ['/health', '/nothing', '/stats']) {
      const { headers } = await running().client.get(path)
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path)
      assert.equal(headers.get('cache-control'), 'no-store', path)
    }
  })

  test('what is no HTTP is answered behind what was asked before it', async () => {
    const record = (agentId: string, header = '') => {
      const body = JSON.stringify({ type: 'ALERT', agentId, decision: 'DENY' })
      const head = ['POST /api/phase6/provenance HTTP/1.1', 'Host: a', `X-API-Key: ${SECRETS.host}`, 'Content-Type: application/json']
      return `${head.join('\r\n')}\r\n${header}Content-Length: ${body.length}\r\n\r\n${body}`
    }
    const broken = 'NONSENSE\r\n\r\n'
    for (const [bytes, answers] of [
      [record('a') + broken, ['201 a', '400']],
      [record('a') + record('b') + broken + record('c'), ['201 a', '201 b', '400']],
      [record('a', 'Connection: close\r\n') + broken, ['201 a']],
      [broken + record('a'), ['400']],
      [record('a').replace('Content-Length: ', 'Transfer-Encoding: chunked\r\nX: '), ['400']],
    ] as const) {
      assert.deepEqual(await answersTo(running().port, [bytes]), answers, bytes)
    }
    assert.deepEqual(await answersTo(running().port, [record('a'), broken, broken, broken]), ['201 a', '400'])
  })

  test('who was told so and stays is cut off', async () => {
    const { app, port } = running()
    const connections = promisify(app.server.getConnections.bind(app.server))
    app.server.closeIdleConnections()
    while ((await connections()) > 0) await setTimeout(10)
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.write('NONSENSE\r\n\r\n')
    await once(socket.resume(), 'end')
    assert.equal(await connections(), 1)
    while ((await connections()) > 0) await setTimeout(50)
    socket.destroy()
  })

  test('a request has one time limit, for its head and its body', () => {
    const { server } = running().app
    assert.deepEqual([server.headersTimeout, server.requestTimeout], [30_000, 30_000])
  })

  test('what is no HTTP is answered in in the same shape', async () => {
    for (const bytes of ['NONSENSE\r\n\r\n', `GET /health HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`]) {
      const socket = connect(running().port, '127.0.0.1')
      socket.write(bytes)
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk))
      await once(socket, 'close')
      const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n')
      assert.match(head, /^HTTP\/1\.1 400 /)
      const error = JSON.parse(body) as { code: string; requestId: string }
      assert.equal(error.code, 'P6_INVALID_REQUEST')
      assert.match(head, new RegExp(`X-Request-Id: ${error.requestId}`))
    }
  })
})
