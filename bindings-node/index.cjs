'use strict'
// The JavaScript half: the classes that users meet. The native half (see src/) answers a call at once where it need not
// wait, and otherwise parks it under the number given here and says when answers are ready.
const native = require('./native.cjs')
const { version } = require('./package.json')
const errors = require('./errors.cjs')
const requests = require('./requests.cjs')
const { GateVerdict, ceilingVerdict } = require('./verdicts.cjs')
const { Waiting } = require('./waiting.cjs')

const { errorOf, guarded, invalid, unwrap } = errors
const { text, optionalText, organizationName } = requests

class JsonCalls {
  #calls
  #waiting

  constructor(calls, waiting) {
    this.#calls = calls
    this.#waiting = waiting
  }
  evaluateGate(body, requestId, traceparent) {
    const call = (slot) => this.#calls.evaluateGate(slot, requests.bytes('body', body), requestId, traceparent)
    return this.#waiting.call(call)
  }
  decideGate(body, requestId, traceparent) {
    return unwrap(guarded(() => this.#calls.decideGate(requests.bytes('body', body), requestId, traceparent)))
  }
  checkCeiling(body, idempotencyKey, requestId, traceparent) {
    return this.#waiting.call((slot) => {
      const key = optionalText('idempotencyKey', idempotencyKey)
      return this.#calls.checkCeiling(slot, requests.bytes('body', body), key, requestId, traceparent)
    })
  }
  record(body, requestId, traceparent) {
    const call = (slot) => this.#calls.record(slot, requests.bytes('body', body), requestId, traceparent)
    return this.#waiting.call(call)
  }
  /** A call of the engine's table. */
  async call(name, parameters = {}, options = {}) {
    const { body, ifMatch, idempotencyKey, requestId, traceparent } = requests.callOptions(options)
    const written = requests.json('parameters', requests.object('parameters', parameters))
    const { status, text: answer, contentType, etag, immutable } = await this.#waiting.call((slot) =>
      this.#calls.call(slot, text('name', name), written, body, ifMatch, idempotencyKey, requestId, traceparent),
    )
    return { status, body: answer, contentType, immutable, ...(etag == null ? {} : { etag }) }
  }
  async #body(name, parameters, requestId) {
    return (await this.call(name, parameters, { requestId })).body
  }
  async get(id, requestId) {
    return this.#body('provenance.get', { id: text('id', id) }, requestId)
  }
  async chain(id, depth, requestId) {
    return this.#body('provenance.chain', { id: text('id', id), depth: requests.number('depth', depth) }, requestId)
  }
  async query(query, requestId) {
    return this.#body('provenance.query', requests.queryOf(query), requestId)
  }
  async stats(timeRange, requestId) {
    return this.#body('stats.get', { timeRange: text('timeRange', timeRange) }, requestId)
  }
  /** The items of a stream, each as JSON. */
  subscribe(name, parameters = {}) {
    const written = requests.json('parameters', requests.object('parameters', parameters))
    return new Stream(this.#calls.subscribe(text('name', name), written), this.#waiting)
  }
}

/** Streams that are open; the engine ends them when it is closed, so that they do not keep its store. */
const streams = new WeakMap()

/** Items between two turns of Node's loop: those that are there already would keep it from everything else. */
const ITEMS_PER_TURN = 100

/** An iterator by hand: a generator could not be ended while it waits. */
class Stream {
  #native
  #waiting
  #begun = false
  #last = Promise.resolve()
  #items = 0
  #ended = false
  #closed = false
  #self = new WeakRef(this)

