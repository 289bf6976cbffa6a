// The same with a generator that costs next to nothing, to see what the service itself can do: npm run bench:wrk
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'

import { output } from './children.mjs'
import { cleanUp, defer } from './cleanup.mjs'
import { seed } from './seed.mjs'
import { makeKeys, startHello, startService } from './service.mjs'
import { STORES } from './stores.mjs'

const SECONDS = 15
const ROUNDS = 3
const BODY =
  '{"agentId":"agent_benchmark_001","role":"DATA_ANALYST","tier":"VERIFIED","context":{"resourceId":"dataset_001","action":"read"}}'

try {
  for (const store of STORES) {
    const folder = mkdtempSync(`${tmpdir()}/trust-engine-wrk-`)
    defer(() => rmSync(folder, { recursive: true, force: true }))
    await store.reset()
    defer(store.reset)
    const keys = makeKeys(folder)
    const server = await startService({ store, folder, keys })
    const hello = await startHello({ folder })
    await seed({ url: server.url, apiKey: keys.apiKey, records: 1 })
    const script = `${folder}/post.lua`
    writeFileSync(
      script,
      `wrk.method = 'POST'\nwrk.body = '${BODY}'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.headers['Authorization'] = 'Bearer ${keys.apiKey}'\n`,
    )
    for (let round = 0; round < ROUNDS; round += 1) {
      const empty = await wrk(script, `${hello.url}/hello`)
      const evaluate = await wrk(script, `${server.url}/api/phase6/role-gates/evaluate`)
      console.log(`${store.name}: hello ${empty}, evaluate ${evaluate}`)
    }
    await cleanUp()
  }
} finally {
  await cleanUp()
}

/** Requests per second of 64 connections, and the p99; throws if any was answered with an error. */
async function wrk(script, url) {
  const told = await output('wrk', ['-t1', '-c64', `-d${SECONDS}s`, '--latency', '-s', script, url], (SECONDS + 30) * 1000)
  if (/Non-2xx|Socket errors/.test(told)) throw new Error(`${url}: ${told}`)
  const [, rate] = /Requests\/sec:\s+([\d.]+)/.exec(told)
  const [, p99] = /99%\s+(\S+)/.exec(told)
  return `${Math.round(Number(rate))} req/s (p99 ${p99})`
}
