import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import type { Health } from 'trust-engine'

import { HealthProbe } from '../src/health.js'
import { service } from './support/service.js'
import { onEveryStore } from './support/stores.js'

interface HealthAnswer {
  status: string
  version: string
  timestamp: string
  checks: Health
}

onEveryStore('health', (store) => {
  const running = service(store)

  test('a service whose stores answer is healthy and ready', async () => {
    for (const path of ['/health', '/health/ready']) {
      const answer = await running().client.get(path)
      assert.equal(answer.status, 200)
      const { status, version, timestamp, checks } = answer.json<HealthAnswer>()
      assert.equal(status, 'healthy')
      assert.match(version, /^\d+\.\d+\.\d+/)
      assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000)
      assert.deepEqual(checks, 'REDIS_URL' in store.env ? { database: 'up', redis: 'up' } : { database: 'up' })
    }
  })

  test('a service that is about to stop is not ready', async () => {
    const { client, probe } = running()
    probe.draining = true
    assert.equal((await client.get('/health/ready')).status, 503)
    assert.equal((await client.get('/health')).status, 200)
    probe.draining = false
    assert.equal((await client.get('/health/ready')).status, 200)
  })
})

describe('the probe', () => {
  test('asks once for all who want to know at the same time', async () => {
    let asked = 0
    const probe = new HealthProbe({ health: async () => ({ database: asked++ === 0 ? 'up' : 'down' }) }, false)
    const answers = await Promise.all([probe.checks(), probe.checks(), probe.checks()])
    assert.deepEqual([asked, answers], [1, Array(3).fill({ database: 'up' })])
  })

  test('takes a store that does not answer for one that is down', async () => {
    const silent = new HealthProbe({ health: () => new Promise(() => {}) }, true, 1000, 1)
    assert.deepEqual(await silent.checks(), { database: 'down', redis: 'down' })
  })

  test('takes an engine that was closed for one that is down', async () => {
    const closed = new HealthProbe({ health: () => Promise.reject(new Error('closed')) }, false)
    assert.deepEqual(await closed.checks(), { database: 'down' })
  })
})
