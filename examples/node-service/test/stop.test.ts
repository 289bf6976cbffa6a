import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'

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

/** A request that has begun and is not complete. */
async function begun(port: number, agentId: string): Promise<{ socket: Socket; finish(): Promise<string> }> {
  const body = JSON.stringify({ type: 'ESCALATION', agentId, decision: 'ALLOW' })
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const head = ['POST /api/phase6/provenance HTTP/1.1', 'Host: a', `X-API-Key: ${SECRETS.host}`, 'Content-Type: application/json']
  // Node has read the head when it answers that it wants the rest.
  socket.write(`${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n${body.slice(0, 10)}`)
  await once(socket, 'data')
  return {
    socket,
    finish: async () => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.write(body.slice(10))
      await once(socket, 'close')
      return Buffer.concat(chunks).toString()
    },
  }
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

  test('a request that never completes is waited for only so long', async () => {
    const service = await ServiceProcess.listening({ ...store.env, SHUTDOWN_TIMEOUT_SECONDS: '1' })
    const { socket } = await begun(service.port, 'never')
    socket.on('error', () => {})
    service.kill('SIGTERM')
    const { code, stdout } = await service.ended
    assert.equal(code, 1)
    assert.match(stdout, /still under way after 1 s/)
  })

  test('a second signal ends it at once', async () => {
    const service = await ServiceProcess.listening({ ...store.env, SHUTDOWN_TIMEOUT_SECONDS: '600' })
    const { socket } = await begun(service.port, 'never')
    socket.on('error', () => {})
    service.kill('SIGTERM')
    await service.line('stopping')
    service.kill('SIGINT')
    assert.equal((await service.ended).code, 1)
  })
})
