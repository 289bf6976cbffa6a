import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import type { KeyEntry } from '../src/keys.js'
import { API_KEYS, SECRETS } from './support/keys.js'
import { ServiceProcess } from './support/process.js'

const folder = mkdtempSync(join(tmpdir(), 'trust-service-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const STORE_DIR = join(folder, 'store')

test('without keys it does not start, and opens nothing', async () => {
  const { code, stderr } = await new ServiceProcess({ STORE_DIR }).ended
  assert.equal(code, 2)
  assert.match(stderr, /API_KEYS_FILE/)
  assert.deepEqual(readdirSync(folder), [])
})

test('a wrong configuration is told line by line', async () => {
  const { code, stderr } = await new ServiceProcess({ API_KEYS, PORT: 'http', LOG_LEVEL: 'loud' }, []).ended
  assert.equal(code, 2)
  assert.deepEqual(stderr.trim().split('\n').map((line) => line.split(' ')[1]), ['PORT', 'LOG_LEVEL'])
  assert.equal((await new ServiceProcess({ API_KEYS }, ['--develop']).ended).code, 2)
  assert.match((await new ServiceProcess({ HOST: '0.0.0.0' }, ['--dev']).ended).stderr, /HOST must be/)
})

test('--dev makes a key for as long as it runs', async () => {
  const service = new ServiceProcess({ STORE_DIR, PORT: '0' }, ['--dev'])
  const port = /:(\d+)"/.exec(await service.line('Server listening at'))?.[1]
  service.kill('SIGTERM')
  const { code, stdout, stderr } = await service.ended
  assert.ok(port)
  assert.equal(code, 0)
  assert.match(stderr, /^--dev: .* te_live_[\w-]{43}\n$/)
  assert.doesNotMatch(stdout, /te_live_/)
})

test('a port that is taken is told', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { code, stderr } = await new ServiceProcess({ API_KEYS, STORE_DIR, PORT: String(port) }).ended
  server.close()
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port} is taken`))
})

test('a store that cannot be opened is told', async () => {
  const STORE_DIR = join(folder, 'file')
  writeFileSync(STORE_DIR, 'no store')
  const { code, stderr } = await new ServiceProcess({ API_KEYS, STORE_DIR }).ended
  assert.equal(code, 1)
  assert.match(stderr, /the engine cannot be opened: /)
})

test('the log holds no key, no query and no body', async () => {
  const service = await ServiceProcess.listening({ STORE_DIR, LOG_LEVEL: 'trace' })
  await service.client.record('agent-in-a-body', { reason: 'reason-in-a-body' })
  await service.client.get('/provenance?agentId=agent-in-a-query')
  await service.client.get('/agents/agent-in-a-path')
  await service.client.get('/provenance?agentId=agent-in-a-query&pageSize=none')
  service.kill('SIGTERM')
  const { stdout } = await service.ended
  assert.match(stdout, /"route":"\/api\/phase6\/provenance"/)
  assert.match(stdout, /"key":"host"/)
  for (const secret of [SECRETS.host, 'in-a-body', 'in-a-query', 'in-a-path']) assert.ok(!stdout.includes(secret), secret)
})

test('no key stays in memory', async () => {
    const options = `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}`
    const service = await ServiceProcess.listening({ STORE_DIR, NODE_OPTIONS: options })
    const { host, reader } = SECRETS
    for (const secret of [host, reader]) {
      const answer = await service.client.get('/provenance', { key: 'none', headers: { 'x-api-key': secret, connection: 'close' } })
      assert.equal(answer.status, 200)
    }
    service.kill('SIGUSR2')
    while (!readdirSync(folder).some((name) => name.endsWith('.heapsnapshot'))) await setTimeout(20)
    service.kill('SIGTERM')
    await service.ended
    const snapshot = readdirSync(folder).find((name) => name.endsWith('.heapsnapshot')) ?? ''
    const memory = readFileSync(join(folder, snapshot), 'utf8')
    assert.ok(memory.includes('provenance:read'))
    for (const secret of [host, reader]) assert.ok(!memory.includes(secret))
})

test('X-Forwarded-For is believed of the proxies that are named, and of no other', async () => {
  for (const [TRUST_PROXY, forwarded, ip] of [
    ['off', '1.2.3.4', '127.0.0.1'],
    ['10.0.0.0/8', '1.2.3.4', '127.0.0.1'],
    ['127.0.0.1', '1.2.3.4', '1.2.3.4'],
    ['127.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4'],
    ['127.0.0.1,10.0.0.0/8', '6.6.6.6, 1.2.3.4, 10.1.1.1', '1.2.3.4'],
  ] as const) {
    const service = await ServiceProcess.listening({ STORE_DIR, LOG_LEVEL: 'debug', TRUST_PROXY })
    await service.client.get('/stats', { headers: { 'x-forwarded-for': forwarded } })
    const line = JSON.parse(await service.line('"answered"')) as { ip: string }
    service.kill('SIGTERM')
    await service.ended
    assert.equal(line.ip, ip, `${TRUST_PROXY}: ${forwarded}`)
  }
})

test('new-key makes a key that opens', async () => {
  const script = fileURLToPath(new URL('../src/new-key.js', import.meta.url))
  const made = spawnSync(process.execPath, [script, '--name', 'ci', '--permissions', 'stats:read,provenance:read'], { encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  const secret = /te_live_[\w-]{43}/.exec(made.stdout)?.[0] ?? ''
  const entry = JSON.parse(made.stdout.slice(made.stdout.indexOf('{'))) as KeyEntry
  assert.deepEqual([entry.name, entry.organization, entry.permissions], ['ci', 'default', ['stats:read', 'provenance:read']])

  const service = await ServiceProcess.listening({ STORE_DIR, API_KEYS: JSON.stringify([entry]) })
  const answer = await service.client.get('/stats', { key: 'none', headers: { 'x-api-key': secret } })
  service.kill('SIGTERM')
  await service.ended
  assert.equal(answer.status, 200)

  const refused = spawnSync(process.execPath, [script, '--name', 'c i', '--permissions', 'everything'], { encoding: 'utf8' })
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /name must be[^]*permissions must be[^]*usage/)
  assert.equal(refused.stdout, '')
})
