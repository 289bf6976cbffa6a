import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'

import type { FastifyBaseLogger } from 'fastify'

import { closeEngine } from '../src/shutdown.js'
import { begun } from './support/begun.js'
import type { Client, RecordAnswer } from './support/client.js'
import { SECRETS } from './support/keys.js'
import { ServiceProcess } from './support/process.js'
import { onEveryStore } from './support/stores.js'

const WRITERS = 16
const ENOUGH = 300

/** Writes records until the service is gone; gives the ids that it acknowledged. `enough` is called after a few hundred. */
async function writeUntilGone(client: Client, agentId: string, enough: () => void): Promise<string[]> {
  const acknowledged: string[] = []
  const write = async () => {
    for (;;) {
      try {
        acknowledged.push((await client.record(agentId)).id)
      } catch {
        return
      }
      if (acknowledged.length === ENOUGH) enough()
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, write))
  return acknowledged
}

async function idsOf(client: Client, agentId: string): Promise<Set<string>> {
  const pages = await client.pages(`agentId=${agentId}&pageSize=100`)
  return new Set(pages.flat().map((record) => record.id))
}

/** Asks for more than fits between two programs, and reads none of it. */
async function unread({ client, port }: { client: Client; port: number }): Promise<{ socket: Socket }> {
  for (let count = 0; count < 20; count++) await client.record('large', { context: { text: 'x'.repeat(15_000) } })
  const socket = connect(port, '127.0.0.1').pause()
  const request = `GET /api/phase6/provenance?agentId=large HTTP/1.1\r\nHost: a\r\nX-API-Key: ${SECRETS.host}\r\n\r\n`
  socket.write(request.repeat(20))
  await setTimeout(200)
  return { socket }
}

onEveryStore('stopping', (store) => {
  test('after SIGTERM under load every acknowledged record is there', async () => {
    const first = await ServiceProcess.listening(store.env)
    const acknowledged = await writeUntilGone(first.client, 'drained', () => first.kill('SIGTERM'))
    const { code, stderr } = await first.ended
    assert.deepEqual([code, stderr], [0, ''])
    assert.ok(acknowledged.length >= ENOUGH)

    const second = await ServiceProcess.listening(store.env)
    const found = await idsOf(second.client, 'drained')
    assert.deepEqual(acknowledged.filter((id) => !found.has(id)), [])
    second.kill('SIGINT')
    assert.equal((await second.ended).code, 0)
  })

  test('after kill -9 under load every acknowledged record is there', async () => {
    const first = await ServiceProcess.listening(store.env)
    const acknowledged = await writeUntilGone(first.client, 'killed', () => first.kill('SIGKILL'))
    assert.equal((await first.ended).signal, 'SIGKILL')
    assert.ok(acknowledged.length >= ENOUGH)

    const second = await ServiceProcess.listening(store.env)
    const found = await idsOf(second.client, 'killed')
    assert.deepEqual(acknowledged.filter((id) => !found.has(id)), [])
    second.kill('SIGTERM')
    assert.equal((await second.ended).code, 0)
  })

  test('a request that had begun is answered, connections without one are closed', async () => {
    const service = await ServiceProcess.listening(store.env)
    const silent = connect(service.port, '127.0.0.1')
    await once(silent, 'connect')
    const { finish } = await begun(service.port, 'late')
    service.kill('SIGTERM')
    await service.line('stopping')
    await once(silent.resume(), 'close')
    await assert.rejects(service.client.get('/health'))

    const answer = await finish()
    assert.match(answer, /^HTTP\/1\.1 201 /)
    assert.equal((await service.ended).code, 0)

    const next = await ServiceProcess.listening(store.env)
    const { id } = JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as RecordAnswer
    assert.equal((await next.client.get(`/provenance/${id}`)).status, 200)
    next.kill('SIGTERM')
    await next.ended
  })

  test('whoever stalls is waited for only so long, and the engine is closed', async () => {
    const service = await ServiceProcess.listening({ ...store.env, SHUTDOWN_TIMEOUT_SECONDS: '1' })
    const half = await begun(service.port, 'never')
    const deaf = await unread(service)
    for (const { socket } of [half, deaf]) socket.on('error', () => {})
    service.kill('SIGTERM')
    const { code, stdout } = await service.ended
    assert.equal(code, 1)
    assert.match(stdout, /still under way: cutting[^]*the engine is closed/)
    deaf.socket.destroy()
  })

  test('a second signal ends the wait, and the engine is closed', async () => {
    const service = await ServiceProcess.listening({ ...store.env, SHUTDOWN_TIMEOUT_SECONDS: '600' })
    const { socket } = await begun(service.port, 'never')
    socket.on('error', () => {})
    service.kill('SIGTERM')
    await service.line('stopping')
    service.kill('SIGINT')
    const { code, stdout } = await service.ended
    assert.equal(code, 1)
    assert.match(stdout, /a second signal[^]*the engine is closed/)
  })
})

describe('the engine', () => {
  const log = { info() {}, error() {} } as unknown as FastifyBaseLogger

  test('is waited for only so long', async () => {
    const limit = new AbortController()
    void setTimeout(10).then(() => limit.abort())
    assert.equal(await closeEngine(log, { close: () => new Promise(() => {}) }, limit.signal), false)
  })

  test('may fail to close', async () => {
    const { signal } = new AbortController()
    assert.equal(await closeEngine(log, { close: () => Promise.reject(new Error('away')) }, signal), false)
    assert.equal(await closeEngine(log, { close: async () => {} }, signal), true)
  })
})
