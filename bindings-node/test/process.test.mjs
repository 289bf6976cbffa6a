// Tests of the process: workers, kills, memory, a missing native half.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { TrustEngine } from 'trust-engine'
import { STORES } from './stores.mjs'

const here = (name) => new URL(name, import.meta.url)

it('worker threads come and go a hundred times, in the middle of calls too', async () => {
  for (let round = 0; round < 100; round++) {
    const worker = new Worker(here('worker.mjs'), { workerData: { close: round % 2 === 0 } })
    const exited = once(worker, 'exit')
    const [answer] = await once(worker, 'message')
    assert.equal(answer, 'DENY')
    if (round % 2 === 0) assert.deepEqual(await exited, [0])
    else await worker.terminate()
  }
})

for (const [name, fresh] of Object.entries(STORES)) {
  it(`a kill loses no acknowledged record on ${name}`, async () => {
    const store = fresh()
    const child = spawn(process.execPath, [here('load.mjs').pathname], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, OPTIONS: JSON.stringify(store.options, (_, value) => (value instanceof Uint8Array ? [...value] : value)) },
    })
    const acknowledged = []
    createInterface({ input: child.stdout }).on('line', (id) => {
      if (acknowledged.push(id) === 3000) child.kill('SIGKILL')
    })
    await once(child, 'close')
    assert.ok(acknowledged.length >= 3000)
    const engine = await TrustEngine.open(store.options)
    const found = new Set()
    for await (const record of engine.log().query({ pageSize: 1000, type: 'ROLE_GATE' })) found.add(record.id)
    assert.deepEqual(acknowledged.filter((id) => id.length === 36 && !found.has(id)), [])
    assert.deepEqual(await engine.log().verify(), [])
    await engine.close()
    store.remove()
  })
}

const heavy = process.env.TRUST_ENGINE_HEAVY !== undefined
it(`memory stays flat over ${heavy ? '10,000,000' : '400,000'} calls`, async () => {
  const plain = await TrustEngine.open({ storage: { memory: true } })
  const document = JSON.parse(plain.policy.current().document)
  await plain.close()
  // Not recorded: a store in memory grows with what is recorded.
  document.recording.gates = { mode: 'NONE' }
  document.recording.ceilings = { ...document.recording.ceilings, mode: 'NONE' }
  const engine = await TrustEngine.open({ storage: { memory: true }, policy: JSON.stringify(document) })
  const calls = engine.json()
  const gate = { agentId: 'a', role: 'READER', context: { resourceId: 'r', metadata: { a: [1, 'x'] } } }
  const body = Buffer.from(JSON.stringify(gate))
  const round = async (count) => {
    for (let n = 0; n < count; n += 4) {
      engine.decideGate(gate)
      calls.decideGate(body)
      await calls.evaluateGate(body)
      try {
        calls.decideGate(Buffer.from('{'))
      } catch {}
    }
    globalThis.gc()
    // V8 sizes its heap as it likes, so only the used part of the heap is counted.
    const { rss, heapTotal, heapUsed } = process.memoryUsage()
    return rss - heapTotal + heapUsed
  }
  const rounds = []
  for (let n = 0; n < 20; n++) rounds.push(await round(heavy ? 500_000 : 20_000))
  // Allocators settle in the first rounds; a leak goes on.
  const [before, after] = [Math.max(...rounds.slice(0, 10)), rounds.at(-1)]
  assert.ok(after - before < 8 * 1024 * 1024, `grew from ${before} to ${after}: ${rounds}`)
  console.error(`# memory after every twentieth of the calls, MB: ${rounds.map((rss) => Math.round(rss / 1e6)).join(' ')}`)
  await engine.close()
})

it('an engine that was closed is collected, and its folder is free at once', async () => {
  const store = STORES.embedded()
  const collected = new Set()
  const registry = new FinalizationRegistry((round) => collected.add(round))
  for (let round = 0; round < 20; round++) {
    const engine = await TrustEngine.open(store.options)
    await engine.evaluateGate({ agentId: 'a', role: 'READER' })
    await engine.close()
    registry.register(engine, round)
  }
  for (let tries = 0; tries < 50 && collected.size < 15; tries++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.ok(collected.size >= 15, `${collected.size} of 20 were collected`)
  store.remove()
})

it('a missing native half is told with its cause', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'trust-engine-node-'))
  copyFileSync(here('../native.cjs'), join(folder, 'native.cjs'))
  await assert.rejects(promisify(execFile)(process.execPath, [join(folder, 'native.cjs')]), (error) => {
    assert.match(error.stderr, /native half of trust-engine for .* cannot be loaded: neither .* is there/)
    return true
  })
  rmSync(folder, { recursive: true })
})

it('finds its native half without looking up names, and leaves reports as they were', async () => {
  const script = `
    const { report } = process
    const { getReport } = report
    const seen = []
    report.getReport = () => (seen.push(report.excludeNetwork), getReport.call(report))
    require('trust-engine')
    console.log(JSON.stringify([seen, report.excludeNetwork]))`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { cwd: here('.').pathname })
  const [seen, after] = JSON.parse(stdout)
  // Either no report was made, or every report left out the network.
  assert.ok(seen.every((excluded) => excluded === true), stdout)
  assert.notEqual(after, true)
})

it('an open engine without calls does not keep the process alive', async () => {
  const script = `import { TrustEngine } from 'trust-engine'; await TrustEngine.open({ storage: { memory: true } }); console.log('open')`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000, cwd: here('.').pathname })
  assert.equal(stdout, 'open\n')
})
