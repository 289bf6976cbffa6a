'use strict'
// The JavaScript half: promises, classes and errors. The native half (see src/) answers a call at once where it need not
// wait, and otherwise parks it under the number given here and says when answers are ready.
const native = require('./native.cjs')
const { version } = require('./package.json')

class TrustEngineError extends Error {
  constructor({ failure, message, retryable, details }) {
    super(message)
    this.code = failure
    this.retryable = retryable
    this.details = details
  }
  get name() {
    return this.constructor.name
  }
}
class InvalidInputError extends TrustEngineError {}
class InvalidPolicyError extends TrustEngineError {}
class NotFoundError extends TrustEngineError {}
class ConflictError extends TrustEngineError {}
class UnavailableError extends TrustEngineError {}
class WouldBlockError extends TrustEngineError {}
class ClosedError extends TrustEngineError {}
class StoreError extends TrustEngineError {}

class ContractError extends Error {
  constructor({ status, body, detail }) {
    super(`status ${status}: ${body}`)
    this.status = status
    this.body = body
    this.detail = detail
  }
  get name() {
    return 'ContractError'
  }
}

const CLASSES = {
  TE_INVALID_INPUT: InvalidInputError,
  TE_INVALID_POLICY: InvalidPolicyError,
  TE_NOT_FOUND: NotFoundError,
  TE_CONFLICT: ConflictError,
  TE_OVERLOADED: UnavailableError,
  TE_UNAVAILABLE: UnavailableError,
  TE_NO_SPACE: UnavailableError,
  TE_LOCKED: UnavailableError,
  TE_FENCED: UnavailableError,
  TE_WOULD_BLOCK: WouldBlockError,
  TE_CLOSED: ClosedError,
  TE_FOREIGN: StoreError,
  TE_UNSUPPORTED: StoreError,
  TE_CORRUPT: StoreError,
  TE_PERMISSION_DENIED: StoreError,
  TE_KEY: StoreError,
}

function errorOf(failure) {
  return new (CLASSES[failure.failure] ?? TrustEngineError)(failure)
}

/** The error in a value that the native half gave, if it is one. */
function errorIn(value) {
  if (typeof value === 'string') return undefined
  if (value.failure !== undefined) return errorOf(value)
  if (value.body !== undefined) return new ContractError(value)
  return undefined
}

function unwrap(value) {
  const error = errorIn(value)
  if (error) throw error
  return value
}

/** Converts what has a shape that the native half does not accept into the error that says so. */
function guarded(call) {
  try {
    return call()
  } catch (cause) {
    if (cause instanceof TrustEngineError || cause instanceof ContractError) throw cause
    // What the native half says of an argument; anything else is not the caller's doing.
    const failure = /Expected$|^InvalidArg$/.test(cause?.code ?? '') ? 'TE_INVALID_INPUT' : 'TE_ERROR'
    const error = errorOf({ failure, message: String(cause?.message ?? cause), retryable: false, details: {} })
    error.cause = cause
    throw error
  }
}

const CLOSED = { failure: 'TE_CLOSED', message: 'closed: the engine is closed', retryable: false, details: {} }

/** The calls that wait for the native half. */
class Waiting {
  #calls = []
  #free = []
  #count = 0
  #idle = []
  #ended = false
  // Keeps the process alive while calls wait, and not a moment longer.
  #alive = setInterval(() => {}, 0x7fffffff)

  constructor() {
    this.#alive.unref()
  }

