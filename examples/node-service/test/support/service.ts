// The service in this process, with the real engine.
import type { AddressInfo } from 'node:net'
import { after, before } from 'node:test'

import { readConfig } from '../../src/config.js'
import { openEngine } from '../../src/engine.js'
import { buildServer, type Service } from '../../src/server.js'
import { Client } from './client.js'
import { API_KEYS } from './keys.js'
import type { Store } from './stores.js'

export interface Running extends Service {
  readonly client: Client
  readonly port: number
}

/** Starts a service before the tests of a suite and stops it afterwards. */
export function service(store: Store, env: Record<string, string> = {}): () => Running {
  let running: Running | undefined
  let stop = async () => {}

  before(async () => {
    const config = readConfig({ LOG_LEVEL: 'silent', API_KEYS, ...store.env, ...env }, false)
    const engine = await openEngine(config)
    const { app, probe } = buildServer(config, engine)
    stop = async () => {
      app.server.closeAllConnections()
      await app.close()
      await engine.close()
    }
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    running = { app, probe, port, client: new Client(`http://127.0.0.1:${port}`) }
  })
  after(() => stop())

  return () => {
    if (!running) throw new Error('the service was not started')
    return running
  }
}
