// Every answer that is not a success has one shape and one of eight codes, and each code has one status.
import {
  ClosedError,
  ConflictError,
  ContractError,
  InvalidInputError,
  InvalidPolicyError,
  NotFoundError,
  TrustEngineError,
} from 'trust-engine'

const STATUS = {
  P6_INVALID_REQUEST: 400,
  P6_UNAUTHORIZED: 401,
  P6_FORBIDDEN: 403,
  P6_NOT_FOUND: 404,
  P6_CONFLICT: 409,
  P6_RATE_LIMITED: 429,
  P6_INTERNAL_ERROR: 500,
  P6_UNAVAILABLE: 503,
} as const

const MAX_SHOWN = 100
/** Messages of the engine, which quote too. */
const MAX_MESSAGE = 400
// Control and format characters, halves of pairs, and what begins a new line.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu
/** Seconds. */
const RETRY_AFTER = 1

export type ErrorCode = keyof typeof STATUS

export interface ErrorBody {
  code: ErrorCode
  message: string
  details?: Record<string, string>
  requestId: string
  retryAfter?: number
}

/** An error that the service itself finds. */
export class RequestError extends Error {
  readonly code: ErrorCode
  readonly details: Record<string, string> | undefined

  constructor(code: ErrorCode, message: string, details?: Record<string, string>) {
    super(message)
    this.code = code
    this.details = details
  }
}

export function invalid(field: string, issue: string): RequestError {
  return new RequestError('P6_INVALID_REQUEST', `${field} ${issue}`, { field, issue })
}

/** A caller's text as it may stand in an error: of limited length, and on one line. */
export function shown(text: string, most = MAX_SHOWN): string {
  const clipped = text.length > most ? `${text.slice(0, most)}…` : text
  return clipped.replace(UNSEEN, '\ufffd')
}

export interface ErrorAnswer {
  status: number
  /** JSON. */
  body: string
  /** Seconds. */
  retryAfter: number | undefined
}

/** The answer about an error. If the error is the operator's business, the caller learns only that there is one. */
export function errorAnswer(error: unknown, requestId: string): ErrorAnswer {
  if (error instanceof ContractError) return engineAnswer(error, requestId)
  const body = errorBody(error, requestId)
  return { status: STATUS[body.code], body: JSON.stringify(body), retryAfter: body.retryAfter }
}

/** The engine's own answer. One that several requests wait for names none of them, so the name is added here. */
function engineAnswer({ status, body }: ContractError, requestId: string): ErrorAnswer {
  const told = JSON.parse(body) as ErrorBody
  const named = told.requestId === requestId ? body : JSON.stringify({ ...told, requestId })
  return { status, body: named, retryAfter: told.retryAfter }
}

function errorBody(error: unknown, requestId: string): ErrorBody {
  if (error instanceof RequestError) {
    const { code, message, details } = error
    const retry = code === 'P6_UNAVAILABLE' && { retryAfter: RETRY_AFTER }
    return { code, message, ...(details && { details }), requestId, ...retry }
  }
  if (error instanceof TrustEngineError) return ofEngine(error, requestId)
  return ofFramework(error, requestId)
}

function ofEngine(error: TrustEngineError, requestId: string): ErrorBody {
  const message = plain(error)
  if (error instanceof InvalidInputError || error instanceof InvalidPolicyError) {
    const { field } = error.details
    return { code: 'P6_INVALID_REQUEST', message, ...(field && { details: { field, issue: message } }), requestId }
  }
  if (error instanceof NotFoundError) return { code: 'P6_NOT_FOUND', message, requestId }
  if (error instanceof ConflictError) return { code: 'P6_CONFLICT', message, requestId }
  if (error.retryable || error instanceof ClosedError) {
    return { code: 'P6_UNAVAILABLE', message: 'the service cannot answer now; try again', requestId, retryAfter: RETRY_AFTER }
  }
  return internal(requestId)
}

/** The message without operation and kind, which stand before it: the request and the code say them. */
function plain({ message }: TrustEngineError): string {
  return shown(message.replace(/^(?:[a-z ]+: )?(?:invalid input|invalid policy|not found|conflict): /, ''), MAX_MESSAGE)
}

/** Fastify's errors carry a status; with 4xx the request is at fault. */
function ofFramework(error: unknown, requestId: string): ErrorBody {
  const { code, statusCode = 500 } = error as { code?: string; statusCode?: number }
  const refuse = (field: string, issue: string) => errorBody(invalid(field, issue), requestId)
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return refuse('body', 'has more than 65536 bytes')
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return refuse('Content-Type', 'must be application/json')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return refuse('Content-Length', 'is not the length of the body')
    case 'FST_ERR_BAD_URL':
      return refuse('path', 'is not percent-encoded UTF-8')
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return refuse('path', 'has a part that is too long')
    default:
      if (statusCode >= 500) return internal(requestId)
      return { code: 'P6_INVALID_REQUEST', message: 'the request cannot be read', requestId }
  }
}

function internal(requestId: string): ErrorBody {
  return { code: 'P6_INTERNAL_ERROR', message: 'something is wrong on our side', requestId }
}
