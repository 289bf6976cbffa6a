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
  get(id, requestId) {
    return this.#waiting.call((slot) => this.#calls.get(slot, text('id', id), requestId))
  }
  chain(id, depth, requestId) {
    return this.#waiting.call((slot) => this.#calls.chain(slot, text('id', id), requests.number('depth', depth), requestId))
  }
  query(query, requestId) {
    return this.#waiting.call((slot) => this.#calls.query(slot, requests.queryOf(query), requestId))
  }
  stats(timeRange, requestId) {
    return this.#waiting.call((slot) => this.#calls.stats(slot, text('timeRange', timeRange), requestId))
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

  /** Without an organization it is the whole fleet's. */
  constructor(native, waiting, organization, calls) {
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
    text('id', id)
    return this.#waiting.call((slot) => this.#native.prove(slot, this.#organization, id))
  }
  async checkpoint() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.checkpoint(slot)))
  }
  async verify() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.verify(slot)))
  }
  async #read(answer) {
    try {
      return JSON.parse(await answer)
    } catch (error) {
      throw errors.ofContract(error)
    }
  }
}

class Agents {
  #native
  #waiting
  #organization

  constructor(native, waiting, organization) {
    this.#native = native
    this.#waiting = waiting
    this.#organization = organization
  }
  async #read(start) {
    return JSON.parse(await this.#waiting.call(start))
  }
  register(agent) {
    return this.#read((slot) => this.#native.register(slot, this.#organization, requests.json('agent', agent)))
  }
  change(id, change) {
    return this.#read((slot) => {
      return this.#native.change(slot, this.#organization, text('id', id), requests.json('change', change))
    })
  }
  get(id) {
    return this.#read((slot) => this.#native.agent(slot, this.#organization, text('id', id)))
  }
  async import(agents) {
    if (!Array.isArray(agents)) throw requests.mistyped('agents', agents, 'an array of agents')
    const written = agents.map((agent) => requests.json('agent', agent))
    const outcomes = await this.#read((slot) => this.#native.importAgents(slot, this.#organization, written))
    return outcomes.map((outcome) => (outcome.agent ? outcome : { error: errorOf(outcome) }))
  }
  page(query) {
    return this.#read((slot) => this.#native.agents(slot, this.#organization, requests.agentQueryOf(query)))
  }
  list(query) {
    return everyPage((query) => this.page(query), query)
  }
  count(query) {
    return this.#read((slot) => this.#native.countAgents(slot, this.#organization, requests.agentQueryOf(query)))
  }
}

class Policy {
  #native
  #waiting

  constructor(native, waiting) {
    this.#native = native
    this.#waiting = waiting
  }
  current() {
    return JSON.parse(unwrap(this.#native.policy()))
  }
  async swap(document, actor) {
    const start = (slot) => this.#native.swapPolicy(slot, text('document', document), text('actor', actor))
    return JSON.parse(await this.#waiting.call(start))
  }
  async history(below, limit = 20) {
    const most = below == null ? undefined : requests.number('below', below)
    const start = (slot) => this.#native.policyHistory(slot, most, requests.number('limit', limit))
    return JSON.parse(await this.#waiting.call(start))
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
    this.policy = new Policy(engine, waiting)
  }

  static async open(options) {
    const input = requests.openInput(options)
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

  decideGate(request) {
    const text = unwrap(this.#native.decideGate(...requests.gateFields(request)))
    return new GateVerdict(text, this, request.organization)
  }
  async evaluateGate(request) {
    const start = (slot) => this.#native.evaluateGate(slot, ...requests.gateFields(request))
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
    const fields = [text('agentId', agentId), organizationName('organization', organization)]
    return JSON.parse(await this.#waiting.call((slot) => this.#native.usage(slot, ...fields)))
  }
  json(caller = {}) {
    const { name, organization, fleetWide = false, internal = false } = requests.object('caller', caller)
    const fields = [
      optionalText('caller', name),
      organizationName('organization', organization),
      requests.flag('fleetWide', fleetWide),
      requests.flag('internal', internal),
    ]
    return new JsonCalls(unwrap(this.#native.calls(...fields)), this.#waiting)
  }
  log(scope) {
    const { organization, fleetWide } = requests.scopeOf(scope)
    const calls = this.json({ organization, fleetWide, internal: true })
    return new Log(this.#native, this.#waiting, organization, calls)
  }
  agents(organization) {
    return new Agents(this.#native, this.#waiting, organizationName('organization', organization))
  }
  async stats(timeRange = '24h', scope) {
    const { organization } = requests.scopeOf(scope)
    const start = (slot) => this.#native.stats(slot, text('timeRange', timeRange), organization)
    return JSON.parse(await this.#waiting.call(start))
  }
  async health() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.health(slot)))
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

module.exports = {
  TrustEngine,
  TrustEngineError: errors.TrustEngineError,
  InvalidInputError: errors.InvalidInputError,
  InvalidPolicyError: errors.InvalidPolicyError,
  NotFoundError: errors.NotFoundError,
  ConflictError: errors.ConflictError,
  UnavailableError: errors.UnavailableError,
  WouldBlockError: errors.WouldBlockError,
  ClosedError: errors.ClosedError,
  StoreError: errors.StoreError,
  ContractError: errors.ContractError,
  verifyRecord,
  version,
}