  constructor(native, waiting) {
    this.#native = native
    this.#waiting = waiting
    if (!streams.has(waiting)) streams.set(waiting, new Set())
    // Weakly: one that was let go of without its end is collected.
    streams.get(waiting).add(this.#self)
  }
  [Symbol.asyncIterator]() {
    return this
  }
  next() {
    // One after the other, as of a generator.
    const next = this.#last.then(() => this.#next())
    this.#last = next.catch(() => {})
    return next
  }
  async #next() {
    if (this.#closed) throw errors.closed()
    if (this.#ended) return { done: true, value: undefined }
    try {
      if (!this.#begun) {
        await this.#waiting.call((slot) => this.#native.begin(slot))
        this.#begun = true
      }
      if (++this.#items % ITEMS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      const item = await this.#waiting.call((slot) => this.#native.next(slot))
      if (item !== '') return { done: false, value: item }
    } catch (error) {
      // One that may succeed later can be asked again where it stood.
      if (!error.retryable) this.end()
      throw error
    }
    if (this.#closed) throw errors.closed()
    this.end()
    return { done: true, value: undefined }
  }
  async return(value) {
    this.end()
    return { done: true, value }
  }
  async throw(error) {
    this.end()
    throw error
  }
  /** The engine was closed: a call that has not come to wait yet hears it too. */
  close() {
    if (this.#ended) return
    this.#closed = true
    this.end()
  }
  end() {
    if (this.#ended) return
    this.#ended = true
    streams.get(this.#waiting)?.delete(this.#self)
    this.#native.end()
  }
}

/** All that a query finds, page by page. */
async function* everyPage(read, query = {}) {
  let { pageToken } = query
  do {
    const page = await read({ ...query, ...(pageToken === undefined ? {} : { pageToken }) })
    yield* page.data
    pageToken = page.nextPageToken ?? undefined
  } while (pageToken !== undefined)
}

class Log {
  #native
  #waiting
  #organization
  #calls
  // The log as a whole is that of every organization.
  #fleet

  /** Without an organization it is the whole fleet's. */
  constructor(native, waiting, organization, calls, fleet) {
    this.#fleet = fleet
    this.#native = native
    this.#waiting = waiting
    this.#organization = organization
    this.#calls = calls
  }
  async record(record) {
    if (this.#organization === undefined) throw invalid('organization', 'is missing; the whole fleet records nothing')
    const written = requests.json('record', record)
    return JSON.parse(await this.#waiting.call((slot) => this.#native.record(slot, this.#organization, written)))
  }
  page(query) {
    return this.#read(this.#calls.query(query))
  }
  query(query) {
    return everyPage((query) => this.page(query), query)
  }
  get(id) {
    return this.#read(this.#calls.get(id))
  }
  async chain(id, depth = 10) {
    requests.integer('depth', depth, 1, 100)
    return (await this.#read(this.#calls.chain(id, depth))).chain
  }
  async prove(id) {
    const { entry, payload, salt, ...rest } = await valueOf(this.#calls, 'provenance.evidence', { id: text('id', id) })
    const gone = payload === null
    return { entry: Buffer.from(entry), ...(gone ? {} : { payload: Buffer.from(payload), salt: Buffer.from(salt, 'hex') }), ...rest }
  }
  async checkpoint(shard) {
    try {
      return (await engineErrors(this.#calls.call('log.checkpoint', { shard: optionalShard(shard) }))).body
    } catch (error) {
      // A shard without a record has none.
      if (error instanceof errors.NotFoundError && shard === undefined) return null
      throw error
    }
  }
  async proveConsistency(older, shard) {
    return valueOf(this.#calls, 'log.consistency', { older: requests.number('older', older), shard: optionalShard(shard) })
  }
  async verify() {
    return (await valueOf(this.#fleet, 'log.verify')).findings
  }
  async export(folder, shard) {
    return valueOf(this.#fleet, 'log.export', { folder: text('folder', folder), shard: optionalShard(shard) })
  }
  async #read(answer) {
    return JSON.parse(await engineErrors(answer))
  }
}

function optionalShard(shard) {
  return shard == null ? undefined : requests.number('shard', shard)
}

/** An answer of a call, with errors of the engine in the place of those of the contract. */
async function engineErrors(answer) {
  try {
    return await answer
  } catch (error) {
    throw errors.ofContract(error)
  }
}

/** What a call answers, as a value. */
async function valueOf(calls, name, parameters = {}, options = {}) {
  return JSON.parse((await engineErrors(calls.call(name, parameters, options))).body)
}

const utf8 = new TextEncoder()
/** Agents and bytes of one import: the engine's bounds, with room for what stands around them. */
const MAX_IMPORTED = 10_000
const MAX_IMPORT_BYTES = 1_000_000

class Agents {
  #calls

  constructor(calls) {
    this.#calls = calls
  }
  async register(agent) {
    return valueOf(this.#calls, 'agents.register', {}, { body: utf8.encode(requests.json('agent', agent)) })
  }
  async change(id, change) {
    const body = utf8.encode(requests.json('change', change))
    return valueOf(this.#calls, 'agents.change', { agentId: text('id', id) }, { body })
  }
  async get(id) {
    return valueOf(this.#calls, 'agents.get', { agentId: text('id', id) })
  }
  async import(agents) {
    if (!Array.isArray(agents)) throw requests.mistyped('agents', agents, 'an array of agents')
    const outcomes = []
    let batch = []
    let size = 0
    const send = async () => {
      const body = utf8.encode(`{"agents":[${batch.join()}]}`)
      const count = batch.length
      batch = []
      size = 0
      try {
        const { outcomes: of } = await valueOf(this.#calls, 'agents.import', {}, { body })
        outcomes.push(...of.map((outcome) => (outcome.agent ? outcome : { error: errors.ofBody(outcome.error) })))
      } catch (error) {
        // The outcomes of earlier batches are told all the same.
        outcomes.push(...Array.from({ length: count }, () => ({ error })))
      }
    }
    for (const agent of agents.map((agent) => requests.json('agent', agent))) {
      const bytes = Buffer.byteLength(agent) + 1
      if (batch.length >= MAX_IMPORTED || (size + bytes > MAX_IMPORT_BYTES && batch.length > 0)) await send()
      batch.push(agent)
      size += bytes
    }
    if (batch.length > 0) await send()
    return outcomes
  }
  async page(query) {
    return valueOf(this.#calls, 'agents.list', requests.agentQueryOf(query))
  }
  list(query) {
    return everyPage((query) => this.page(query), query)
  }
  async count(query) {
    const { pageSize, pageToken, ...filter } = requests.agentQueryOf(query)
    return valueOf(this.#calls, 'agents.count', filter)
  }
}

class Policy {
  #engine
  #current

  constructor(engine, current) {
    this.#engine = engine
    this.#current = current
  }
  current() {
    return JSON.parse(unwrap(this.#current()))
  }
  async swap(document, actor) {
    const calls = this.#engine.json({ name: text('actor', actor), fleetWide: true })
    return valueOf(calls, 'policy.put', {}, { body: utf8.encode(text('document', document)) })
  }
  async history(below, limit = 20) {
    const parameters = { pageSize: requests.number('limit', limit) }
    if (below != null) parameters.below = requests.number('below', below)
    return valueOf(this.#engine.json(), 'policy.versions', parameters)
  }
}

class Quota {
  #native

  constructor(native) {
    this.#native = native
  }
  tryTake(resourceType, amount) {
    const fields = [text('resourceType', resourceType), requests.number('amount', amount)]
    return ceilingVerdict(unwrap(guarded(() => this.#native.tryTake(...fields))))
  }
}

class Reservation {
  #native
  #waiting

  constructor(native, waiting) {
    this.#native = native
    this.#waiting = waiting
  }
  async #settle(used) {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.settle(slot, used)))
  }
  async commit(used) {
    return this.#settle([requests.number('used', used)])
  }
  async void() {
    return this.#settle()
  }
}

const OPENING = Symbol('opening')

class TrustEngine {
  #native
  #waiting = new Waiting()
  #holder
  #closing

  constructor(token) {
    if (token !== OPENING) throw new TypeError('use TrustEngine.open()')
    const waiting = this.#waiting
    const holder = { waiting, engine: undefined }
    const engine = new native.NativeEngine(() => {
      if (holder.engine) holder.waiting.settle(holder.engine.drain())
    })
    holder.engine = engine
    this.#holder = holder
    this.#native = engine
    this.policy = new Policy(this, () => engine.policy())
  }

  static async open(options) {
    const input = requests.openOptions(options)
    const engine = new TrustEngine(OPENING)
    try {
      await engine.#waiting.call((slot) => engine.#native.open(slot, input))
    } catch (error) {
      engine.#waiting.end()
      engine.#holder.engine = undefined
      throw error
    }
    return engine
  }

  decideGate(request, options) {
    const text = unwrap(this.#native.decideGate(...requests.gateFields(request), requests.isTraced(options)))
    return new GateVerdict(text, this, request.organization)
  }
  async evaluateGate(request, options) {
    const start = (slot) => this.#native.evaluateGate(slot, ...requests.gateFields(request), requests.isTraced(options))
    return new GateVerdict(await this.#waiting.call(start))
  }
  committed(verdict) {
    const ticket = GateVerdict.ticketOf(verdict)
    if (ticket?.engine !== this) return Promise.reject(invalid('verdict', 'is none that decideGate of this engine gave'))
    if (!ticket.receipt) {
      ticket.receipt = this.#receipt(verdict, ticket)
      // Asked again, it is looked up in the log.
      ticket.receipt.catch(() => (ticket.receipt = undefined))
    }
    return ticket.receipt
  }
  async #receipt({ provenanceId, recorded }, { number, organization }) {
    if (recorded === 'none') return null
    try {
      const ask = (slot) => this.#native.committed(slot, number, organization, provenanceId)
      const receipt = JSON.parse(await this.#waiting.call(ask))
      // Numbers of tickets begin anew after 2^32.
      if (receipt?.id === provenanceId) return receipt
    } catch (error) {
      // Without the ticket, the native half looked for the record in the log and did not find it.
      if (!(error instanceof errors.NotFoundError)) throw error
    }
    throw errors.ticketExpired(provenanceId)
  }
  checkCeilingNow(request) {
    return ceilingVerdict(unwrap(this.#native.checkCeilingNow(...requests.ceilingFields(request))))
  }
  async checkCeiling(request) {
    const start = (slot) => this.#native.checkCeiling(slot, ...requests.ceilingFields(request))
    return ceilingVerdict(await this.#waiting.call(start))
  }
  async usage(agentId, organization) {
    const parameters = { agentId: text('agentId', agentId) }
    return (await valueOf(this.json({ organization }), 'ceilings.usage', parameters)).usage
  }
  /** A handle on an agent's quota. */
  quota(agentId, organization) {
    const fields = [text('agentId', agentId), organizationName('organization', organization)]
    return new Quota(unwrap(this.#native.quota(...fields)))
  }
  async reserve(request) {
    const { requestId } = requests.object('request', request)
    if (requestId != null) throw invalid('requestId', 'is not taken by reservations, which cannot be given twice')
    const reservation = this.#native.reservation()
    const fields = requests.ceilingFields(request).slice(0, -1)
    const verdict = ceilingVerdict(await this.#waiting.call((slot) => this.#native.reserve(slot, reservation, ...fields)))
    return { verdict, reservation: reservation.isThere ? new Reservation(reservation, this.#waiting) : null }
  }
  /** Whether a check would be admitted now; charges and records nothing. */
  async peek(request) {
    const { organization, caller, ...body } = requests.ceilingBody(request)
    return valueOf(this.json({ name: caller, organization }), 'ceilings.peek', {}, { body: utf8.encode(requests.json('request', body)) })
  }
  async resetCeiling(agentId, resourceType, actor, organization) {
    const parameters = { agentId: text('agentId', agentId), resourceType: text('resourceType', resourceType) }
    return valueOf(this.json({ name: text('actor', actor), organization }), 'ceilings.reset', parameters)
  }
  json(caller = {}) {
    const { name, organization, fleetWide = false, internal = false, permissions } = requests.callerOf(caller)
    const fields = [
      optionalText('caller', name),
      organizationName('organization', organization),
      requests.flag('fleetWide', fleetWide),
      requests.flag('internal', internal),
      permissions == null ? undefined : requests.texts('permissions', permissions),
    ]
    return new JsonCalls(unwrap(this.#native.calls(...fields)), this.#waiting)
  }
  log(scope) {
    const { organization, fleetWide } = requests.scopeOf(scope)
    const calls = this.json({ organization, fleetWide, internal: true })
    return new Log(this.#native, this.#waiting, organization, calls, this.json({ fleetWide: true }))
  }
  agents(organization) {
    return new Agents(this.json({ organization }))
  }
  async stats(timeRange = '24h', scope) {
    const calls = this.json(requests.scopeOf(scope))
    return valueOf(calls, 'stats.get', { timeRange: text('timeRange', timeRange) })
  }
  async health() {
    return valueOf(this.json(), 'engine.health')
  }
  async info() {
    return valueOf(this.json(), 'engine.info')
  }
  async backup(folder) {
    await valueOf(this.json({ fleetWide: true }), 'engine.backup', { folder: text('folder', folder) })
  }
  get warnings() {
    return this.#native.warnings()
  }
  get verifierKey() {
    const key = this.#native.verifierKey()
    if (key === '') throw errors.closed()
    return key
  }
  /** How often the loop was woken for answers: for tests and benches. */
  get wakes() {
    return this.#native.wakes
  }
  close() {
    return (this.#closing ??= this.#close())
  }
  async #close() {
    const closed = this.#waiting.call((slot) => this.#native.close(slot))
    const last = new Waiting()
    this.#waiting.end()
    await closed
    // Those that wait were told that it is closed; the others would keep the store.
    for (const stream of streams.get(this.#waiting) ?? []) setImmediate(() => stream.deref()?.close())
    // Calls that were under way are settled by now or soon; then nothing holds the store any more.
    await this.#waiting.idle()
    this.#holder.waiting = last
    await last.call((slot) => this.#native.release(slot))
    last.end()
    // The native half holds its callback, and must not hold itself through it.
    this.#holder.engine = undefined
  }
}

function verifyRecord(entry, proof, verifierKey) {
  const fields = [requests.bytes('entry', entry), text('proof', proof), text('verifierKey', verifierKey)]
  const failure = native.verifyRecord(...fields)
  if (failure) throw errorOf(failure)
}

function verifyPayload(entry, payload, salt) {
  const fields = [requests.bytes('entry', entry), requests.bytes('payload', payload), requests.bytes('salt', salt)]
  const failure = native.verifyPayload(...fields)
  if (failure) throw errorOf(failure)
}

function verifyConsistency(older, newer, proof, verifierKey) {
  const fields = [text('older', older), text('newer', newer), requests.texts('proof', proof), text('verifierKey', verifierKey)]
  const failure = native.verifyConsistency(...fields)
  if (failure) throw errorOf(failure)
}

function verifyLog(folder, verifierKey, since) {
  const failure = native.verifyLog(text('folder', folder), text('verifierKey', verifierKey), optionalText('since', since))
  if (failure) throw errorOf(failure)
}

module.exports = {
  TrustEngine,
  TrustEngineError: errors.TrustEngineError,
  InvalidInputError: errors.InvalidInputError,
  InvalidPolicyError: errors.InvalidPolicyError,
  ForbiddenError: errors.ForbiddenError,
  NotFoundError: errors.NotFoundError,
  ConflictError: errors.ConflictError,
  UnavailableError: errors.UnavailableError,
  WouldBlockError: errors.WouldBlockError,
  ClosedError: errors.ClosedError,
  StoreError: errors.StoreError,
  NotVerifiedError: errors.NotVerifiedError,
  ContractError: errors.ContractError,
  verifyConsistency,
  verifyLog,
  verifyPayload,
  verifyRecord,
  callTable: JSON.parse(native.callTable()),
  version,
}
