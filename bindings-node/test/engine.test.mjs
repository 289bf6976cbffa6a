// Every verb, on every store.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  ClosedError, ConflictError, ContractError, InvalidInputError, InvalidPolicyError, NotFoundError, NotVerifiedError, StoreError,
  TrustEngine, TrustEngineError, UnavailableError, WouldBlockError, verifyConsistency, verifyLog, verifyPayload, verifyRecord, version,
} from 'trust-engine'
import { STORES } from './stores.mjs'

const GATE = { agentId: 'agent_001', role: 'DATA_ANALYST', context: { resourceId: 'dataset_001', action: 'read' } }

/** A call that never waits, until what it needs is fetched. */
async function eventually(call) {
  for (;;) {
    try {
      return call()
    } catch (error) {
      if (!(error instanceof WouldBlockError)) throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

for (const [name, fresh] of Object.entries(STORES)) {
  describe(`on ${name}`, () => {
    /** Opens, runs, closes, removes. */
    async function on(options, run) {
      const store = fresh()
      const engine = await TrustEngine.open({ ...store.options, ...options })
      try {
        await run(engine, store.options)
      } finally {
        await engine.close()
        store.remove()
      }
    }

    it('decides, and the verdict is committed when it says so', () =>
      on({}, async (engine) => {
        await engine.agents().register({ id: 'agent_001', tier: 'VERIFIED', creator: 'ops' })
        const verdict = await engine.evaluateGate(GATE)
        assert.equal(verdict.decision, 'ALLOW')
        assert.equal(verdict.allowed, true)
        assert.equal(verdict.recorded, 'committed')
        assert.equal(verdict.receipt.id, verdict.provenanceId)
        assert.equal((await engine.log().get(verdict.provenanceId)).decision, 'ALLOW')
        const denied = await engine.evaluateGate({ ...GATE, role: 'SYSTEM_ADMIN' })
        assert.deepEqual([denied.decision, denied.requiredTier, denied.reasonCode], ['DENY', 'PRIVILEGED', 'TIER_BELOW_MINIMUM'])
      }))

    it('decides at once, and the commit can be waited for, as often as one likes', () =>
      on({}, async (engine) => {
        await engine.agents().register({ id: 'agent_001', tier: 'VERIFIED' })
        // Just opened on a shared store, it may read the agent once more.
        const decide = async () => {
          for (;;) {
            try {
              return engine.decideGate(GATE)
            } catch (error) {
              assert.ok(error instanceof WouldBlockError, error)
              await engine.evaluateGate(GATE)
            }
          }
        }
        const first = await decide()
        assert.equal(first.recorded, 'pending')
        const [one, two] = await Promise.all([engine.committed(first), engine.committed(first)])
        assert.equal(one.id, first.provenanceId)
        assert.equal(two, one)
        assert.equal(await engine.committed(first), one)
      }))

    it('believes a claimed tier only of an authority', () =>
      on({ tierAuthorities: ['gateway'] }, async (engine) => {
        const claim = { ...GATE, agentId: 'stranger', tier: 'VERIFIED' }
        assert.equal((await engine.evaluateGate(claim)).decision, 'DENY')
        assert.equal((await engine.evaluateGate({ ...claim, caller: 'gateway' })).decision, 'ALLOW')
      }))

    it('admits exactly a ceiling, however many ask', () =>
      on({}, async (engine) => {
        await engine.agents().register({ id: 'agent_001', tier: 'BASIC' })
        const check = { agentId: 'agent_001', resourceType: 'API_CALLS', requestedAmount: 1 }
        const verdicts = await Promise.all(Array.from({ length: 150 }, () => engine.checkCeiling(check)))
        let admitted = verdicts.filter((verdict) => verdict.allowed).length
        for (let tries = 0; admitted < 100 && tries < 500; tries++) admitted += Number((await engine.checkCeiling(check)).allowed)
        assert.equal(admitted, 100)
        const refused = await engine.checkCeiling(check)
        assert.deepEqual([refused.allowed, refused.currentUsage, refused.ceiling, refused.remaining], [false, 100, 100, 0])
        const usage = await engine.usage('agent_001')
        assert.equal(usage.find((row) => row.resourceType === 'API_CALLS').current, 100)
        const retry = { ...check, agentId: 'agent_002', requestId: 'r1' }
        await engine.agents().register({ id: 'agent_002', tier: 'BASIC' })
        const [one, two] = [await engine.checkCeiling(retry), await engine.checkCeiling(retry)]
        assert.deepEqual([one.currentUsage, two.currentUsage], [1, 1])
      }))

    it('records, finds page by page, and follows chains', () =>
      on({}, async (engine) => {
        let parentId
        const ids = []
        for (let n = 0; n < 7; n++) {
          const receipt = await engine.log().record({
            type: 'ALERT', agentId: 'agent_001', decision: 'DENY', reason: `n ${n}`, context: { n }, ...(parentId && { parentId }),
          })
          parentId = receipt.id
          ids.unshift(receipt.id)
        }
        const found = []
        for await (const record of engine.log().query({ agentId: 'agent_001', pageSize: 3 })) found.push(record.id)
        assert.deepEqual(found, ids)
        const chain = await engine.log().chain(ids[0], 3)
        assert.deepEqual(chain.map((record) => record.id), ids.slice(0, 4))
        assert.deepEqual(chain[0].context, { n: 6 })
        const page = await engine.log().page({ agentId: 'agent_001', pageSize: 2 })
        await assert.rejects(engine.log().page({ agentId: 'other', pageToken: page.nextPageToken }), InvalidInputError)
      }))

    it('shows an organization what is its own, and the fleet only to who says so', () =>
      on({}, async (engine) => {
        const { id } = await engine.log('acme').record({ type: 'ALERT', agentId: 'a', decision: 'DENY' })
        for (const scope of ['acme', { organization: 'acme' }, { fleetWide: true }]) {
          assert.equal((await engine.log(scope).get(id)).organization, 'acme')
          assert.ok((await engine.log(scope).prove(id)).proof)
          assert.equal((await engine.stats('1h', scope)).provenance.byType.ALERT, 1)
        }
        for (const scope of [undefined, null, {}, { organization: undefined }, { fleetWide: false }, 'other', { organization: 'other' }]) {
          await assert.rejects(engine.log(scope).get(id), NotFoundError)
          await assert.rejects(engine.log(scope).prove(id), NotFoundError)
          assert.equal((await engine.stats('1h', scope)).provenance.byType.ALERT, undefined)
        }
      }))

    it('repeats a record under its id, and refuses other content there', () =>
      on({}, async (engine) => {
        const record = { id: '01890000-0000-7000-8000-000000000001', type: 'ALERT', agentId: 'a', decision: 'DENY', reason: 'x' }
        const [one, two] = [await engine.log().record(record), await engine.log().record(record)]
        assert.deepEqual(one, two)
        await assert.rejects(engine.log().record({ ...record, reason: 'y' }), ConflictError)
      }))

    it('proves a record to whoever has only the key', () =>
      on({}, async (engine) => {
        const receipt = await engine.log().record({ type: 'ALERT', agentId: 'a', decision: 'DENY', reason: 'seen' })
        const { entry, proof, verifierKey } = await engine.log().prove(receipt.id)
        verifyRecord(entry, proof, verifierKey)
        for (let at = 0; at < entry.length; at += 17) {
          const changed = Uint8Array.from(entry)
          changed[at] ^= 1
          assert.throws(() => verifyRecord(changed, proof, verifierKey), NotVerifiedError)
        }
        assert.throws(() => verifyRecord(entry, proof, 'nonsense'), InvalidInputError)
        const { payload, salt } = await engine.log().prove(receipt.id)
        verifyPayload(entry, payload, salt)
        assert.equal(JSON.parse(Buffer.from(payload)).reason, 'seen')
        for (const [e, p, s] of [[entry, payload, new Uint8Array(32)], [entry, entry, salt], [payload, payload, salt]]) {
          assert.throws(() => verifyPayload(e, p, s), NotVerifiedError)
        }
        assert.throws(() => verifyPayload(entry, payload, salt.subarray(1)), InvalidInputError)
        assert.match(await engine.log().checkpoint(), /\/prov\/0\n/)
        assert.deepEqual(await engine.log().verify(), [])
      }))

    it('proves that its log only grows, and exports it for whoever has only the key', () =>
      on({}, async (engine) => {
        const log = engine.log({ fleetWide: true })
        await engine.log().record({ type: 'ALERT', agentId: 'a', decision: 'DENY' })
        const older = await log.checkpoint()
        const size = Number(older.split('\n')[1])
        await engine.log().record({ type: 'ALERT', agentId: 'a', decision: 'DENY' })
        const { checkpoint, proof } = await log.proveConsistency(size)
        verifyConsistency(older, checkpoint, proof, engine.verifierKey)
        assert.throws(() => verifyConsistency(checkpoint, older, proof, engine.verifierKey), NotVerifiedError)
        assert.throws(() => verifyConsistency(older, checkpoint, ['x'], engine.verifierKey), InvalidInputError)
        await assert.rejects(log.proveConsistency(1000), InvalidInputError)
        const folder = join(mkdtempSync(join(tmpdir(), 'te-export-')), 'log')
        const { entries } = await log.export(folder)
        assert.equal(entries, Number(checkpoint.split('\n')[1]))
        verifyLog(folder, engine.verifierKey, older)
        const file = join(folder, 'records.jsonl')
        writeFileSync(file, readFileSync(file, 'utf8').replace('DENY', 'DENI'))
        assert.throws(() => verifyLog(folder, engine.verifierKey), NotVerifiedError)
        rmSync(join(folder, '..'), { recursive: true })
        assert.deepEqual(Object.keys(await engine.info()).sort(), ['shard', 'verifierKey', 'version', 'warnings'])
      }))

    it('refuses scopes and callers that are not what was meant', () =>
      on({}, async (engine) => {
        for (const scope of [{ organisation: 'acme' }, { fleetwide: true }]) {
          assert.throws(() => engine.log(scope), InvalidInputError)
          await assert.rejects(engine.stats('24h', scope), InvalidInputError)
        }
        for (const permissions of [null, undefined]) assert.throws(() => engine.json({ permissions }), InvalidInputError)
        const tenant = engine.json({ organization: 'acme' })
        for (const name of ['log.verify', 'log.export', 'engine.backup']) {
          const parameters = name === 'log.verify' ? {} : { folder: join(tmpdir(), 'te-nowhere') }
          await assert.rejects(tenant.call(name, parameters), { status: 403 })
        }
        assert.deepEqual(await engine.log('acme').verify(), [])
      }))

    it('gives the trace of a verdict if it is asked for', () =>
      on({}, async (engine) => {
        await engine.agents().register({ id: 'agent_001', tier: 'BASIC' })
        const { trace } = await engine.evaluateGate(GATE, { trace: true })
        assert.match(trace, /^kernel +no +role DATA_ANALYST/)
        assert.equal((await eventually(() => engine.decideGate(GATE, { trace: true }))).trace, trace)
        assert.equal((await engine.evaluateGate(GATE)).trace, undefined)
        await assert.rejects(engine.evaluateGate(GATE, { traced: true }), InvalidInputError)
        assert.throws(() => engine.decideGate(GATE, { trace: 1 }), InvalidInputError)
      }))

    it('reserves, settles, peeks, and takes from a handle', () =>
      on({}, async (engine) => {
        await engine.agents().register({ id: 'agent_001', tier: 'VERIFIED' })
        const request = { agentId: 'agent_001', resourceType: 'API_CALLS', requestedAmount: 400 }
        const { verdict, reservation } = await engine.reserve(request)
        assert.deepEqual([verdict.allowed, verdict.remaining], [true, 100])
        const refused = await engine.reserve(request)
        assert.deepEqual([refused.verdict.allowed, refused.reservation], [false, null])
        assert.equal((await engine.peek(request)).allowed, false)
        await assert.rejects(reservation.commit(401), InvalidInputError)
        await assert.rejects(reservation.commit(-1), InvalidInputError)
        const receipt = await reservation.commit(100)
        assert.ok(receipt === null || receipt.leafIndex > 0)
        await assert.rejects(reservation.void(), ConflictError)
        assert.deepEqual([(await engine.peek(request)).allowed, (await engine.peek(request)).allowed], [true, true])
        const all = await engine.reserve(request)
        await all.reservation.void()
        const quota = await eventually(() => engine.quota('agent_001'))
        const taken = await eventually(() => quota.tryTake('API_CALLS', 400))
        assert.deepEqual([taken.allowed, taken.remaining], [true, 0])
        assert.equal((await eventually(() => quota.tryTake('API_CALLS', 1))).allowed, false)
        assert.throws(() => quota.tryTake('API_CALLS', 0.5), InvalidInputError)
        await assert.rejects(engine.reserve({ ...request, requestId: 'r' }), InvalidInputError)
        await assert.rejects(engine.peek({ ...request, requestId: 'r' }), InvalidInputError)
        await assert.rejects(engine.resetCeiling('agent_001', 'API_CALLS', 'ops'), InvalidInputError)
      }))

    it('changes agents by version and keeps them across openings', async () => {
      const store = fresh()
      let engine = await TrustEngine.open(store.options)
      const agent = await engine.agents().register({ id: 'agent_001', tier: 'BASIC', attestations: ['soc2'] })
      assert.equal(agent.version, 1)
      await assert.rejects(engine.agents().register({ id: 'agent_001' }), ConflictError)
      await engine.agents().change('agent_001', { version: 1, tier: 'TRUSTED', changedBy: 'ops' })
      await assert.rejects(engine.agents().change('agent_001', { version: 1, tier: 'BASIC' }), ConflictError)
      await assert.rejects(engine.agents().get('nobody'), NotFoundError)
      await engine.close()
      engine = await TrustEngine.open(store.options)
      assert.equal((await engine.agents().get('agent_001')).tier, 'TRUSTED')
      const { data, nextPageToken } = await engine.agents().page()
      assert.deepEqual([data.map((agent) => agent.id), nextPageToken], [['agent_001'], null])
      await engine.agents().register({ id: 'agent_002', tier: 'BASIC', creator: 'agent_001' })
      await engine.agents().register({ id: 'agent_003', tier: 'BASIC', status: 'SUSPENDED' })
      for (const [query, wanted] of [
        [{}, ['agent_001', 'agent_002', 'agent_003']],
        [{ pageSize: 1 }, ['agent_001', 'agent_002', 'agent_003']],
        [{ tier: 'BASIC' }, ['agent_002', 'agent_003']],
        [{ tier: 'BASIC', status: 'SUSPENDED' }, ['agent_003']],
        [{ family: 'agent_001' }, ['agent_001', 'agent_002']],
        [{ family: 'agent_001', tier: 'TRUSTED', status: 'ACTIVE' }, ['agent_001']],
        [{ tier: 'BASI' }, []],
      ]) {
        const ids = []
        for await (const agent of engine.agents().list(query)) ids.push(agent.id)
        assert.deepEqual(ids, wanted)
        assert.equal(await engine.agents().count(query), wanted.length)
      }
      const first = await engine.agents().page({ tier: 'BASIC', pageSize: 1 })
      await assert.rejects(engine.agents().page({ pageToken: first.nextPageToken }), /belongs to another query/)
      await assert.rejects(engine.agents().page({ pageToken: 'x' }), /is not one that a query gave/)
      await assert.rejects(engine.agents().page({ status: 'active' }), /must be one of ACTIVE, SUSPENDED, REVOKED/)
      assert.deepEqual((await engine.agents('other').page()).data, [])
      const outcomes = await engine.agents('other').import([
        { id: 'a', tier: 'BASIC' }, { id: 'b', parent: 'a', creation: 'CLONED' }, { id: 'a' }, { id: 'c', teir: 'BASIC' }, ['d'], { id: 'e' },
      ])
      const told = outcomes.map(({ agent, error }) => agent?.family ?? agent?.id ?? error.code)
      assert.deepEqual(told, ['a', 'a', 'TE_CONFLICT', 'TE_INVALID_INPUT', 'TE_INVALID_INPUT', 'e'])
      assert.ok(outcomes[2].error instanceof ConflictError)
      assert.equal(await engine.agents('other').count(), 3)
      await assert.rejects(engine.agents().import({ id: 'a' }), /agents is of type object; it takes an array/)
      await engine.close()
      store.remove()
    })

    it('swaps the policy, and says what is wrong with one', () =>
      on({}, async (engine) => {
        const before = engine.policy.current()
        const document = JSON.parse(before.document)
        await engine.policy.swap(JSON.stringify({ ...document, name: 'other' }), 'ops')
        assert.notEqual(engine.policy.current().hash, before.hash)
        assert.equal((await engine.policy.history()).length, 2)
        await assert.rejects(engine.policy.swap('roles: 1\n', 'ops'), (error) => {
          assert.ok(error instanceof InvalidPolicyError)
          assert.match(error.message, /1:8 roles: expected a list/)
          return true
        })
      }))

    it('counts, is healthy, and names its key', () =>
      on({}, async (engine) => {
        await engine.evaluateGate(GATE)
        const stats = await engine.stats('1h')
        assert.equal(stats.roleGates.total, 1)
        assert.equal((await engine.health()).database, 'up')
        assert.match(engine.verifierKey, /\/prov\/0\+/)
        assert.ok(Array.isArray(engine.warnings))
      }))

    it('speaks the contract in bytes and text', () =>
      on({ tierAuthorities: ['gateway'] }, async (engine) => {
        const calls = engine.json({ name: 'gateway' })
        const body = (value) => Buffer.from(JSON.stringify(value))
        const gate = { agentId: 'agent_benchmark_001', role: 'DATA_ANALYST', tier: 'VERIFIED', context: { resourceId: 'dataset_001', action: 'read' } }
        const answer = JSON.parse(await calls.evaluateGate(body(gate)))
        assert.deepEqual([answer.allowed, answer.decision, answer.recorded], [true, 'ALLOW', 'committed'])
        assert.equal(JSON.parse(await calls.get(answer.provenanceId)).context.resourceId, 'dataset_001')
        try {
          assert.equal(JSON.parse(calls.decideGate(body(gate))).recorded, 'pending')
        } catch (error) {
          // On a shared store it may have to read the agent once more, which it does not wait for.
          assert.equal(error.status, 503)
          await calls.evaluateGate(body(gate))
        }
        const check = { agentId: 'agent_benchmark_001', resourceType: 'API_CALLS', requestedAmount: 10, tier: 'VERIFIED' }
        assert.equal(JSON.parse(await calls.checkCeiling(body(check), 'key-1')).remaining, 490)
        assert.equal(JSON.parse(await calls.checkCeiling(body(check), 'key-1')).remaining, 490)
        const record = JSON.parse(await calls.record(body({ type: 'ALERT', agentId: 'a', decision: 'DENY' })))
        assert.equal(JSON.parse(await calls.chain(record.id, 5)).depth, 0)
        assert.equal(JSON.parse(await calls.query({ agentId: 'a' })).data.length, 1)
        assert.ok(JSON.parse(await calls.stats('24h')).roleGates.allowed >= 1)
        await assert.rejects(calls.get('01890000-0000-7000-8000-00000000dead'), { status: 404 })
        await assert.rejects(calls.get('x'), { status: 400 })
        await assert.rejects(calls.chain(record.id, 101), { status: 400 })
        await assert.rejects(calls.query({ pageSize: 0 }), { status: 400 })
        await assert.rejects(calls.stats('2h'), { status: 400 })
        await assert.rejects(engine.json({ organization: 'other' }).get(record.id), { status: 404 })
        // Nothing of the caller is taken from a body.
        await assert.rejects(calls.evaluateGate(body({ ...gate, caller: 'gateway' })), { status: 400 })
        await assert.rejects(calls.evaluateGate(body({ ...gate, organization: 'other' })), { status: 400 })
      }))

    it('makes the calls of the table, and follows streams', () =>
      on({}, async (engine) => {
        const body = (value) => Buffer.from(JSON.stringify(value))
        const calls = engine.json({ name: 'console' })
        const put = (options) => calls.call('agents.put', { agentId: 'a' }, { body: body({ tier: 'BASIC' }), ...options })
        const { status, etag, contentType } = await put()
        assert.deepEqual([status, etag, contentType], [201, '"1"', 'application/json; charset=utf-8'])
        await assert.rejects(put({ ifMatch: '"7"' }), { status: 409 })
        const page = await calls.call('agents.list', { tier: 'BASIC', total: true })
        assert.equal(JSON.parse(page.body).total, 1)
        const proof = JSON.parse(await calls.record(body({ type: 'ALERT', agentId: 'a', decision: 'RAISED' })))
        const { body: text, immutable } = await calls.call('provenance.get', { id: proof.id })
        assert.deepEqual([JSON.parse(text).id, immutable], [proof.id, true])
        await assert.rejects(calls.call('agents.lst'), { status: 404 })

        const ids = []
        for await (const item of calls.subscribe('agents.list', { tier: 'BASIC' })) ids.push(JSON.parse(item).id)
        assert.deepEqual(ids, ['a'])
        const follow = calls.subscribe('provenance.follow', { agentId: 'followed' })
        const first = follow.next()
        // It has begun when something was asked of the engine after it.
        await engine.stats()
        const recorded = []
        const write = async () => recorded.push((await engine.log().record({ type: 'ALERT', agentId: 'followed', decision: 'RAISED' })).id)
        await write()
        const seen = [JSON.parse((await first).value).id]
        await write()
        seen.push(JSON.parse((await follow.next()).value).id)
        assert.deepEqual(seen, recorded)
        await follow.return()
        await assert.rejects(calls.subscribe('nothing').next(), NotFoundError)
        // One that waits can be ended, and is answered.
        const quiet = calls.subscribe('provenance.follow', { agentId: 'nobody' })
        const unanswered = quiet.next()
        await engine.stats()
        await quiet.return()
        assert.deepEqual(await unanswered, { done: true, value: undefined })
        const idle = calls.subscribe('provenance.query')
        await idle.next()
        // One that waits hears that the engine is closed.
        const waiting = calls.subscribe('provenance.follow').next()
        await engine.stats()
        await Promise.all([engine.close(), assert.rejects(waiting, ClosedError)])
      }))

    it('settles every call that is under way when it is closed', async () => {
      const store = fresh()
      const engine = await TrustEngine.open(store.options)
      await engine.evaluateGate(GATE)
      const calls = Array.from({ length: 500 }, () => engine.evaluateGate(GATE))
      const closed = engine.close()
      const settled = await Promise.allSettled(calls)
      await closed
      for (const { status, reason } of settled) assert.ok(status === 'fulfilled' || reason instanceof ClosedError, reason)
      await assert.rejects(engine.evaluateGate(GATE), ClosedError)
      assert.throws(() => engine.decideGate(GATE), ClosedError)
      store.remove()
    })
  })
}

/** An engine in memory, and its policy with nothing recorded of gates. */
async function inMemory() {
  const engine = await TrustEngine.open({ storage: { memory: true } })
  const document = JSON.parse(engine.policy.current().document)
  document.recording.gates = { mode: 'NONE' }
  return { engine, unrecorded: JSON.stringify(document) }
}

/** Whether an error is of an input, and names it. */
function field(name) {
  return (error) => {
    assert.ok(error instanceof InvalidInputError && error instanceof TrustEngineError && error instanceof Error, error)
    assert.deepEqual([error.code, error.retryable, error.details.field, error.name], ['TE_INVALID_INPUT', false, name, 'InvalidInputError'])
    return true
  }
}

describe('the commit of a verdict', () => {
  it('is known to the engine that decided, of the verdict itself', async () => {
    const { engine } = await inMemory()
    const other = (await inMemory()).engine
    const verdict = engine.decideGate(GATE)
    assert.equal(verdict.ticket, undefined)
    assert.doesNotMatch(JSON.stringify(verdict), /ticket/)
    const evaluated = await engine.evaluateGate(GATE)
    for (const none of [other.decideGate(GATE), { ...verdict }, structuredClone(verdict), evaluated, {}, 'x', null, undefined]) {
      await assert.rejects(engine.committed(none), field('verdict'))
    }
    assert.equal(engine.committed(verdict), engine.committed(verdict))
    assert.equal((await engine.committed(verdict)).id, verdict.provenanceId)
    await Promise.all([engine.close(), other.close()])
  })

  it('is nothing where the policy records nothing', async () => {
    const { engine, unrecorded } = await inMemory()
    await engine.policy.swap(unrecorded, 'ops')
    const verdict = engine.decideGate(GATE)
    assert.equal(verdict.recorded, 'none')
    assert.equal(await engine.committed(verdict), null)
    await engine.close()
  })

  it('is looked up in the log when too many verdicts were given since, and never taken for another', async () => {
    const { engine, unrecorded } = await inMemory()
    const recorded = engine.policy.current().document
    const [first, lost] = [engine.decideGate(GATE), engine.decideGate(GATE)]
    await engine.policy.swap(unrecorded, 'ops')
    // As many as the queue holds, and 8,192 others.
    for (let n = 0; n < 16_384; n++) engine.decideGate(GATE)
    assert.equal((await engine.committed(first)).id, first.provenanceId)
    await engine.policy.swap(recorded, 'ops')
    const mistaken = engine.decideGate(GATE)
    // As if the record of the one were not in the log, and the other's number had become that of another verdict.
    for (const verdict of [lost, mistaken]) {
      verdict.provenanceId = '01890000-0000-7000-8000-00000000dead'
      await assert.rejects(engine.committed(verdict), (error) => {
        assert.ok(error instanceof NotFoundError)
        assert.match(error.message, /^not found: record 01890000-.* is not in the log, and too many verdicts were given since/)
        return true
      })
    }
    await engine.close()
  })
})

describe('errors', () => {
  it('name the field and the bound', async () => {
    const { engine } = await inMemory()
    for (const [request, name] of [
      [{ role: 'r' }, 'agentId'], [{ agentId: 1, role: 'r' }, 'agentId'], [{ agentId: 'a', role: 'r', tier: 1 }, 'tier'],
      [{ agentId: 'a', role: 'r', context: { action: 1 } }, 'context.action'], [{ agentId: '', role: 'r' }, 'agentId'],
      [{ agentId: 'a', role: 'r'.repeat(65) }, 'role'], [{ agentId: 'a', role: 'r', context: { metadata: [1] } }, 'context.metadata'],
      [undefined, 'request'], [{ agentId: 'a', role: 'r', organization: '' }, 'organization'],
      [{ agentId: 'a', role: 'r', onBehalfof: 'user-7' }, 'onBehalfof'], [{ agentId: 'a', role: 'r', traceparent: '00' }, 'traceparent'],
      [{ agentId: 'a', role: 'r', context: { resource: 'x' } }, 'context.resource'],
    ]) {
      assert.throws(() => engine.decideGate(request), field(name))
      await assert.rejects(engine.evaluateGate(request), field(name))
    }
    for (const requestedAmount of [0, -1, 1.5, NaN, Infinity, 2 ** 40, 1e300, '1', undefined]) {
      const request = { agentId: 'a', resourceType: 'API_CALLS', requestedAmount }
      await assert.rejects(engine.checkCeiling(request), field('requestedAmount'))
      assert.throws(() => engine.checkCeilingNow(request), field('requestedAmount'))
    }
    const misspelt = { agentId: 'a', resourceType: 'API_CALLS', requestedAmount: 1, requestID: 'r' }
    assert.throws(() => engine.checkCeilingNow(misspelt), field('requestID'))
    await engine.close()
  })

  it('name what JSON cannot have', async () => {
    const { engine } = await inMemory()
    const circular = {}
    circular.self = circular
    for (const value of [circular, { n: 1n }, () => {}]) {
      const request = { ...GATE, context: { metadata: value } }
      assert.throws(() => engine.decideGate(request), field('context.metadata'))
      await assert.rejects(engine.evaluateGate(request), field('context.metadata'))
      await assert.rejects(engine.log().record({ type: 'ALERT', agentId: 'a', decision: 'DENY', context: circular }), field('record'))
      await assert.rejects(engine.agents().register(value), field('agent'))
      await assert.rejects(engine.agents().change('a', value), field('change'))
    }
    await engine.close()
  })

  it('name what is of another type', async () => {
    const { engine } = await inMemory()
    const calls = engine.json()
    const id = '01890000-0000-7000-8000-000000000001'
    for (const [call, name] of [
      [() => engine.log().get(1), 'id'],
      [() => engine.log().prove(1), 'id'],
      [() => engine.log().page(1), 'query'],
      [() => engine.log().page({ startTime: new Date() }), 'startTime'],
      [() => engine.log().page({ pageSize: '1' }), 'pageSize'],
      [() => engine.log().chain(id, 1.5), 'depth'],
      [() => engine.log().chain(id, '1'), 'depth'],
      [() => engine.log().record(undefined), 'record'],
      [() => engine.usage(1), 'agentId'],
      [() => engine.stats(1), 'timeRange'],
      [() => engine.stats('2h'), 'timeRange'],
      [() => engine.agents().get(1), 'id'],
      [() => engine.agents().page(1), 'query'],
      [() => engine.agents().page({ pageSize: '1' }), 'pageSize'],
      [() => engine.agents().page({ pageSize: 1001 }), 'pageSize'],
      [() => engine.agents().count({ tier: 1 }), 'tier'],
      [() => engine.agents().count({ teir: 'BASIC' }), 'teir'],
      [() => engine.log().page({ agentID: 'a' }), 'agentID'],
      [() => engine.policy.swap('', undefined), 'actor'],
      [() => engine.policy.history('1'), 'below'],
      [() => calls.evaluateGate('{}'), 'body'],
      [() => calls.checkCeiling(Buffer.from('{}'), 1), 'idempotencyKey'],
      [() => TrustEngine.open({ storage: { memory: 'yes' } }), 'storage.memory'],
      [() => TrustEngine.open({ storage: { memory: true }, polcy: 'x' }), 'polcy'],
      [() => TrustEngine.open({ storage: { memory: true, redis: { url: 'redis://h', prefx: 'x' } } }), 'storage.redis.prefx'],
      [() => engine.json().call('agents.list', { teir: 'BASIC' }).catch((error) => Promise.reject(error.cause)), 'teir'],
      [() => engine.json().call('agents.list', {}, { bdy: new Uint8Array() }), 'options.bdy'],
      [() => TrustEngine.open({ storage: { postgres: {} } }), 'storage.postgres.url'],
      [() => TrustEngine.open({ storage: { memory: true }, queue: '1' }), 'queue'],
      [() => TrustEngine.open({ storage: { memory: true }, tierAuthorities: 'gateway' }), 'tierAuthorities'],
    ]) {
      await assert.rejects(call, field(name), String(call))
    }
    assert.throws(() => calls.decideGate('{}'), field('body'))
    assert.throws(() => engine.json({ name: 1 }), field('caller'))
    assert.throws(() => verifyRecord('', '', ''), field('entry'))
    await engine.close()
  })

  it('back up into a new folder and nowhere else', async () => {
    const { engine } = await inMemory()
    await assert.rejects(engine.backup('/tmp/nowhere'), { code: 'TE_UNSUPPORTED' })
    await engine.close()
    const folder = mkdtempSync(join(tmpdir(), 'te-'))
    const store = await TrustEngine.open({ storage: { embedded: join(folder, 'store') } })
    await store.backup(join(folder, 'copy'))
    await assert.rejects(store.backup(join(folder, 'copy')), { code: 'TE_FOREIGN' })
    await store.close()
    await assert.rejects(TrustEngine.open({ storage: { embedded: join(folder, 'copy') } }), { code: 'TE_FOREIGN', message: /restore/ })
    rmSync(folder, { recursive: true })
  })

  it('refuse a caller with unknown fields or permissions, and calls beyond its permissions', async () => {
    const { engine } = await inMemory()
    assert.throws(() => engine.json({ nmae: 'x' }), field('caller.nmae'))
    assert.throws(() => engine.json({ permissions: ['agents:reed'] }), field('permissions'))
    const calls = engine.json({ name: 'key', permissions: ['agents:read'] })
    assert.equal((await calls.call('agents.list')).status, 200)
    await assert.rejects(engine.json({ permissions: [] }).call('agents.list'), { status: 403 })
    await assert.rejects(engine.agents().register({ id: 'a', score: NaN }), field('agent.score'))
    await assert.rejects(engine.agents().change('a', { version: null }), field('version'))
    const many = Array.from({ length: 12_000 }, (_, n) => ({ id: `many_${n}`, attestations: ['x'.repeat(100)] }))
    const outcomes = await engine.agents().import(many)
    assert.equal(outcomes.filter((outcome) => outcome.agent).length, 12_000)
    await assert.rejects(calls.call('agents.put', { agentId: 'a' }, { body: Buffer.from('{}') }), { status: 403 })
    await assert.rejects(calls.evaluateGate(Buffer.from('{}')), { status: 403 })
    await engine.close()
  })

  it('refuse half of a surrogate pair, which would become the half of any other', async () => {
    const { engine } = await inMemory()
    const half = 'a\ud800'
    for (const [request, name] of [
      [{ ...GATE, agentId: half }, 'agentId'], [{ ...GATE, role: half }, 'role'], [{ ...GATE, tier: half }, 'tier'],
      [{ ...GATE, organization: half }, 'organization'], [{ ...GATE, caller: half }, 'caller'],
      [{ ...GATE, context: { resourceId: half } }, 'context.resourceId'], [{ ...GATE, context: { action: half } }, 'context.action'],
      [{ ...GATE, context: { environment: half } }, 'context.environment'],
      [{ ...GATE, context: { metadata: { [half]: 1 } } }, 'context.metadata'],
    ]) {
      assert.throws(() => engine.decideGate(request), field(name))
      await assert.rejects(engine.evaluateGate(request), field(name))
    }
    const check = { agentId: 'a', resourceType: 'API_CALLS', requestedAmount: 1 }
    for (const name of ['agentId', 'resourceType', 'tier', 'organization', 'caller', 'requestId']) {
      assert.throws(() => engine.checkCeilingNow({ ...check, [name]: half }), field(name))
      await assert.rejects(engine.checkCeiling({ ...check, [name]: half }), field(name))
    }
    await assert.rejects(engine.usage(half), field('agentId'))
    await assert.rejects(engine.agents().get(half), field('id'))
    await assert.rejects(engine.agents().register({ id: half }), field('agent.id'))
    await assert.rejects(engine.log().page({ agentId: half }), field('agentId'))
    await assert.rejects(engine.log().record({ type: 'ALERT', agentId: half, decision: 'DENY' }), field('record.agentId'))
    await assert.rejects(engine.json().checkCeiling(Buffer.from(JSON.stringify(check)), half), field('idempotencyKey'))
    assert.throws(() => engine.log(half), field('organization'))
    assert.throws(() => engine.json({ name: half }), field('caller'))
    await assert.rejects(TrustEngine.open({ storage: { memory: true }, tierAuthorities: [half] }), field('tierAuthorities[0]'))
    // A pair is text.
    assert.equal(engine.decideGate({ ...GATE, role: 'a\ud83d\ude00' }).decision, 'DENY')
    await engine.close()
  })

  it("refuse '*' as an organization, and the fleet beside one", async () => {
    const { engine } = await inMemory()
    for (const scope of ['*', { organization: '*' }, { organization: 'acme', fleetWide: true }]) {
      assert.throws(() => engine.log(scope), field('organization'))
      await assert.rejects(engine.stats('1h', scope), field('organization'))
    }
    assert.throws(() => engine.log({ fleetWide: 'false' }), field('fleetWide'))
    assert.throws(() => engine.json({ organization: '*' }), field('organization'))
    assert.throws(() => engine.agents('*'), field('organization'))
    await assert.rejects(engine.usage('a', '*'), field('organization'))
    await assert.rejects(engine.evaluateGate({ ...GATE, organization: '*' }), field('organization'))
    await assert.rejects(engine.log({ fleetWide: true }).record({ type: 'ALERT', agentId: 'a', decision: 'DENY' }), field('organization'))
    await engine.close()
  })

  it('of reading the log are those of the engine', async () => {
    const { engine } = await inMemory()
    const id = '01890000-0000-7000-8000-00000000dead'
    for (const read of [engine.log().get(id), engine.log().chain(id)]) {
      await assert.rejects(read, (error) => {
        assert.ok(error instanceof NotFoundError)
        assert.deepEqual([error.code, error.retryable, error.details.id], ['TE_NOT_FOUND', false, id])
        // As of a call that does not speak the contract.
        assert.match(error.message, /^(get record|chain): not found: there is no record 01890000/)
        return true
      })
    }
    // An answer of the contract has it as its cause.
    await assert.rejects(engine.json().get(id), (error) => {
      assert.ok(error instanceof ContractError && error.cause instanceof NotFoundError)
      return error.status === 404
    })
    for (const [query, name] of [[{ pageSize: 0 }, 'pageSize'], [{ pageToken: 'x' }, 'pageToken'], [{ agentId: '' }, 'agentId']]) {
      await assert.rejects(engine.log().page(query), field(name))
      await assert.rejects(engine.log().query(query).next(), field(name))
    }
    await engine.close()
  })

  it('of an engine that is closed say so', async () => {
    const { engine } = await inMemory()
    const verdict = engine.decideGate(GATE)
    await engine.close()
    assert.throws(() => engine.verifierKey, ClosedError)
    assert.throws(() => engine.log(), ClosedError)
    assert.throws(() => engine.policy.current(), ClosedError)
    await assert.rejects(engine.committed(verdict), ClosedError)
    await assert.rejects(engine.stats(), ClosedError)
    assert.deepEqual(engine.warnings, [])
  })

  it('of opening are told apart', async () => {
    const postgres = { postgres: { url: 'postgres://postgres@127.0.0.1:1/test', connectTimeoutMs: 500 } }
    const fleet = { signingKey: new Uint8Array(32), deployment: 'd' }
    for (const [options, type] of [
      [undefined, InvalidInputError],
      [{ storage: {} }, InvalidInputError],
      [{ storage: { memory: true, embedded: '/tmp/x' } }, InvalidInputError],
      [{ storage: { memory: true }, signingKey: new Uint8Array(31) }, InvalidInputError],
      [{ storage: { memory: true }, policy: 'roles: 1' }, InvalidPolicyError],
      [{ storage: { memory: true, redis: 'redis://127.0.0.1:6379' } }, InvalidInputError],
      [{ storage: postgres }, InvalidInputError],
      [{ storage: postgres, ...fleet }, UnavailableError],
      [{ storage: { embedded: '/proc/nowhere' } }, TrustEngineError],
    ]) {
      await assert.rejects(TrustEngine.open(options), type)
    }
    const store = STORES.embedded()
    const engine = await TrustEngine.open(store.options)
    await assert.rejects(TrustEngine.open(store.options), (error) => error instanceof UnavailableError && error.code === 'TE_LOCKED')
    await engine.close()
    store.remove()
    assert.ok(StoreError.prototype instanceof TrustEngineError)
  })
})

it('answers every vector as the other languages do', async () => {
  const vectors = JSON.parse(readFileSync(new URL('../../trust-engine/tests/vectors/calls.json', import.meta.url), 'utf8'))
  assert.ok(vectors.length > 50)
  const engine = await TrustEngine.open({ storage: { memory: true }, tierAuthorities: ['gateway'] })
  await engine.agents().register({ id: 'agent_001', tier: 'VERIFIED' })
  await engine.agents().register({ id: 'agent_002', tier: 'VERIFIED', status: 'SUSPENDED' })
  for (const { name, call, body, base64, caller, status, expect = {}, field } of vectors) {
    const calls = engine.json({ name: caller })
    const bytes = base64 === undefined ? Buffer.from(body) : Buffer.from(base64, 'base64')
    const given = call === 'checkCeiling' ? calls.checkCeiling(bytes, undefined, 'req-1') : calls[call](bytes, 'req-1')
    const answer = await given.then((text) => ({ status: call === 'record' ? 201 : 200, body: text }), (error) => error)
    assert.equal(answer.status, status, `${name}: ${answer.body}`)
    const read = JSON.parse(answer.body)
    for (const [key, value] of Object.entries(expect)) assert.deepEqual(read[key], value, `${name}: ${key}`)
    if (field !== undefined) assert.deepEqual([read.details.field, read.requestId], [field, 'req-1'], name)
  }
  await engine.close()
})

it('one commit wakes the loop about once, however many wait for it', async () => {
  const store = STORES.embedded()
  const engine = await TrustEngine.open(store.options)
  await engine.evaluateGate(GATE)
  const before = { wakes: engine.wakes, ...(await engine.stats('all', { fleetWide: true })).provenance }
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 500 }, () => engine.evaluateGate(GATE)))
  const after = { wakes: engine.wakes, ...(await engine.stats('all', { fleetWide: true })).provenance }
  const [wakes, commits] = [after.wakes - before.wakes, after.commits - before.commits]
  assert.equal(after.committed - before.committed, 10_000)
  // About one for each commit, and several where the machine is busy; without it there is one for each record.
  assert.ok(wakes <= 2000, `${wakes} wake-ups for ${commits} commits of 10,000 records`)
  await engine.close()
  store.remove()
})

it('is one module for import and require', async () => {
  const { createRequire } = await import('node:module')
  const required = createRequire(import.meta.url)('trust-engine')
  assert.equal(required.TrustEngine, TrustEngine)
  assert.match(version, /^\d+\.\d+\.\d+$/)
  assert.throws(() => new TrustEngine(), TypeError)
})