  /** `start` is given a number, and gives an answer or null. */
  call(start) {
    if (this.#ended) return Promise.reject(errorOf(CLOSED))
    const slot = this.#free.length > 0 ? this.#free.pop() : this.#calls.length
    if (slot === this.#calls.length) this.#calls.push(undefined)
    let answer
    try {
      answer = guarded(() => start(slot))
    } catch (error) {
      this.#free.push(slot)
      return Promise.reject(error)
    }
    if (answer != null) {
      this.#free.push(slot)
      const error = errorIn(answer)
      return error ? Promise.reject(error) : Promise.resolve(answer)
    }
    if (this.#count++ === 0) this.#alive.ref()
    return new Promise((resolve, reject) => {
      this.#calls[slot] = { resolve, reject }
    })
  }

  /** Numbers and answers in turn. */
  settle(list) {
    for (let at = 0; at < list.length; at += 2) {
      const slot = list[at]
      const value = list[at + 1]
      const { resolve, reject } = this.#calls[slot]
      this.#calls[slot] = undefined
      this.#free.push(slot)
      this.#count--
      const error = errorIn(value)
      if (error) reject(error)
      else resolve(value)
    }
    if (this.#count === 0) {
      if (this.#ended) clearInterval(this.#alive)
      else this.#alive.unref()
      for (const resolve of this.#idle.splice(0)) resolve()
    }
  }

  /** Waits until none is under way. */
  idle() {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  /** No call is taken any more; those under way are settled. */
  end() {
    this.#ended = true
    if (this.#count === 0) clearInterval(this.#alive)
  }
}

const UNIT = '\u001f'

/** Takes a gate's verdict apart; see `gate` in src/output.rs. */
function gateVerdict(text) {
  const [decision, recorded, ticket, reasonCode, evaluatedAt, provenanceId, requiredTier, escalationPath, receipt, ...rest] =
    text.split(UNIT)
  const reason = rest.length === 1 ? rest[0] : rest.join(UNIT)
  const verdict = { allowed: decision === 'ALLOW', decision, reason, reasonCode, evaluatedAt, provenanceId, recorded }
  if (requiredTier !== '') verdict.requiredTier = requiredTier
  if (escalationPath !== '') verdict.escalationPath = escalationPath
  if (receipt !== '') verdict.receipt = JSON.parse(receipt)
  if (ticket !== '') verdict.ticket = Number(ticket)
  return verdict
}

/** Takes a ceiling's verdict apart; see `ceiling` in src/output.rs. */
function ceilingVerdict(text) {
  const [allowed, recorded, near, retryable, reasonCode, usage, ceiling, remaining, resetAt, provenanceId, reason] =
    text.split(UNIT)
  const verdict = {
    allowed: allowed === '1',
    reason,
    reasonCode,
    currentUsage: Number(usage),
    ceiling: Number(ceiling),
    remaining: Number(remaining),
    nearLimit: near === '1',
    recorded,
    retryable: retryable === '1',
  }
  if (resetAt !== '') verdict.resetAt = resetAt
  if (provenanceId !== '') verdict.provenanceId = provenanceId
  return verdict
}

const GATE = { agentId: 'string', role: 'string', tier: 'string?', organization: 'string?', caller: 'string?', context: 'object?' }
const CONTEXT = { resourceId: 'string?', action: 'string?', environment: 'string?', metadata: 'object?' }
const CEILING = {
  agentId: 'string', resourceType: 'string', requestedAmount: 'number', tier: 'string?', organization: 'string?',
  caller: 'string?', requestId: 'string?',
}

/** Why a request could not be passed on. Types are looked at only then. */
function misshapen(request, shape, prefix = '') {
  if (request === null || typeof request !== 'object') return invalid(prefix || 'request', 'is not an object')
  for (const name of Object.keys(shape)) {
    const [type, optional] = shape[name].split('?')
    const value = request[name]
    if (value == null && optional === '') continue
    if (typeof value !== type || value === null) {
      const is = value === undefined ? 'is missing' : `is ${value === null ? 'null' : typeof value}`
      return invalid(`${prefix}${name}`, `${is}; it takes ${type === 'object' ? 'an object' : `a ${type}`}`)
    }
  }
  return undefined
}

function invalid(field, issue) {
  const message = `invalid input: ${field} ${issue}`
  return errorOf({ failure: 'TE_INVALID_INPUT', message, retryable: false, details: { field } })
}

/** Calls `call` with the fields of a gate's request. */
function withGate(request, call) {
  try {
    const { agentId, role, tier, organization, caller, context } = request
    if (context == null) return call(agentId, role, tier, organization, caller)
    const { resourceId, action, environment, metadata } = context
    const text = metadata == null ? undefined : JSON.stringify(metadata)
    if (metadata != null && text === undefined) throw invalid('context.metadata', 'is nothing that JSON has')
    return call(agentId, role, tier, organization, caller, resourceId, action, environment, text)
  } catch (cause) {
    throw misshapen(request, GATE) ?? (request.context && misshapen(request.context, CONTEXT, 'context.')) ?? cause
  }
}

/** Calls `call` with the fields of a ceiling's request. */
function withCeiling(request, call) {
  try {
    const { agentId, resourceType, requestedAmount, tier, organization, caller, requestId } = request
    return call(agentId, resourceType, requestedAmount, tier, organization, caller, requestId)
  } catch (cause) {
    throw misshapen(request, CEILING) ?? cause
  }
}

class JsonCalls {
  #calls
  #waiting

  constructor(calls, waiting) {
    this.#calls = calls
    this.#waiting = waiting
  }
  evaluateGate(body, requestId) {
    return this.#waiting.call((slot) => this.#calls.evaluateGate(slot, body, requestId))
  }
  decideGate(body, requestId) {
    return unwrap(guarded(() => this.#calls.decideGate(body, requestId)))
  }
  checkCeiling(body, idempotencyKey, requestId) {
    return this.#waiting.call((slot) => this.#calls.checkCeiling(slot, body, idempotencyKey, requestId))
  }
  record(body, requestId) {
    return this.#waiting.call((slot) => this.#calls.record(slot, body, requestId))
  }
  get(id, requestId) {
    return this.#waiting.call((slot) => this.#calls.get(slot, id, requestId))
  }
  chain(id, depth, requestId) {
    return this.#waiting.call((slot) => this.#calls.chain(slot, id, depth, requestId))
  }
  query(query, requestId) {
    return this.#waiting.call((slot) => this.#calls.query(slot, query, requestId))
  }
  stats(range, requestId) {
    return this.#waiting.call((slot) => this.#calls.stats(slot, range, requestId))
  }
}

class Log {
  #native
  #waiting
  #organization
  #calls

  constructor(native, waiting, organization, calls) {
    this.#native = native
    this.#waiting = waiting
    this.#organization = organization
    this.#calls = calls
  }
  async record(record) {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.record(slot, this.#organization, JSON.stringify(record))))
  }
  async page(query) {
    return JSON.parse(await plain(this.#calls.query(query)))
  }
  async *query(query = {}) {
    let pageToken = query.pageToken
    do {
      const page = await this.page({ ...query, ...(pageToken === undefined ? {} : { pageToken }) })
      yield* page.data
      pageToken = page.nextPageToken ?? undefined
    } while (pageToken !== undefined)
  }
  async get(id) {
    return JSON.parse(await plain(this.#calls.get(id)))
  }
  async chain(id, depth = 10) {
    return JSON.parse(await plain(this.#calls.chain(id, depth))).chain
  }
  prove(id) {
    return this.#waiting.call((slot) => this.#native.prove(slot, this.#organization, id))
  }
  async checkpoint() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.checkpoint(slot)))
  }
  async verify() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.verify(slot)))
  }
}

const PLAIN = { 400: 'TE_INVALID_INPUT', 404: 'TE_NOT_FOUND', 409: 'TE_CONFLICT', 503: 'TE_UNAVAILABLE' }

/** An error of the contract as one of the engine, for callers that do not speak the contract. */
async function plain(answer) {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    const { message, details } = JSON.parse(error.body)
    const failure = PLAIN[error.status] ?? 'TE_ERROR'
    throw errorOf({ failure, message, retryable: error.status === 503, details: details ?? {} })
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
    return this.#read((slot) => this.#native.register(slot, this.#organization, JSON.stringify(agent)))
  }
  change(id, change) {
    return this.#read((slot) => this.#native.change(slot, this.#organization, id, JSON.stringify(change)))
  }
  get(id) {
    return this.#read((slot) => this.#native.agent(slot, this.#organization, id))
  }
  list(after, limit = 100) {
    return this.#read((slot) => this.#native.agents(slot, this.#organization, after, limit))
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
    return JSON.parse(await this.#waiting.call((slot) => this.#native.swapPolicy(slot, document, actor)))
  }
  async history(below, limit = 20) {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.policyHistory(slot, below, limit)))
  }
}

/** A URL or settings, as settings. */
function settings(value) {
  return typeof value === 'string' ? { url: value } : value
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
    const engine = new TrustEngine(OPENING)
    const { storage, ...rest } = options ?? {}
    const { memory, embedded, postgres, redis } = storage ?? {}
    const input = { ...rest, memory, embedded, postgres: settings(postgres), redis: settings(redis) }
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
    return gateVerdict(unwrap(withGate(request, (...fields) => this.#native.decideGate(...fields))))
  }
  async evaluateGate(request) {
    const call = (slot) => withGate(request, (...fields) => this.#native.evaluateGate(slot, ...fields))
    return gateVerdict(await this.#waiting.call(call))
  }
  async committed(verdict) {
    const { ticket, provenanceId } = verdict
    return JSON.parse(await this.#waiting.call((slot) => this.#native.committed(slot, ticket, provenanceId)))
  }
  checkCeilingNow(request) {
    return ceilingVerdict(unwrap(withCeiling(request, (...fields) => this.#native.checkCeilingNow(...fields))))
  }
  async checkCeiling(request) {
    const call = (slot) => withCeiling(request, (...fields) => this.#native.checkCeiling(slot, ...fields))
    return ceilingVerdict(await this.#waiting.call(call))
  }
  async usage(agentId, organization) {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.usage(slot, agentId, organization)))
  }
  json(caller = {}) {
    const { name, organization, fleetWide = false, internal = false } = caller
    const calls = unwrap(guarded(() => this.#native.calls(name, organization, fleetWide, internal)))
    return new JsonCalls(calls, this.#waiting)
  }
  log(organization) {
    const caller = { ...(organization === '*' ? { fleetWide: true } : { organization }), internal: true }
    return new Log(this.#native, this.#waiting, organization, this.json(caller))
  }
  agents(organization) {
    return new Agents(this.#native, this.#waiting, organization)
  }
  async stats(range = '24h', organization) {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.stats(slot, range, organization)))
  }
  async health() {
    return JSON.parse(await this.#waiting.call((slot) => this.#native.health(slot)))
  }
  get warnings() {
    return this.#native.warnings()
  }
  get verifierKey() {
    return this.#native.verifierKey()
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
  const failure = guarded(() => native.verifyRecord(entry, proof, verifierKey))
  if (failure) throw errorOf(failure)
}

module.exports = {
  TrustEngine,
  TrustEngineError,
  InvalidInputError,
  InvalidPolicyError,
  NotFoundError,
  ConflictError,
  UnavailableError,
  WouldBlockError,
  ClosedError,
  StoreError,
  ContractError,
  verifyRecord,
  version,
}
