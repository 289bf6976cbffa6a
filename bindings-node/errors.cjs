'use strict'
// Errors: the failures that the native half reports, as classes.

class TrustEngineError extends Error {
  constructor({ failure, message, retryable, details }, cause) {
    super(message, cause === undefined ? undefined : { cause })
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
class ForbiddenError extends TrustEngineError {}
class NotFoundError extends TrustEngineError {}
class ConflictError extends TrustEngineError {}
class UnavailableError extends TrustEngineError {}
class WouldBlockError extends TrustEngineError {}
class ClosedError extends TrustEngineError {}
class StoreError extends TrustEngineError {}
class NotVerifiedError extends TrustEngineError {}

class ContractError extends Error {
  constructor({ status, body, detail, cause }) {
    super(`status ${status}: ${body}`, cause && { cause: errorOf(cause) })
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
  TE_FORBIDDEN: ForbiddenError,
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
  TE_NOT_VERIFIED: NotVerifiedError,
}

function errorOf(failure, cause) {
  return new (CLASSES[failure.failure] ?? TrustEngineError)(failure, cause)
}

/** A value given by the caller is not as it must be. */
function invalid(field, issue, cause) {
  const message = `invalid input: ${field} ${issue}`
  return errorOf({ failure: 'TE_INVALID_INPUT', message, retryable: false, details: { field } }, cause)
}

function closed() {
  return errorOf({ failure: 'TE_CLOSED', message: 'closed: the engine is closed', retryable: false, details: {} })
}

/** A verdict's record is not in the log, and the ticket of its commit made room for those of later verdicts. */
function ticketExpired(id) {
  const message = `not found: record ${id} is not in the log, and too many verdicts were given since to wait for its commit`
  return errorOf({ failure: 'TE_NOT_FOUND', message, retryable: false, details: { id } })
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

/** Makes a call of the native half; an exception that it throws becomes an error of the engine. */
function guarded(call) {
  try {
    return call()
  } catch (cause) {
    if (cause instanceof TrustEngineError || cause instanceof ContractError) throw cause
    // These codes are about an argument; any other is not the caller's doing.
    const failure = /Expected$|^InvalidArg$/.test(cause?.code ?? '') ? 'TE_INVALID_INPUT' : 'TE_ERROR'
    throw errorOf({ failure, message: String(cause?.message ?? cause), retryable: false, details: {} }, cause)
  }
}

/** An error of the contract as the engine's own, for callers that do not speak the contract. */
function ofContract(error) {
  if (!(error instanceof ContractError && error.cause)) return error
  // The engine has other names for some fields.
  const field = JSON.parse(error.body).details?.field
  if (field !== undefined) error.cause.details.field = field
  return error.cause
}

const CODES = {
  P6_INVALID_REQUEST: 'TE_INVALID_INPUT',
  P6_FORBIDDEN: 'TE_FORBIDDEN',
  P6_NOT_FOUND: 'TE_NOT_FOUND',
  P6_CONFLICT: 'TE_CONFLICT',
  P6_UNAVAILABLE: 'TE_UNAVAILABLE',
}

/** An error within an answer as the engine's own. */
function ofBody({ code, message, details = {} }) {
  return errorOf({ failure: CODES[code] ?? 'TE_ERROR', message, retryable: code === 'P6_UNAVAILABLE', details })
}

module.exports = {
  TrustEngineError,
  InvalidInputError,
  InvalidPolicyError,
  ForbiddenError,
  NotFoundError,
  ConflictError,
  UnavailableError,
  WouldBlockError,
  ClosedError,
  StoreError,
  NotVerifiedError,
  ContractError,
  invalid,
  closed,
  ticketExpired,
  errorOf,
  errorIn,
  unwrap,
  guarded,
  ofContract,
  ofBody,
}
